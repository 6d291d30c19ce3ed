"""Object storage: paths that are URLs, requests that are tried again. obstore is imported with the first request."""

"""Several finished runs as one: the weighted average of their probabilities."""

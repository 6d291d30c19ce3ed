"""An HTTP proxy that spoils some of the requests on their way to an object store."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

Fault = Literal["error_500", "throttled_503", "slow", "cut_request", "cut_answer", "forbidden"]
Choose = Callable[[str, str], Fault | None]
"""(method, path with its query) → what goes wrong with this request."""

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "expect"}
_STATUS: dict[Fault, int] = {"error_500": 500, "throttled_503": 503, "forbidden": 403}


class FaultyProxy:
    """Listens on a port of the loopback (0: a free one) and forwards to ``upstream``; several requests at a time.

    Attributes:
        choose: asked for every request; replace it at any moment.
        injected: how often each fault was injected.
        requests: how many requests came.
        slow_seconds: how long a slow answer takes.
    """

    def __init__(
        self, upstream: str, choose: Choose = lambda method, path: None, *, port: int = 0, slow_seconds: float = 1.0
    ) -> None:
        self.choose = choose
        self.slow_seconds = slow_seconds
        self.injected: Counter[Fault] = Counter()
        self.requests: Counter[str] = Counter()
        self.lock = threading.Lock()
        address = urlsplit(upstream)
        self._server = _Server(("127.0.0.1", port), _handler(self, f"{address.hostname}:{address.port}"))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """What clients are told."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is killed leaves its connection behind: that is what the tests are about."""


def _handler(proxy: FaultyProxy, upstream: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with proxy.lock:
                proxy.requests[self.command] += 1
                fault = proxy.choose(self.command, self.path)
                if fault is not None:
                    proxy.injected[fault] += 1
            if fault == "cut_request":
                self._cut()
                return
            if fault in _STATUS:
                self._answer(_STATUS[fault], {}, b"<Error><Code>Injected</Code></Error>")
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            connection = http.client.HTTPConnection(upstream, timeout=60)
            try:
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                found = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
                data = answer.read()
            finally:
                connection.close()
            if fault == "slow":
                time.sleep(proxy.slow_seconds)
            self._answer(answer.status, found, data, cut=fault == "cut_answer")

        def _answer(self, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False) -> None:
            """Send an answer; one that is cut ends in the middle of the body, or of the headers where there is none."""
            if cut and not body:
                self._cut()
                return
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() != "content-length":
                    self.send_header(name, value)
            length = headers.get("Content-Length", str(len(body))) if self.command == "HEAD" else str(len(body))
            if status != 204:
                self.send_header("Content-Length", length)
            self.end_headers()
            with suppress(OSError):  # the client did not wait
                self.wfile.write(body[: len(body) // 2] if cut else body)
                self.wfile.flush()
            if cut:
                self._cut()

        def _cut(self) -> None:
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(2)

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _forward  # noqa: N815

    return Handler

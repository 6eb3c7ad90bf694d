"""A Kubeflow Pipelines API of four addresses on this machine, as far as starting a run needs it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_HEALTH = "/apis/v2beta1/healthz"
_EXPERIMENTS = "/apis/v2beta1/experiments"
_RUNS = "/apis/v2beta1/runs"


class StubServer:
    """What was asked of it, and how it answers."""

    def __init__(self) -> None:
        self.token: str | None = None
        """The only bearer token that it takes; None takes any."""
        self.forgets_token_after_health = False
        """The token runs out between the first request and the second."""
        self.is_kubeflow = True
        self.runs: list[dict[str, Any]] = []
        self.url = ""


@contextmanager
def stub_server() -> Iterator[StubServer]:
    """Serve until the block ends."""
    stub = StubServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if not stub.is_kubeflow:
                self._answer(200, b"<html>Something else</html>", "text/html")
            elif not self._allowed(path):
                self._answer(401, b'{"error": "token expired"}')
            elif path == _HEALTH:
                self._answer(200, b'{"multi_user": false}')
            else:
                self._answer(200, b"{}")

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if not self._allowed(self.path):
                self._answer(401, b'{"error": "token expired"}')
            elif self.path == _EXPERIMENTS:
                self._answer(200, json.dumps({"experiment_id": "e-1", **body}).encode())
            elif self.path == _RUNS:
                stub.runs.append(body)
                self._answer(200, json.dumps({"run_id": "r-1", **body}).encode())
            else:
                self._answer(404, b"{}")

        def _allowed(self, path: str) -> bool:
            if stub.forgets_token_after_health and path != _HEALTH:
                return False
            return stub.token is None or self.headers.get("authorization") == f"Bearer {stub.token}"

        def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

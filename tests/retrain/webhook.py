"""A webhook's receiver that checks what it is sent, and answers as it is told."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from hazardline.notify.signature import RefusedDeliveryError, verify


@dataclass
class Receiver:
    """What came, and what is answered."""

    secret: str
    url: str = ""
    answers: list[int] = field(default_factory=list)
    """Statuses of the next answers; 204 when there are none left."""
    notices: list[dict[str, Any]] = field(default_factory=list)
    """Documents whose signature was right, in the order in which they came."""
    ids: list[str] = field(default_factory=list)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    """Headers, their names in lower case, and body of everything that came."""


@contextmanager
def receiver(secret: str) -> Iterator[Receiver]:
    """Listen until the block ends."""
    found = Receiver(secret)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.requests.append((headers, body))
            status = found.answers.pop(0) if found.answers else 204
            if status < 300:
                try:
                    found.ids.append(verify(found.secret, headers, body, time.time()))
                    found.notices.append(json.loads(body))
                except RefusedDeliveryError:
                    status = 401
            self.send_response(status)
            if status == 307:
                self.send_header("location", f"{found.url}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

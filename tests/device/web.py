"""A small real web server for a repository: it can do range requests, break connections, and remember who asked."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Behaviour:
    """How a server misbehaves, and what it was asked."""

    breaks_after_bytes: int | None = None
    """Close the connection after so many bytes of a body, when it is longer."""
    knows_ranges: bool = True
    endless: str = ""
    """A path that contains this never ends."""
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and range of every request."""
    bytes_sent: int = 0

    def asked(self, part: str) -> list[str | None]:
        """Ranges that were asked of paths with this part."""
        return [asked for path, asked in self.requests if part in path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, root: Path, behaviour: Behaviour, *arguments: object) -> None:
        self._root, self._behaviour = root, behaviour
        super().__init__(*arguments)  # type: ignore[arg-type]

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self._behaviour.requests.append((self.path, wanted))
        path = self._root / self.path.lstrip("/")
        if self._behaviour.endless and self._behaviour.endless in self.path:
            self._endless()
            return
        if not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = path.read_bytes()
        start = 0
        if wanted and self._behaviour.knows_ranges:
            match = re.fullmatch(r"bytes=(\d+)-", wanted)
            assert match is not None
            start = int(match[1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        limit = self._behaviour.breaks_after_bytes
        if limit is not None and len(body) > limit:
            body = body[:limit]
            self.close_connection = True
        self._behaviour.bytes_sent += len(body)
        self.wfile.write(body)

    def _endless(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            while True:
                self.wfile.write(bytes(1 << 16))
        except OSError:
            # The device has hung up, as it should.
            return


@contextmanager
def serving(root: Path, behaviour: Behaviour) -> Iterator[str]:
    """Serve a folder; gives its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, root, behaviour))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

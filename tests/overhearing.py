"""What clients send, kept: a relay before a real server, and a server that repeats what it was sent in its errors."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, BaseServer, ThreadingTCPServer
from typing import Any

PIECE_BYTES = 65_536
CREDENTIALS = ("Authorization", "Cookie")


@dataclass
class Heard:
    """What came in."""

    address: str = ""
    """Host and port."""
    pieces: list[bytearray] = field(default_factory=list)
    """Of each connection the bytes of its client."""

    def sent(self) -> bytes:
        """All of them, connection by connection."""
        return b"\n".join(bytes(piece) for piece in self.pieces)


@contextmanager
def relay(address: str) -> Iterator[Heard]:
    """Stand before the server at an address, `host:port`, until the block ends."""
    host, _, port = address.partition(":")
    heard = Heard()

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            heard.pieces.append(kept := bytearray())
            with socket.create_connection((host, int(port))) as server:
                answers = threading.Thread(target=_pass_on, args=(server, self.request, bytearray()))
                answers.start()
                _pass_on(self.request, server, kept)
                answers.join()

    class Server(ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server, _running(server):
        heard.address = f"127.0.0.1:{server.server_address[1]}"
        yield heard


def _pass_on(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
    """Until the source ends, or somebody has hung up."""
    with suppress(ConnectionError):
        while piece := source.recv(PIECE_BYTES):
            kept += piece
            target.sendall(piece)
    with suppress(OSError):  # the other side may have gone first
        target.shutdown(socket.SHUT_WR)


class Echo(Heard):
    """A server that refuses everything with one status, and repeats the credentials that it was given."""

    status = 500


@contextmanager
def echo() -> Iterator[Echo]:
    """Serve until the block ends. Its messages have the keys of Kubeflow's, OpenAI's and Label Studio's APIs."""
    heard = Echo()

    class Handler(BaseHTTPRequestHandler):
        def _refuse(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            given = [f"{name}: {self.headers[name]}" for name in CREDENTIALS if name in self.headers]
            heard.pieces.append(bytearray("\n".join(given).encode()))
            said = f"who is {'; '.join(given)}?"
            body = json.dumps({"message": said, "detail": said, "error": {"message": said}}).encode()
            self.send_response(heard.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _refuse

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, _running(server):
        heard.address = f"127.0.0.1:{server.server_port}"
        yield heard


@contextmanager
def _running(server: BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()

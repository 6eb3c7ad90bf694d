"""A small web server that answers as the hub does: a tree of files at a commit, and the files."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


@dataclass
class Hub:
    """What the hub holds, how it refuses, and what it was asked."""

    root: Path
    repository: str
    commit: str
    refusal: tuple[int, str] | None = None
    """Status and `X-Error-Code` of every answer."""
    requests: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: Hub, *arguments: object) -> None:
        self._hub = hub
        super().__init__(*arguments)  # type: ignore[arg-type]

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        hub, path = self._hub, urlsplit(self.path).path
        hub.requests.append(path)
        if hub.refusal is not None:
            self._send(hub.refusal[0], b"{}", {"X-Error-Code": hub.refusal[1]}, with_body)
        elif path == f"/api/models/{hub.repository}/tree/{hub.commit}":
            self._send(200, json.dumps([_entry(file) for file in sorted(hub.root.iterdir())]).encode(), {}, with_body)
        elif path.startswith(f"/{hub.repository}/resolve/{hub.commit}/"):
            file = hub.root / path.rpartition("/")[2]
            entry = _entry(file)
            digest = entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]  # type: ignore[index]
            self._send(200, file.read_bytes(), {"ETag": f'"{digest}"', "X-Repo-Commit": hub.commit}, with_body)
        else:
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, with_body)

    def _send(self, status: int, body: bytes, headers: dict[str, str], with_body: bool) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)


def _entry(file: Path) -> dict[str, object]:
    data = file.read_bytes()
    entry: dict[str, object] = {
        "type": "file",
        "path": file.name,
        "size": len(data),
        "oid": hashlib.sha1(data).hexdigest(),
    }
    if file.suffix == ".safetensors":
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return entry


@contextmanager
def served(hub: Hub) -> Iterator[str]:
    """The server's address for the length of a block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, hub))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

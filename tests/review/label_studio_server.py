"""A small Label Studio on loopback: the endpoints that push and pull use, over projects and tasks in memory.

What it answers has the keys of Label Studio 1.23.2. Every body that it is sent is kept for the tests to check.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "0123456789abcdef0123456789abcdef01234567"


class Server(ThreadingHTTPServer):
    """Projects by number, each with its tasks."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.projects: dict[int, dict[str, Any]] = {}
        self.tasks: dict[int, list[dict[str, Any]]] = {}
        self.bodies: list[tuple[str, Any]] = []
        self.fail_with: int | None = None
        self.fail_on = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path, query = self._begin()
        if path is None:
            return
        match path.strip("/").split("/"):
            case ["api", "projects"]:
                self._send_page("results", list(self.server.projects.values()), query)
            case ["api", "projects", number]:
                self._send(self.server.projects[int(number)])
            case ["api", "projects", number, "export"]:
                assert query["export_type"] == ["JSON"] and query["download_all_tasks"] == ["true"]
                self._send(self.server.tasks[int(number)])
            case ["api", "tasks"]:
                self._send_page("tasks", self.server.tasks[int(query["project"][0])], query)
            case _:
                self._send({"detail": "not found"}, 404)

    def do_POST(self) -> None:
        path, _ = self._begin()
        if path is None:
            return
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append((path, body))
        match path.strip("/").split("/"):
            case ["api", "projects"]:
                number = len(self.server.projects) + 1
                self.server.projects[number] = {"id": number, "parsed_label_config": {}, **body}
                self.server.tasks[number] = []
                self._send(self.server.projects[number], 201)
            case ["api", "projects", number, "import"]:
                tasks = self.server.tasks[int(number)]
                for task in body:
                    tasks.append({"id": len(tasks) + 1, "annotations": [], "drafts": [], "predictions": [], **task})
                self._send({"task_count": len(body), "annotation_count": 0, "prediction_count": len(body)}, 201)
            case _:
                self._send({"detail": "not found"}, 404)

    def _begin(self) -> tuple[str | None, dict[str, list[str]]]:
        """Path and query; None where the request is answered already."""
        parts = urlsplit(self.path)
        if self.server.fail_with is not None and self.server.fail_on in parts.path:
            self._send({"detail": "as the test asked"}, self.server.fail_with)
            return None, {}
        if self.headers.get("Authorization") != f"Token {KEY}":
            self._send({"detail": "Invalid token."}, 401)
            return None, {}
        return parts.path, parse_qs(parts.query)

    def _send_page(self, key: str, items: list[Any], query: dict[str, list[str]]) -> None:
        """Pages of four; behind the last one there is an error, as in the real server."""
        start = 4 * (int(query.get("page", ["1"])[0]) - 1)
        if start and start >= len(items):
            self._send({"detail": "Invalid page."}, 404)
        else:
            self._send({"count": len(items), "total": len(items), key: items[start : start + 4]})

    def _send(self, value: Any, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def running() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

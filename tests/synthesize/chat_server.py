"""A small OpenAI-compatible server on loopback: it answers by a function, and counts what it is paid for."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """A status, a JSON body, headers; `cut` bytes are promised and not sent."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0


@dataclass
class Heard:
    """What came in and what went out; `whole` counts answers with usage that were sent to the last byte."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    whole: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def settle(self) -> None:
        """Wait for requests that were answered a moment ago to be counted."""
        for _ in range(500):
            with self.lock:
                if not self.in_flight:
                    return
            time.sleep(0.01)


Answering = Callable[[dict[str, Any]], tuple[str, Answer]]
"""The request's body in; what it was about, and the answer, out."""


@contextmanager
def served(answering: Answering) -> Iterator[tuple[str, Heard]]:
    """Serve until the block ends; gives the address with `/v1`, and what was heard."""
    heard = Heard()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with heard.lock:
                heard.requests.append(body)
                heard.keys.add(self.headers.get("Authorization", ""))
                heard.in_flight += 1
                heard.most_in_flight = max(heard.most_in_flight, heard.in_flight)
            try:
                about, answer = answering(body)
                data = json.dumps(answer.body).encode() if not isinstance(answer.body, bytes) else answer.body
                self.send_response(answer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data) + answer.cut))
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)
                if answer.cut:
                    self.close_connection = True
                elif answer.status == 200 and isinstance(answer.body, dict) and answer.body.get("usage"):
                    with heard.lock:
                        heard.whole[about] += 1
                        heard.prompt_tokens += answer.body["usage"]["prompt_tokens"]
                        heard.completion_tokens += answer.body["usage"]["completion_tokens"]
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the client was killed, or has waited long enough
            finally:
                with heard.lock:
                    heard.in_flight -= 1

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", heard
    finally:
        heard.settle()
        server.shutdown()
        server.server_close()
        thread.join()


def completion(content: str | None, finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    """A chat completion as it stands on the wire."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "annotator-2026-01-01",
        "system_fingerprint": "fp_1",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish_reason,
                "message": {"role": "assistant", "content": content, **message},
            }
        ],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
    }


def texts(body: dict[str, Any]) -> str:
    """All texts of a request, a line each."""
    parts = [part for message in body["messages"] for part in _parts(message["content"])]
    return "\n".join(part["text"] for part in parts if part["type"] == "text")


def images(body: dict[str, Any]) -> list[str]:
    """The addresses of a request's images."""
    parts = [part for message in body["messages"] for part in _parts(message["content"])]
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]


def _parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content

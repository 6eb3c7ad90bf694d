"""A small Kubernetes API with a Kueue and a KubeRay of its own, for tests: it really runs a RayJob's entrypoint.

It asks for a bearer token, keeps resource versions, answers 404, 409 and 410, streams watches with bookmarks, holds
RayJobs against the CRD's schema where that is at hand, and resolves a pod's variables from its secrets and config maps.
Its operator is in `fake_operator.py`.
"""

import copy
import json
import queue
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.rayjob.fake_operator import Operator, Script

RAYJOBS = "/apis/ray.io/v1/namespaces/hazardline/rayjobs"
CORE = "/api/v1/namespaces/hazardline"
HISTORY = 50
"""Changes that are remembered; a watch that asks for older ones is told 410."""


class FakeKubernetes:
    """The API, to be used as a context manager; `kubeconfig` is how a client finds it."""

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str],
        faults: Callable[[Any], list[str]] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Listen on a free port.

        Args:
            folder: for logs, and the kubeconfig.
            environ: variables of the node: what a container's image would bring, and the address of Ray.
            faults: what is wrong with a RayJob; one with faults is refused.
            tls: serve HTTPS.
        """
        self.folder, self.environ, self.faults = folder, dict(environ), faults
        self.script, self.token = Script(), "first-token"
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.secrets: dict[str, dict[str, str]] = {}
        self.config_maps: dict[str, dict[str, str]] = {}
        self.requests: list[tuple[str, str, int]] = []
        self.created: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.logs: list[Path] = []
        self.deletes_finished = False
        """KubeRay's own setting DELETE_RAYJOB_CR_AFTER_JOB_FINISHES: with its nodes the job goes as well."""
        self.lock = threading.RLock()
        self._skipped_s = 0.0
        self._version, self._history, self._first = 100, list[tuple[int, dict[str, Any]]](), 100
        self._watchers: list[queue.Queue[dict[str, Any] | None]] = []
        self._operators: dict[str, Operator] = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.kubeconfig = folder / "kubeconfig"
        self._write_kubeconfig()

    def __enter__(self) -> "FakeKubernetes":
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        for operator in list(self._operators.values()):
            operator.end()

    def now_s(self) -> float:
        """The time by which the operator's deadlines run out."""
        return time.monotonic() + self._skipped_s

    def skip(self, seconds: float) -> None:
        """Turn the operator's clock on, and wait until every job's operator has looked at it."""
        self._skipped_s += seconds
        for operator in list(self._operators.values()):
            operator.wait_for_a_look()

    def renew_token(self, token: str) -> None:
        """From now on only this token is accepted; it stands in the kubeconfig."""
        self.token = token
        self._write_kubeconfig()

    def _write_kubeconfig(self) -> None:
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "test", "user": {"token": self.token}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "test"}}],
            "current-context": "fake",
        }
        self.kubeconfig.write_text(json.dumps(document))

    def change(self, kind: str, job: dict[str, Any]) -> None:
        """Give a job a new resource version and tell the watchers. The caller holds the lock."""
        self._version += 1
        job["metadata"]["resourceVersion"] = str(self._version)
        event = {"type": kind, "object": copy.deepcopy(job)}
        self._history.append((self._version, event))
        if len(self._history) > HISTORY:
            self._first = self._history.pop(0)[0] + 1
        for watcher in self._watchers:
            watcher.put(event)

    def update(self, name: str, **status: Any) -> None:
        """Change a job's status."""
        with self.lock:
            if name in self.jobs:
                self.jobs[name].setdefault("status", {}).update(status)
                self.change("MODIFIED", self.jobs[name])

    def create(self, job: dict[str, Any]) -> tuple[int, Any]:
        """POST."""
        name = job["metadata"]["name"]
        found = [] if self.faults is None else self.faults(job)
        if found:
            return 422, _status(422, f"RayJob {name} is invalid: {found[0]}")
        with self.lock:
            if name in self.jobs:
                return 409, _status(409, f'rayjobs.ray.io "{name}" already exists')
            job["metadata"] |= {"uid": str(uuid.uuid4()), "generation": 1}
            if "kueue.x-k8s.io/queue-name" in job["metadata"]["labels"]:
                job["spec"]["suspend"] = True  # Kueue's webhook
            self.jobs[name] = job
            self.created.append(copy.deepcopy(job))
            self.change("ADDED", job)
            if not self.script.ignores:
                self._operators[name] = Operator(self, name)
            return 201, copy.deepcopy(job)

    def patch(self, name: str, body: dict[str, Any]) -> tuple[int, Any]:
        """PATCH of annotations."""
        with self.lock:
            if name not in self.jobs:
                return _not_found(name)
            job = self.jobs[name]
            version = body["metadata"].get("resourceVersion", job["metadata"]["resourceVersion"])
            if version != job["metadata"]["resourceVersion"]:
                return 409, _status(409, "the object has been modified")
            job["metadata"].setdefault("annotations", {}).update(body["metadata"]["annotations"])
            self.change("MODIFIED", job)
            return 200, copy.deepcopy(job)

    def delete(self, name: str, body: dict[str, Any]) -> tuple[int, Any]:
        """DELETE with preconditions."""
        with self.lock:
            if name not in self.jobs:
                return _not_found(name)
            job = self.jobs[name]
            for field_name, value in (body.get("preconditions") or {}).items():
                if job["metadata"][field_name] != value:
                    return 409, _status(409, f"the precondition {field_name} does not hold")
            if "deletionTimestamp" not in job["metadata"]:
                job["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
                self.change("MODIFIED", job)
                threading.Thread(target=self._finalize, args=(name,)).start()
        return 200, _status(200, "deleted")

    def _finalize(self, name: str) -> None:
        """KubeRay's finalizer: Ray is told to stop, the pods go, then the job."""
        operator = self._operators.pop(name, None)
        if operator is not None:
            operator.end()
        with self.lock:
            job = self.jobs.pop(name)
            self.deleted.append(name)
            self.change("DELETED", job)

    def watch(self, version: int, write: Callable[[dict[str, Any]], None], timeout_s: float, name: str) -> None:
        """Stream changes after a version; a bookmark at the end."""
        inbox: queue.Queue[dict[str, Any] | None] = queue.Queue()
        with self.lock:
            missed = [event for number, event in self._history if number > version]
            self._watchers.append(inbox)
        try:
            end = time.monotonic() + timeout_s
            for event in missed:
                _send(event, name, write)
            while (rest := end - time.monotonic()) > 0:
                try:
                    _send(inbox.get(timeout=rest), name, write)
                except queue.Empty:
                    break
            with self.lock:
                bookmark = {"kind": "RayJob", "metadata": {"resourceVersion": str(self._version)}}
            write({"type": "BOOKMARK", "object": bookmark})
        finally:
            self._watchers.remove(inbox)

    def is_too_old(self, version: int) -> bool:
        """Whether changes after a version are forgotten."""
        return version + 1 < self._first

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """What a request that is no watch gets."""
        place, _, name = path.partition(RAYJOBS)[2].partition("/")
        if path == RAYJOBS and method == "POST":
            return self.create(body)
        if path.startswith(RAYJOBS) and not place and name:
            if method == "PATCH":
                return self.patch(name, body)
            if method == "DELETE":
                return self.delete(name, body or {})
            with self.lock:
                return (200, copy.deepcopy(self.jobs[name])) if name in self.jobs else _not_found(name)
        with self.lock:
            if path == f"{CORE}/pods":
                key, _, value = query["labelSelector"].partition("=")
                pods = [pod for pod in self.pods.values() if pod["metadata"]["labels"].get(key) == value]
                return 200, {"items": copy.deepcopy(pods)}
            if path == f"{CORE}/events":
                about = query["fieldSelector"].partition("=")[2]
                return 200, {"items": [event for event in self.events if event["involvedObject"]["name"] == about]}
        return 403, _status(403, f"the role does not allow {method} {path}")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: Any) -> None:
                """Quiet."""

            def _reply(self, status: int, value: Any) -> None:
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def _serve(self) -> None:
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                fault = fake.script.answers.pop(0) if fake.script.answers else None
                scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
                if fault in ("drop", "hang"):
                    time.sleep(fake.script.hang_s if fault == "hang" else 0.0)
                    self.close_connection = True
                    return
                if isinstance(fault, int):
                    status, value = fault, _status(fault, "the server is ill")
                elif scheme.lower() != "bearer" or token != fake.token:
                    status, value = 401, _status(401, "Unauthorized")
                elif self.command == "PATCH" and self.headers["Content-Type"] != "application/merge-patch+json":
                    status, value = 415, _status(415, f"a custom resource takes no {self.headers['Content-Type']}")
                elif query.get("watch", "").lower() == "true":
                    fake.requests.append(("WATCH", parts.path, 200))
                    return self._watch(query)
                else:
                    status, value = fake.answer(self.command, parts.path, query, body)
                fake.requests.append((self.command, parts.path, status))
                if fault == "lose":
                    self.close_connection = True
                else:
                    self._reply(status, value)

            def _watch(self, query: dict[str, str]) -> None:
                fault = fake.script.watches.pop(0) if fake.script.watches else None
                version = int(query["resourceVersion"])
                if fault == "late" or (fault is None and fake.is_too_old(version)):
                    return self._reply(410, _status(410, f"too old resource version: {version}"))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.close_connection = True
                if fault == "drop":
                    return  # no last chunk: the connection broke
                if fault == "cut":
                    self._chunk(b'{"type": "MODIFIED", "object": {"me')
                elif fault == "gone":
                    self._line({"type": "ERROR", "object": _status(410, "too old resource version")})
                elif fault is None:
                    name = query["fieldSelector"].partition("=")[2]
                    fake.watch(version, self._line, float(query["timeoutSeconds"]), name)
                self._chunk(b"")

            def _line(self, event: dict[str, Any]) -> None:
                self._chunk(json.dumps(event).encode() + b"\n")

            def _chunk(self, data: bytes) -> None:
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                self.wfile.flush()

            def handle(self) -> None:
                try:
                    super().handle()
                except (ConnectionError, ssl.SSLError):
                    pass  # the client was killed

            do_GET = do_POST = do_PATCH = do_DELETE = _serve

        return Handler


def _send(event: dict[str, Any] | None, name: str, write: Callable[[dict[str, Any]], None]) -> None:
    if event is not None and event["object"]["metadata"]["name"] == name:
        write(event)


def _status(code: int, message: str) -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "code": code, "message": message, "reason": "Test"}


def _not_found(name: str) -> tuple[int, Any]:
    return 404, _status(404, f'rayjobs.ray.io "{name}" not found')

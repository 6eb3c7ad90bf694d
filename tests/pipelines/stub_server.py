"""A Kubeflow Pipelines API on this machine, as far as `submit` and `schedule` need it.

Every request is held against `api_check`, and so is every answer. What was wrong stands in `violations`, and such a
request is answered with 400.
"""

import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from tests.pipelines.api_check import Check, ModelCheck

HEALTH = "/apis/v2beta1/healthz"
ROOT = "/apis/v2beta1"
Body = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    query: dict[str, str]
    body: Any


class Refused(Exception):
    """An answer that is not 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class StubServer:
    """What it holds, what was asked of it, and how it answers."""

    def __init__(self, check: Check | None = None) -> None:
        self.check: Check = check or ModelCheck()
        self.token: str | None = None
        """The only bearer token that it takes; None takes any."""
        self.cookie: str | None = None
        """The same for a cookie."""
        self.namespace: str | None = None
        """Of several users, the namespace in which ours is allowed; None: a server of one user."""
        self.is_kubeflow = True
        self.before: Callable[[Request], None] = lambda request: None
        """Called before each answer; may raise `Refused`, or change how the server behaves."""
        self.experiments: list[Body] = []
        self.pipelines: list[Body] = []
        self.versions: list[Body] = []
        self.packages: dict[str, bytes] = {}
        """Version id to the file that was uploaded."""
        self.runs: list[Body] = []
        self.recurring: list[Body] = []
        self.states: dict[str, list[Body]] = {}
        """Run id to what it is shown as next; the last one stays."""
        self.retried: list[str] = []
        self.requests: list[Request] = []
        self.violations: list[str] = []
        self.url = ""
        self._ids = itertools.count(1)

    def asked(self, method: str = "") -> list[str]:
        """Addresses in their order, of one method or of all, without the health."""
        return [request.path for request in self.requests if request.path != HEALTH and method in ("", request.method)]

    def answer(self, request: Request) -> Body:
        """What the API answers."""
        path = request.path.removeprefix(ROOT)
        for method, form, handler in _ROUTES:
            found = re.fullmatch(form, path)
            if found and method == request.method:
                return handler(self, request, *found.groups())
        raise Refused(404, f"no {request.method} {path}")

    def health(self, request: Request) -> Body:
        return {"multi_user": self.namespace is not None}

    def list_experiments(self, request: Request) -> Body:
        self._allow(request.query.get("namespace"))
        return {"experiments": self._matching(self.experiments, request)}

    def create_experiment(self, request: Request) -> Body:
        self._allow(request.body.get("namespace"))
        return self._add(self.experiments, "experiment_id", request.body, unique=("display_name",))

    def list_pipelines(self, request: Request) -> Body:
        self._allow(request.query.get("namespace"))
        return {"pipelines": self._matching(self.pipelines, request)}

    def create_pipeline(self, request: Request) -> Body:
        self._allow(request.body.get("namespace"))
        return self._add(self.pipelines, "pipeline_id", request.body, unique=("name",))

    def list_versions(self, request: Request, pipeline: str) -> Body:
        mine = [version for version in self.versions if version["pipeline_id"] == pipeline]
        return {"pipeline_versions": self._matching(mine, request)}

    def upload_version(self, request: Request) -> Body:
        given = {key: request.query[key] for key in ("name", "display_name", "description") if key in request.query}
        made = self._add(
            self.versions,
            "pipeline_version_id",
            {**given, "pipeline_id": request.query["pipelineid"]},
            unique=("pipeline_id", "name"),
        )
        self.packages[made["pipeline_version_id"]] = request.body
        return made

    def create_run(self, request: Request) -> Body:
        self._known(request.body)
        return self._add(self.runs, "run_id", {**request.body, "state": "PENDING"})

    def get_run(self, request: Request, run_id: str) -> Body:
        shown = self.states.get(run_id)
        if not shown:
            raise Refused(404, f"run {run_id} not found")
        return {"run_id": run_id, **(shown.pop(0) if len(shown) > 1 else shown[0])}

    def retry_run(self, request: Request, run_id: str) -> Body:
        self.retried.append(run_id)
        return {}

    def list_recurring(self, request: Request) -> Body:
        self._allow(request.query.get("namespace"))
        found = self._matching(self.recurring, request)
        begin = int(request.query.get("page_token", "0"))
        end = begin + min(int(request.query.get("page_size", "10")), 2)  # KFP, too, may give less than it is asked for
        rest = {"next_page_token": str(end)} if end < len(found) else {}
        return {"recurringRuns": found[begin:end], **rest}

    def create_recurring(self, request: Request) -> Body:
        self._known(request.body)
        if request.body.get("mode") not in ("ENABLE", "DISABLE"):
            raise Refused(400, "mode is required")
        made = self._add(self.recurring, "recurring_run_id", request.body)
        made["status"] = f"{made['mode']}D"
        return made

    def change_recurring(self, request: Request, found_id: str, verb: str) -> Body:
        self._recurring(found_id)["status"] = f"{verb.upper()}D"
        return {}

    def delete_recurring(self, request: Request, found_id: str) -> Body:
        self.recurring.remove(self._recurring(found_id))
        return {}

    def _recurring(self, found_id: str) -> Body:
        for run in self.recurring:
            if run["recurring_run_id"] == found_id:
                return run
        raise Refused(404, f"recurring run {found_id} not found")

    def _known(self, body: Body) -> None:
        """A run names an experiment and a version that are there."""
        reference = body["pipeline_version_reference"]
        versions = {(item["pipeline_id"], item["pipeline_version_id"]) for item in self.versions}
        if (reference["pipeline_id"], reference["pipeline_version_id"]) not in versions:
            raise Refused(404, "pipeline version not found")
        if body["experiment_id"] not in {item["experiment_id"] for item in self.experiments}:
            raise Refused(404, "experiment not found")

    def _allow(self, namespace: str | None) -> None:
        if self.namespace is not None and namespace != self.namespace:
            raise Refused(403, f"User 'ann' is not authorized in namespace {namespace}")

    def _matching(self, items: list[Body], request: Request) -> list[Body]:
        wanted = json.loads(request.query.get("filter", "{}")).get("predicates", [])
        assert all(item["operation"] == 1 and item["key"] == "display_name" for item in wanted)
        return [item for item in items if all(item["display_name"] == name["stringValue"] for name in wanted)]

    def _add(self, items: list[Body], key: str, body: Body, unique: tuple[str, ...] = ()) -> Body:
        if unique and any(all(item[name] == body[name] for name in unique) for item in items):
            raise Refused(409, f"{body[unique[-1]]} is there already")
        made = {**body, key: f"{key[0]}-{next(self._ids)}"}
        items.append(made)
        return made


_Handler = Callable[..., Body]
_ROUTES: tuple[tuple[str, str, _Handler], ...] = (
    ("GET", "/healthz", StubServer.health),
    ("GET", "/experiments", StubServer.list_experiments),
    ("POST", "/experiments", StubServer.create_experiment),
    ("GET", "/pipelines", StubServer.list_pipelines),
    ("POST", "/pipelines", StubServer.create_pipeline),
    ("POST", "/pipelines/upload_version", StubServer.upload_version),
    ("GET", "/pipelines/([^/:]+)/versions", StubServer.list_versions),
    ("POST", "/runs", StubServer.create_run),
    ("GET", "/runs/([^/:]+)", StubServer.get_run),
    ("POST", "/runs/([^/:]+):retry", StubServer.retry_run),
    ("GET", "/recurringruns", StubServer.list_recurring),
    ("POST", "/recurringruns", StubServer.create_recurring),
    ("POST", "/recurringruns/([^/:]+):(enable|disable)", StubServer.change_recurring),
    ("DELETE", "/recurringruns/([^/:]+)", StubServer.delete_recurring),
)
_BODIES = {
    "/experiments": "v2beta1Experiment",
    "/pipelines": "v2beta1Pipeline",
    "/runs": "v2beta1Run",
    "/recurringruns": "v2beta1RecurringRun",
}
_ANSWERS = (
    ("GET", "/healthz", "v2beta1GetHealthzResponse"),
    ("GET", "/experiments", "v2beta1ListExperimentsResponse"),
    ("POST", "/experiments", "v2beta1Experiment"),
    ("GET", "/pipelines", "v2beta1ListPipelinesResponse"),
    ("POST", "/pipelines", "v2beta1Pipeline"),
    ("POST", "/pipelines/upload_version", "v2beta1PipelineVersion"),
    ("GET", "/pipelines/[^/]+/versions", "v2beta1ListPipelineVersionsResponse"),
    ("POST", "/runs", "v2beta1Run"),
    ("GET", "/runs/[^/:]+", "v2beta1Run"),
    ("GET", "/recurringruns", "v2beta1ListRecurringRunsResponse"),
    ("POST", "/recurringruns", "v2beta1RecurringRun"),
)


@contextmanager
def stub_server(check: Check | None = None) -> Iterator[StubServer]:
    """Serve until the block ends."""
    stub = StubServer(check)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:
            self._serve("POST")

        def do_DELETE(self) -> None:
            self._serve("DELETE")

        def _serve(self, method: str) -> None:
            path, _, query = self.path.partition("?")
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            if not stub.is_kubeflow:
                self._answer(200, b"<html>Something else</html>", "text/html")
                return
            try:
                body = _body(self.headers.get("content-type", ""), raw)
                request = Request(method, path, dict(parse_qsl(query)), body)
                stub.requests.append(request)
                stub.before(request)
                self._authenticate()
                self._hold(stub.check.request(method, path, query, _model(method, path), body))
                found = stub.answer(request)
                self._hold(_wrong_answer(stub.check, method, path, found))
            except Refused as refusal:
                self._answer(refusal.status, json.dumps({"code": 0, "message": str(refusal)}).encode())
            else:
                self._answer(200, json.dumps(found).encode())

        def _authenticate(self) -> None:
            if stub.token is not None and self.headers.get("authorization") != f"Bearer {stub.token}":
                raise Refused(401, "token expired")
            if stub.cookie is not None and self.headers.get("cookie") != stub.cookie:
                raise Refused(401, "no session")

        def _hold(self, violation: str | None) -> None:
            if violation is not None:
                stub.violations.append(violation)
                raise Refused(400, violation)

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
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert stub.violations == []


def _body(kind: str, raw: bytes) -> Any:
    """A JSON body as data, an uploaded file as its bytes; None where there is neither."""
    if kind.startswith("multipart/form-data"):
        message = BytesParser().parsebytes(b"content-type: " + kind.encode() + b"\r\n\r\n" + raw)
        (part,) = message.get_payload()
        assert part.get_param("name", header="content-disposition") == "uploadfile"
        return part.get_payload(decode=True)
    return json.loads(raw) if raw and raw != b"null" else None


def _model(method: str, path: str) -> str | None:
    return _BODIES.get(path.removeprefix(ROOT)) if method == "POST" else None


def _wrong_answer(check: Check, method: str, path: str, body: Body) -> str | None:
    for wanted, form, model in _ANSWERS:
        if wanted == method and re.fullmatch(form, path.removeprefix(ROOT)):
            return check.answer(model, body)
    return None

"""Pipeline, version and run on an endpoint, and what is said when that fails: against a stub of the API."""

import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest

from hazardline.errors import UserError
from tests.pipelines.cluster import REGISTRY, ROOT, made_up_digests
from tests.pipelines.stub_server import HEALTH, Refused, Request, StubServer

from pipelines.__main__ import app
from pipelines.endpoint import Access, Endpoint
from pipelines.package import Package
from pipelines.submission import start, upload
from pipelines.watching import resume, watch

SMOKE = str(ROOT / "recipes" / "crashchat_pocket_smoke.yaml")
IMAGES = ["--registry", REGISTRY, *(f"--image-digest={name}={digest}" for name, digest in made_up_digests().items())]
VERSIONS = "/apis/v2beta1/pipelines/upload_version"
RUNS = "/apis/v2beta1/runs"


def run(*arguments: str) -> int:
    """`python -m pipelines`, in this process; its exit status."""
    try:
        app(list(arguments), standalone_mode=True)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def task(name: str, state: str, message: str = "") -> dict[str, Any]:
    return {"display_name": name, "state": state, **({"error": {"code": 2, "message": message}} if message else {})}


def shown(state: str, *tasks: dict[str, Any], history: int = 0) -> dict[str, Any]:
    """A run as the API shows it."""
    return {
        "display_name": "the run",
        "state": state,
        "run_details": {"task_details": [task("root", state), task("simulate-driver", "SUCCEEDED"), *tasks]},
        "state_history": [{"state": "PENDING"}] * history,
    }


def failing(path: str, *errors: Refused | type[OSError], method: str = "") -> Any:
    """Makes the server fail in turn at an address; then it answers."""
    left = list(errors)

    def before(request: Request) -> None:
        if left and request.path == path and method in ("", request.method):
            raise left.pop(0)

    return before


def test_a_version_is_uploaded_and_run(endpoint: Endpoint, server: StubServer, package: Package) -> None:
    uploaded = upload(endpoint, package)
    run_id = start(endpoint, package, uploaded, "nightly", "hazardline-pipeline")
    (pipeline,), (version,), (made,) = server.pipelines, server.versions, server.runs
    assert pipeline["name"] == package.name == "hazardline-crashchat-pocket-smoke"
    assert version["name"] == package.version and version["pipeline_id"] == pipeline["pipeline_id"]
    assert server.packages[version["pipeline_version_id"]] == package.path.read_bytes()
    assert made["run_id"] == run_id and "pipeline_spec" not in made
    assert made["pipeline_version_reference"] == {
        "pipeline_id": pipeline["pipeline_id"],
        "pipeline_version_id": version["pipeline_version_id"],
    }
    assert made["service_account"] == "hazardline-pipeline"
    assert [item["display_name"] for item in server.experiments] == ["nightly"]
    assert endpoint.run_url(run_id) == f"{server.url}/#/runs/details/{run_id}"


def test_the_same_version_is_not_uploaded_twice(endpoint: Endpoint, server: StubServer, package: Package) -> None:
    first = upload(endpoint, package)
    again = upload(endpoint, package)
    assert first.is_new and not again.is_new
    assert first.version_id == again.version_id
    assert server.asked("POST") == ["/apis/v2beta1/pipelines", VERSIONS]
    for _ in range(2):
        start(endpoint, package, again, "nightly", "hazardline-pipeline")
    assert len(server.experiments) == 1 and len(server.runs) == 2


def test_another_file_is_another_version_of_the_same_pipeline(
    endpoint: Endpoint, server: StubServer, package: Package
) -> None:
    upload(endpoint, package)
    other = Package(package.path, package.name, f"{package.version}-other", package.description)
    assert upload(endpoint, other).is_new
    assert len(server.pipelines) == 1 and len(server.versions) == 2


def test_of_two_uploads_at_once_the_second_takes_the_first(
    endpoint: Endpoint, server: StubServer, package: Package
) -> None:
    def other_client(request: Request) -> None:
        """Between the question and the upload another client has made the same."""
        if request.method == "POST":
            server.before = lambda request: None
            upload(Endpoint(Access(server.url, "ann")), package)

    server.before = other_client
    assert not upload(endpoint, package).is_new
    assert len(server.pipelines) == len(server.versions) == 1


def test_a_shared_endpoint_is_told_the_namespace_and_a_single_one_is_not(
    server: StubServer, user: None, package: Package
) -> None:
    server.namespace = "ann"
    start(endpoint := Endpoint(Access(server.url, "ann")), package, upload(endpoint, package), "x", "account")
    assert [item["namespace"] for item in (*server.pipelines, *server.experiments)] == ["ann", "ann"]
    server.namespace = None
    server.pipelines.clear()
    upload(Endpoint(Access(server.url, "ann")), package)
    assert "namespace" not in server.pipelines[0]


def test_a_wrong_namespace_is_named(server: StubServer, user: None, package: Package) -> None:
    server.namespace = "ann"
    with pytest.raises(UserError, match=r"\Ahttp[^\n]+namespace bob \(status 403: User 'ann'[^\n]+check --namespace"):
        upload(Endpoint(Access(server.url, "bob")), package)


def test_an_unreachable_endpoint_is_one_line(user: None) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UserError, match=r"\Ahttp[^\n]+cannot be reached[^\n]+check the address[^\n]+\Z"):
            Endpoint(Access(host, "ann"))


def test_another_kind_of_server_is_told_from_kubeflow(server: StubServer, user: None) -> None:
    server.is_kubeflow = False
    with pytest.raises(UserError, match=r"expected the health of a Kubeflow Pipelines API.*login page"):
        Endpoint(Access(server.url, "ann"))
    with pytest.raises(UserError, match="expected an address with http"):
        Access.of("kubeflow.example", "ann")
    with pytest.raises(UserError, match="no endpoint: give --host, set KF_PIPELINES_ENDPOINT"):
        Access.of(None, "ann")


@pytest.mark.parametrize("token", [None, "stale"])
def test_a_refused_token_is_named(server: StubServer, user: None, token: str | None) -> None:
    server.token = "fresh"
    with pytest.raises(UserError, match=r"status 401.*HAZARDLINE_KFP_TOKEN"):
        Endpoint(Access(server.url, "ann", token=token))


def test_a_token_that_expires_on_the_way_is_named(server: StubServer, user: None, package: Package) -> None:
    server.token = "secret"
    endpoint = Endpoint(Access(server.url, "ann", token="secret"))

    def expire(request: Request) -> None:
        if request.path == VERSIONS:
            server.token = "another"

    server.before = expire
    with pytest.raises(UserError, match=r"status 401.*HAZARDLINE_KFP_TOKEN") as refused:
        upload(endpoint, package)
    assert "secret" not in str(refused.value)
    assert server.versions == []


def test_credentials_are_found_as_users_of_kfp_have_them(
    server: StubServer, user: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", server.url)
    server.token = "projected"
    projected = tmp_path / "token"
    projected.write_text("projected\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(projected))
    Endpoint(Access.of(None, "ann"))
    server.token = "given"
    monkeypatch.setenv("HAZARDLINE_KFP_TOKEN", "given")
    Endpoint(Access.of(None, "ann"))
    server.token, server.cookie = None, "authservice_session=abc"
    monkeypatch.delenv("HAZARDLINE_KFP_TOKEN")
    monkeypatch.setenv("HAZARDLINE_KFP_COOKIES", "authservice_session=abc")
    Endpoint(Access.of(None, "ann"))
    server.cookie = "authservice_session=other"
    with pytest.raises(UserError, match="or cookies"):
        Endpoint(Access.of(None, "ann"))


def test_a_token_in_a_file_may_be_renewed_while_a_run_is_watched(
    server: StubServer, user: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    projected = tmp_path / "token"
    projected.write_text("old")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(projected))
    server.token = "old"

    def renew(_: float) -> None:
        projected.write_text("new")
        server.token = "new"

    endpoint = Endpoint(Access.of(server.url, "ann"), sleep=renew)
    server.states["r-9"] = [shown("RUNNING"), shown("SUCCEEDED")]
    assert watch(endpoint, "r-9", lambda line: None).is_success


def test_a_run_is_watched_to_its_end(endpoint: Endpoint, server: StubServer, pauses: list[float]) -> None:
    running = task("simulate", "RUNNING")
    done = task("simulate", "SUCCEEDED")
    server.states["r-9"] = [
        {"display_name": "the run"},
        shown("RUNNING", running),
        shown("RUNNING", running),
        shown("RUNNING", done, task("ingest", "RUNNING")),
        shown("SUCCEEDED", done, task("ingest", "SUCCEEDED")),
    ]
    lines: list[str] = []
    assert watch(endpoint, "r-9", lines.append, poll_s=7.0).is_success
    assert [line.split() for line in lines] == [
        ["run", "pending"],
        ["simulate", "running"],
        ["run", "running"],
        ["simulate", "succeeded"],
        ["ingest", "running"],
        ["ingest", "succeeded"],
        ["run", "succeeded"],
    ]
    assert pauses == [7.0] * 4


def test_an_endpoint_that_fails_for_a_while_is_borne(
    endpoint: Endpoint, server: StubServer, pauses: list[float]
) -> None:
    server.states["r-9"] = [shown("SUCCEEDED")]
    server.before = failing(f"{RUNS}/r-9", Refused(500, "database is locked"), Refused(503, "no upstream"))
    assert watch(endpoint, "r-9", lambda line: None).is_success
    assert pauses == [1.0, 2.0]


def test_an_endpoint_that_stays_away_is_told_and_the_run_is_not_lost(
    endpoint: Endpoint, server: StubServer, pauses: list[float]
) -> None:
    server.states["r-9"] = [shown("RUNNING")]
    server.before = failing(f"{RUNS}/r-9", *[Refused(500, "database is locked")] * 99)
    with pytest.raises(UserError, match=r"status 500: database is locked.*not ended.*submit --resume r-9"):
        watch(endpoint, "r-9", lambda line: None)
    assert sum(pauses) >= endpoint.patience_s


def test_a_change_is_not_made_twice_where_its_answer_is_lost(
    endpoint: Endpoint, server: StubServer, package: Package
) -> None:
    uploaded = upload(endpoint, package)
    server.before = failing(RUNS, Refused(500, "context deadline exceeded"), method="POST")
    with pytest.raises(UserError, match=r"failed \(status 500: context deadline exceeded\)"):
        start(endpoint, package, uploaded, "nightly", "account")
    assert server.asked("POST").count(RUNS) == 1


def test_a_failed_run_is_tried_again_from_where_it_failed(
    endpoint: Endpoint, server: StubServer, pauses: list[float]
) -> None:
    failed = shown("FAILED", task("train", "FAILED", "out of memory"), history=3)
    server.states["r-9"] = [failed, failed, shown("RUNNING", history=4), shown("SUCCEEDED", history=5)]
    lines: list[str] = []
    assert resume(endpoint, "r-9", lines.append).is_success
    assert server.retried == ["r-9"]
    assert lines[0] == "run          failed: trying it again"


def test_a_run_that_fails_again_ends_so(endpoint: Endpoint, server: StubServer) -> None:
    train = task("train", "FAILED", "out of memory")
    server.states["r-9"] = [
        shown("FAILED", train, history=3),
        shown("FAILED", train, history=3),
        shown("FAILED", train, history=5),
    ]
    ended = resume(endpoint, "r-9", lambda line: None)
    assert (ended.state, ended.failed_tasks) == ("FAILED", {"train": "out of memory"})


def test_a_retry_that_leaves_no_mark_is_not_waited_for_for_ever(endpoint: Endpoint, server: StubServer) -> None:
    server.states["r-9"] = [shown("FAILED", history=3)]
    assert not resume(endpoint, "r-9", lambda line: None).is_success


@pytest.mark.parametrize("state", ["RUNNING", "SUCCEEDED"])
def test_a_run_that_did_not_fail_is_only_watched(endpoint: Endpoint, server: StubServer, state: str) -> None:
    server.states["r-9"] = [shown(state), shown("SUCCEEDED")]
    assert resume(endpoint, "r-9", lambda line: None).is_success
    assert server.retried == []


def test_an_unknown_run_is_named(endpoint: Endpoint) -> None:
    with pytest.raises(UserError, match=r"knows no run r-0; check --resume"):
        resume(endpoint, "r-0", lambda line: None)


def test_the_command_waits_and_has_the_runs_status(
    server: StubServer, user: None, capsys: pytest.CaptureFixture[str]
) -> None:
    def end(request: Request) -> None:
        for made in server.runs:
            server.states[made["run_id"]] = [shown("FAILED", task("train", "FAILED", "no GPU"))]

    server.before = end
    assert run("submit", SMOKE, "--host", server.url, "--wait", *IMAGES) == 1
    (made,) = server.runs
    said = capsys.readouterr()
    assert "was uploaded" in said.out and f"run {made['run_id']} was started: {server.url}/#/runs" in said.out
    assert "train failed: no GPU" in said.err and f"submit --resume {made['run_id']}" in said.err
    server.states[made["run_id"]] = [shown("SUCCEEDED")]
    server.before = lambda request: None
    assert run("submit", "--resume", made["run_id"], "--host", server.url) == 0
    assert run("submit", SMOKE, "--host", server.url, *IMAGES) == 0
    assert "is there already" in capsys.readouterr().out


def test_the_command_uses_the_tables_namespace_and_account(server: StubServer, user: None) -> None:
    server.namespace = "hazardline"
    assert run("submit", SMOKE, "--host", server.url, *IMAGES) == 0
    assert server.runs[0]["service_account"] == "hazardline-pipeline"


def test_images_without_digests_are_told_before_anything_is_sent(server: StubServer, user: None) -> None:
    with pytest.raises(UserError, match="registry is null"):
        run("submit", SMOKE, "--host", server.url)
    with contextlib.suppress(UserError):
        run("compile", SMOKE)
    assert server.requests == []


@pytest.mark.parametrize("arguments", [[], [SMOKE, "--resume", "r-1"]])
def test_a_recipe_or_a_run_is_wanted_and_not_both(arguments: list[str], user: None) -> None:
    with pytest.raises(UserError, match="give a recipe to start a run of it, or --resume"):
        run("submit", *arguments, "--host", "http://127.0.0.1:1")


def test_the_stub_refuses_what_kfp_would_not_know(server: StubServer, endpoint: Endpoint) -> None:
    """The checks themselves: a misspelt field of a body and, with the document, of a query."""
    import requests

    assert server.check.answer("v2beta1Run", {"run_id": "r", "stat": "FAILED"}) is not None
    answer = requests.post(f"{server.url}/apis/v2beta1/experiments", json={"display_nam": "x"}, timeout=10)
    assert answer.status_code == 400
    assert len(server.violations) == 1
    server.violations.clear()
    assert server.requests[0].path == HEALTH

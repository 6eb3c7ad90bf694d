"""Push and pull through Label Studio's SDK: against a small server, and against the real one where there is one.

`HAZARDLINE_LABEL_STUDIO` names the executable of Label Studio (`pip install label-studio`, in an environment of its
own).
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from label_studio_sdk import ImportApiRequest, PredictionRequest

from hazardline.environment import LABEL_STUDIO_KEY
from hazardline.errors import UserError
from hazardline.review.collect import collect
from hazardline.review.label_studio import connected, pull, push
from hazardline.review.media import MediaPlan
from hazardline.review.project import read_project, read_tasks, write_project
from hazardline.review.results import write_results
from tests.review.label_studio_server import KEY, Server, running
from tests.review.reviewers import choice, mark, replaced, text

REAL_SERVER = "HAZARDLINE_LABEL_STUDIO"


def test_without_the_sdk_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "label_studio_sdk", None)
    with pytest.raises(UserError, match=r"pip install 'hazardline\[review\]'"):
        connected("http://127.0.0.1:1").__enter__()


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match=r"expected the http\(s\) address"):
        connected("file:///etc/passwd").__enter__()


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LABEL_STUDIO_KEY, KEY)


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    with connected(server.url) as found:
        yield found


@pytest.fixture
def server(key: None) -> Iterator[Server]:
    with running() as found:
        yield found


def test_a_push_fills_a_project_and_may_be_repeated(server: Server, client: Any, crash_project: Path) -> None:
    config, tasks = read_tasks(crash_project)
    pushed = push(crash_project, client, server.url, "a review", num_reviewers=2)
    assert (pushed.num_created, pushed.num_present) == (len(tasks), 0)
    assert [(task["data"], task["predictions"]) for task in server.tasks[1]] == [
        (task["data"], task["predictions"]) for task in tasks
    ]
    assert server.projects[1]["label_config"] == config and server.projects[1]["maximum_annotations"] == 2
    _check_shapes(server.bodies)
    del server.tasks[1][3:]
    again = push(crash_project, client, server.url, "a review")
    assert (again.project_id, again.num_created, again.num_present) == (1, len(tasks) - 3, 3)
    assert len(tasks) > 4, "more than a page"
    assert sorted(task["data"]["clip_id"] for task in server.tasks[1]) == sorted(
        task["data"]["clip_id"] for task in tasks
    )


def _check_shapes(bodies: list[tuple[str, Any]]) -> None:
    """Every body against the SDK's own models. A prediction of an import gets its task's number from the server."""
    assert [path.rstrip("/") for path, _ in bodies] == ["/api/projects", "/api/projects/1/import"]
    for task in bodies[1][1]:
        assert set(task) <= set(ImportApiRequest.model_fields)
        predictions = [{**prediction, "task": 0} for prediction in task["predictions"]]
        assert all(set(prediction) <= set(PredictionRequest.model_fields) for prediction in predictions)
        ImportApiRequest.model_validate({**task, "predictions": predictions})


def test_another_configuration_is_not_overwritten(
    server: Server, client: Any, crash_project: Path, image_project: Path
) -> None:
    push(crash_project, client, server.url, "a review")
    with pytest.raises(UserError, match="another labeling configuration"):
        push(image_project, client, server.url, "a review")
    assert len(server.bodies) == 2
    server.projects[2] = {**server.projects[1], "id": 2}
    with pytest.raises(UserError, match="2 projects 'a review'"):
        push(crash_project, client, server.url, "a review")


def test_a_pull_is_what_import_reads(server: Server, client: Any, crash_project: Path, tmp_path: Path) -> None:
    push(crash_project, client, server.url, "a review")
    size = pull(client, server.url, "a review", tmp_path / "export.json")
    assert size == (tmp_path / "export.json").stat().st_size
    found = collect(read_project(crash_project), [tmp_path / "export.json"])
    assert {problem.reason for problem in found.problems} == {"not_annotated"}
    with pytest.raises(UserError, match="has no project 'another'"):
        pull(client, server.url, "another", tmp_path / "another.json")


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "the key in the environment"), (403, "may not do this"), (404, "Enterprise"), (500, "server's log")],
)
def test_what_the_server_refuses_is_one_line(
    server: Server, client: Any, status: int, message: str, crash_project: Path, tmp_path: Path
) -> None:
    push(crash_project, client, server.url, "a review")
    server.fail_with, server.fail_on = status, "export"
    with pytest.raises(UserError, match=message) as caught:
        pull(client, server.url, "a review", tmp_path / "export.json")
    assert "\n" not in str(caught.value) and KEY not in str(caught.value)
    assert not (tmp_path / "export.json").exists()


def test_a_wrong_key_no_key_and_no_server(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(LABEL_STUDIO_KEY, "wrong")
    with pytest.raises(UserError, match="401"), connected(server.url) as client:
        pull(client, server.url, "x", tmp_path / "x")
    monkeypatch.delenv(LABEL_STUDIO_KEY)
    with pytest.raises(UserError, match="HAZARDLINE_LABEL_STUDIO_KEY is not set"):
        connected(server.url).__enter__()
    monkeypatch.setenv(LABEL_STUDIO_KEY, KEY)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(UserError, match="cannot be reached"), connected(url) as client:
            pull(client, url, "x", tmp_path / "x")


# the real server


@pytest.fixture(scope="module")
def real_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    executable = os.environ.get(REAL_SERVER)
    if not executable:
        pytest.skip(f"{REAL_SERVER} does not name the executable of Label Studio")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("label-studio")
    settings = {"LABEL_STUDIO_BASE_DATA_DIR": str(folder), "LATEST_VERSION_CHECK": "false", "SENTRY_DSN": ""}
    settings |= {"COLLECT_ANALYTICS": "false", "FRONTEND_SENTRY_DSN": "", "DJANGO_DB": "sqlite"}
    command = [executable, "start", "--no-browser", "--port", str(port), "--username", "reviewer@example.org"]
    command += ["--password", "a-pass-of-a-test-1", "--user-token", KEY, "--enable-legacy-api-token"]
    with (
        (folder / "log.txt").open("wb") as log,
        subprocess.Popen(command, env=os.environ | settings, stdout=log, stderr=log, cwd=folder) as process,
    ):
        try:
            yield _when_up(f"http://127.0.0.1:{port}", process, folder / "log.txt")
        finally:
            process.terminate()


def _when_up(url: str, process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return url
        except OSError:
            time.sleep(1)
    raise AssertionError(log.read_text(errors="replace")[-2000:])


def test_a_round_trip_through_the_real_server(
    real_url: str, key: None, crash_inputs: dict[str, Path], tmp_path: Path
) -> None:
    """Two reviewers, one of them with corrections; both export formats say the same."""
    project, exported, flat = tmp_path / "project", tmp_path / "export.json", tmp_path / "flat.json"
    write_project(crash_inputs, project, 8, 0, MediaPlan("copy"))
    sample, (_, tasks) = read_project(project), read_tasks(project)
    crash = next(task["data"]["clip_id"] for task in tasks if task["data"]["clip_id"].startswith("crash"))
    with connected(real_url) as client:
        pushed = push(project, client, real_url, "round trip", num_reviewers=2)
        assert pushed.num_created == len(tasks)
        assert push(project, client, real_url, "round trip").num_created == 0
        second_id = _review(client, pushed.project_id, crash)
        assert pull(client, real_url, "round trip", exported) == exported.stat().st_size
        flat.write_bytes(b"".join(client.projects.exports.download_sync(pushed.project_id, export_type="JSON_MIN")))
    found = collect(sample, [exported], keep_names=True)
    assert (found.num_annotations, found.num_used, found.problems) == (2 * len(tasks), 2 * len(tasks), [])
    refused = [row for row in found.decisions if row.decision != "correct"]
    assert {(row.clip_id, row.task, row.reviewer) for row in refused} == {
        (crash, "cause_reasoning", f"user-{second_id}"),
        (crash, "crash_localization", f"user-{second_id}"),
    }
    assert {row.corrected_answer for row in refused} == {"Ice on the road.", "3.0 - 5.0 seconds"}
    assert collect(sample, [flat], keep_names=True).decisions == found.decisions
    review = write_results(sample, [exported], tmp_path / "results", num_resamples=100)
    assert review.num_clips_reviewed == len(tasks) and len(review.reviewers) == 2
    assert json.loads((tmp_path / "results/review.json").read_text())["problems"] == {}


def _review(client: Any, project_id: int, crash: str) -> int:
    """Annotate every task twice: as shown, and by a second reviewer who corrects one crash; returns the second's id."""
    second = client.users.create(email="second@example.org", username="second", first_name="", last_name="")
    for task in client.tasks.list(project=project_id, fields="all"):
        results = task.predictions[0]["result"] if isinstance(task.predictions[0], dict) else task.predictions[0].result
        client.annotations.create(id=task.id, result=results, lead_time=20.0)
        if task.data["clip_id"] == crash:
            wrong = (choice("cause_reasoning", "wrong"), text("cause_reasoning", "Ice on the road."))
            results = replaced(results, mark("crash", 91, 150), *wrong)
        client.annotations.create(id=task.id, result=results, lead_time=30.0, completed_by=second.id)
    found: int = second.id
    return found

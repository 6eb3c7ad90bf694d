"""The component against a fake Kubernetes that runs the entrypoint: every way a RayJob may go."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from hazardline.errors import UserError
from hazardline.rayjob.client import RayJobsApi
from hazardline.rayjob.config import RayJobConfig
from hazardline.rayjob.failures import RayJobDefectError
from hazardline.rayjob.request import StageResult
from hazardline.rayjob.watch import Follower
from hazardline.store import StageRecord
from tests.rayjob.conftest import PATIENCE_S, QUICK, Place, wait_until
from tests.rayjob.fake_operator import Script

NEVER = float("inf")


def name_of(place: Place) -> str:
    (name,) = place.fake.jobs
    return name


def test_a_job_is_created_followed_and_removed(place: Place) -> None:
    place.fake.script = Script(queue_s=0.3)
    record = place.run()
    assert not record.cached and record.summary == {"steps": 10}
    assert (record.output / "adapter.txt").read_text() == "weights"
    assert record.output.is_relative_to(place.store) and record.wall_s > record.made_wall_s > 0
    (created,) = place.fake.created
    name = created["metadata"]["name"]
    notes = place.notes()
    assert [note for note in notes if note.startswith("RayJob ")] == [
        f"RayJob {name}: queued in hazardline-training",
        f"RayJob {name}: cluster starting",
        f"RayJob {name}: running",
    ]
    assert "goes on from the checkpoint of step 0" in notes
    phases = [json.loads(line) for line in place.events.read_text().splitlines() if '"phase"' in line]
    assert phases[-1]["phase"] == "train" and phases[-1]["total"] == 10
    place.check_removed()
    again = place.run()
    assert again.cached and again.content_digest == record.content_digest and len(place.fake.created) == 1


@pytest.mark.parametrize("end", ["well", "refuse", "break"])
def test_secrets_reach_the_stage_and_nothing_that_is_left(place: Place, end: str) -> None:
    (place.tiny / end).write_text("told to end")
    component = place.start()
    said = component.communicate(timeout=PATIENCE_S)[1]
    assert component.returncode == {"well": 0, "refuse": 2, "break": 1}[end], said
    given = dict(line.split("=", 1) for line in (place.tiny / "environment").read_text().splitlines())
    assert given["AWS_SECRET_ACCESS_KEY"] == given["MLFLOW_TRACKING_PASSWORD"] == "canary"
    assert given["MLFLOW_RUN_ID"] == "run-7" and given["HAZARDLINE_STORE"] == str(place.store)
    assert "HAZARDLINE_RAYJOB" not in given and "HAZARDLINE_EVENTS" not in given
    assert "canary" not in json.dumps(place.fake.created) + said
    left = {path: path.read_bytes() for path in place.folder.rglob("*") if path.is_file()}
    assert {place.folder / "entrypoint-0.log", place.events} < set(left)
    assert {path for path, data in left.items() if b"canary" in data} == {place.tiny / "environment"}
    assert {path for path, data in left.items() if place.fake.token.encode() in data} == {place.fake.kubeconfig}


def test_a_job_of_a_killed_component_is_adopted(place: Place) -> None:
    place.hold_at(4)
    first = place.start()
    wait_until(lambda: place.steps() == 4)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert place.fake.jobs
    place.let_go()
    record = place.run()
    assert record.summary == {"steps": 10} and place.starts() == [0] and len(place.fake.created) == 1
    assert any("adopted; it was begun by" in note for note in place.notes())
    place.check_removed()


def test_what_a_job_of_a_killed_component_has_finished_is_not_made_again(place: Place) -> None:
    place.hold_at(9)
    first = place.start()
    wait_until(lambda: place.steps() == 9)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    place.let_go()
    (name,) = place.fake.jobs
    wait_until(lambda: place.fake.jobs[name]["status"]["jobDeploymentStatus"] == "Complete")
    record = place.run()
    assert record.cached and record.summary == {"steps": 10} and place.starts() == [0] and len(place.fake.created) == 1


def test_a_component_that_is_told_to_end_removes_its_job_and_the_next_goes_on(place: Place) -> None:
    place.hold_at(4)
    first = place.start()
    wait_until(lambda: place.steps() == 4)
    name = name_of(place)
    first.send_signal(signal.SIGTERM)
    _, said = first.communicate(timeout=PATIENCE_S)
    assert first.returncode == 2
    assert said.strip() == (
        f"train: stopped by SIGTERM; the RayJob {name} is removed, checkpoints are kept: run again to go on"
    )
    place.check_removed()
    place.let_go()
    assert place.run().summary == {"steps": 10}
    assert place.starts() == [0, 4] and place.fake.deleted == [name, name]


def test_who_adopts_keeps_the_job_when_the_first_is_told_to_end(place: Place) -> None:
    place.hold_at(4)
    first, second = place.start("first"), None
    wait_until(lambda: place.steps() == 4)
    second = place.start("second")
    wait_until(lambda: any("adopted" in note for note in place.notes()))
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=PATIENCE_S)
    assert first.returncode == 2 and place.fake.deleted == [] and place.fake.jobs
    assert any("who wants it further" in note for note in place.notes())
    place.let_go()
    _, said = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 0, said
    assert place.starts() == [0]
    place.check_removed()


def test_two_runs_wait_for_one_job(place: Place) -> None:
    place.hold_at(4)
    first = place.start("first")
    wait_until(lambda: place.steps() == 4)
    second = place.start("second")
    wait_until(lambda: any("adopted" in note for note in place.notes()))
    place.let_go()
    for process in (first, second):
        _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said
    assert place.starts() == [0]
    place.check_removed()


def test_another_request_of_the_same_name_is_an_error(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.run()
    job = place.fake.created[0]
    place.check_removed()
    del job["spec"]["suspend"]
    job["metadata"]["annotations"] |= {"hazardline/request-digest": "0" * 64, "hazardline/owner": "another"}
    place.fake.script = Script(ignores=True)
    assert place.fake.create(job)[0] == 201
    for path in (place.store / "train").iterdir():
        path.rename(place.folder / "away")
    said = place.refused(capsys)
    assert "there is one of this name that asks for something else" in said and "delete rayjob" in said
    assert place.fake.deleted == [name_of(place)], "the second one is another's, and stays"
    assert list((place.store / "rayjobs").rglob("*.json")) == []


def test_a_job_that_somebody_removes_is_created_again(place: Place) -> None:
    place.hold_at(4)
    component = place.start()
    wait_until(lambda: place.steps() == 4)
    place.fake.delete(name_of(place), {})
    wait_until(lambda: len(place.fake.created) == 2)
    place.let_go()
    _, said = component.communicate(timeout=PATIENCE_S)
    assert component.returncode == 0, said
    assert place.starts() == [0, 4] and any("created again" in note for note in place.notes())
    place.check_removed()


def test_a_job_that_had_failed_gives_way(place: Place) -> None:
    place.hold_at(4)
    first = place.start()
    wait_until(lambda: place.steps() == 4)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    place.fake.script.ends = {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "reason": "AppFailed"}
    name = name_of(place)
    wait_until(lambda: place.fake.jobs[name]["status"]["jobDeploymentStatus"] == "Failed")
    place.fake.script = Script()
    place.let_go()
    assert place.run().summary == {"steps": 10}
    assert place.starts() == [0, 4] and len(place.fake.created) == 2
    assert any("one that had failed was removed" in note for note in place.notes())


def test_a_queue_that_never_admits(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.fake.script = Script(queue_s=NEVER)
    said = place.refused(capsys, queue_timeout_s=1)
    assert "not admitted by the queue hazardline-training within 1 s" in said and "quota" in said
    assert place.starts() == []
    place.check_removed()


QUEUED = {"jobDeploymentStatus": "Suspended", "jobStatus": ""}
STARTING = {"jobDeploymentStatus": "Initializing", "jobStatus": ""}
RUNNING = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        ([QUEUED, STARTING, RUNNING, QUEUED, STARTING, RUNNING], None),
        ([QUEUED, QUEUED], "not admitted by the queue hazardline-training within 60 s"),
        ([QUEUED, STARTING, STARTING], "did not start within 60 s"),
        ([QUEUED, STARTING, RUNNING, QUEUED, STARTING, RUNNING, RUNNING], "ran longer than 60 s"),
    ],
)
def test_queue_start_and_run_have_clocks_of_their_own_also_after_a_preemption(
    place: Place, monkeypatch: pytest.MonkeyPatch, statuses: list[dict[str, str]], said: str | None
) -> None:
    """Each status lasts 50 s of a clock that the test turns, the last one to the end; no phase may last over 60 s."""
    monkeypatch.setenv("KUBECONFIG", str(place.fake.kubeconfig))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    place.fake.script, place.fake.faults = Script(ignores=True), None
    limits = {"queue_timeout_s": 60, "start_timeout_s": 60, "run_deadline_s": 60}
    settings = RayJobConfig.parse({**QUICK, **limits}, "test")
    api = RayJobsApi("hazardline", patience_s=15.0, backoff_s=0.02, max_backoff_s=0.1)
    api.create({"metadata": {"name": "one", "labels": {}}, "spec": {}, "status": statuses[0]})
    record, coming, now_s = StageRecord.read(place.inputs["ingest"]), list(statuses[1:]), 0.0

    def tick() -> StageResult | None:
        nonlocal now_s
        now_s += 50.0
        if coming:
            place.fake.update("one", **coming.pop(0))
        elif said is None:
            return StageResult(state="made", record=record)
        return None

    follower = Follower(api, settings, "one", [].append, tick, clock=lambda: now_s)
    if said is None:
        assert follower.follow() == record and now_s == 300.0
    else:
        with pytest.raises(UserError, match=said):
            follower.follow()


UNSCHEDULABLE = {
    "phase": "Pending",
    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}],
}
NO_IMAGE = {
    "containerStatuses": [
        {"state": {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x"'}}}
    ]
}


def test_a_cluster_that_does_not_start_names_the_pods_trouble(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.fake.script = Script(pod_status=UNSCHEDULABLE)
    said = place.refused(capsys, start_timeout_s=1)
    assert "did not start within 1 s" in said and "Unschedulable: 0/3 nodes" in said and "gpu_product" in said
    place.check_removed()


def test_an_image_that_cannot_be_pulled_ends_the_wait_early(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.fake.script = Script(pod_status=NO_IMAGE)
    said = place.refused(capsys, start_timeout_s=600)
    assert 'ImagePullBackOff: Back-off pulling image "x"; see that rayjob.image was pushed' in said
    place.check_removed()


def test_a_volume_that_cannot_be_mounted_is_told_by_the_events(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.fake.script = Script(never_starts=True)
    component = place.start()
    wait_until(lambda: place.fake.pods)
    (pod,) = place.fake.pods
    place.fake.events.append({"reason": "FailedMount", "message": "no volume", "involvedObject": {"name": pod}})
    wait_until(lambda: any("FailedMount: no volume; see that the volume exists" in note for note in place.notes()))
    component.send_signal(signal.SIGTERM)
    component.communicate(timeout=PATIENCE_S)
    place.check_removed()


def test_no_operator_is_a_cluster_that_does_not_start(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.fake.script = Script(ignores=True)
    assert "see that KubeRay runs" in place.refused(capsys, start_timeout_s=1, queue=None)
    place.check_removed()


FAILED: dict[str, Any] = {"jobDeploymentStatus": "Failed", "jobStatus": ""}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            {**FAILED, "reason": "SubmissionFailed", "message": "no route"},
            "SubmissionFailed: no route; the job did not",
        ),
        (
            {**FAILED, "jobDeploymentStatus": "ValidationFailed", "reason": "ValidationFailed", "message": "bad"},
            "ValidationFailed: bad; KubeRay refuses the job",
        ),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"}, "stopped from outside"),
        ({**FAILED, "reason": "JobStatusCheckTimeoutExceeded"}, "KubeRay lost the head"),
        ({**FAILED, "reason": "SomethingNew", "message": "?"}, "SomethingNew: ?; see `kubectl describe rayjob`"),
    ],
)
def test_what_kuberay_says_becomes_one_line(
    place: Place, capsys: pytest.CaptureFixture[str], status: dict[str, Any], said: str
) -> None:
    place.hold_at(0)
    place.fake.script = Script(ends=status, grace_s=0.0)
    assert said in place.refused(capsys)
    place.check_removed()


def test_a_run_over_its_deadline_is_removed(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.hold_at(4)
    assert "ran longer than 2 s" in place.refused(capsys, run_deadline_s=2)
    place.check_removed()
    wait_until(lambda: not list(place.store.glob("train/.making-*")), "the entrypoint's end")


def test_what_the_user_can_mend_is_said_and_not_tried_again(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    (place.tiny / "refuse").write_text("clip_7: the video ends after 3 frames; replace it")
    said = place.refused(capsys, backoff_limit=5)
    assert said == "train: clip_7: the video ends after 3 frames; replace it"
    assert place.starts() == [0]
    place.check_removed()


def test_a_defect_keeps_its_traceback(place: Place) -> None:
    (place.tiny / "break").touch()
    with pytest.raises(RayJobDefectError, match=r"(?s)Traceback.*RuntimeError: a defect"):
        place.run(backoff_limit=0)
    place.check_removed()


def test_an_entrypoint_that_vanishes_without_a_word(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.hold_at(4)
    place.fake.script = Script(kill_when=lambda: place.steps() == 4)
    said = place.refused(capsys, backoff_limit=0)
    assert "AppFailed: Job entrypoint command failed with exit code -9" in said and "run again to go on" in said
    place.check_removed()


def test_images_of_different_code_are_noticed(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.fake.environ["TINY_CODE"] = "another"
    assert "holds other code of hazardline than the component's" in place.refused(capsys)
    assert place.starts() == []


def test_a_preempted_job_waits_again_and_goes_on(place: Place) -> None:
    place.hold_at(4)

    def preempt() -> bool:
        if place.steps() == 4:
            place.let_go()
            return True
        return False

    place.fake.script = Script(preempt_when=preempt, queue_s=0.5)
    assert place.run().summary == {"steps": 10}
    assert place.starts()[0] == 0 and place.starts()[1] >= 4 and len(place.starts()) == 2
    phases = [note.partition(": ")[2] for note in place.notes() if note.startswith("RayJob ")]
    assert phases == [
        "queued in hazardline-training",
        "cluster starting",
        "running",
        "queued in hazardline-training again",
        "cluster starting",
        "running",
    ]
    assert len(place.fake.created) == 1


def test_a_lost_node_costs_the_steps_since_the_checkpoint(place: Place) -> None:
    place.hold_at(4)

    def kill() -> bool:
        return place.steps() == 4

    place.fake.script = Script(kill_when=kill)
    component = place.start()
    wait_until(lambda: len(place.starts()) == 2)
    place.let_go()
    _, said = component.communicate(timeout=PATIENCE_S)
    assert component.returncode == 0, said
    assert place.starts() == [0, 4] and len(place.fake.created) == 1
    place.check_removed()


@pytest.mark.parametrize("answers", [[500, 503, "drop", 429], ["lose"], ["drop", "lose", 500]])
def test_an_api_that_flaps_is_asked_again(place: Place, answers: list[int | str]) -> None:
    """`lose`: the job was created, and the answer lost: the second try meets its own job."""
    place.fake.script = Script(answers=list(answers))
    assert place.run().summary == {"steps": 10}
    assert len(place.fake.created) == 1 and not any("adopted" in note for note in place.notes())
    assert any("the Kubernetes API answers again" in note for note in place.notes())
    place.check_removed()


@pytest.mark.parametrize("fault", ["drop", "cut", "gone", "late"])
def test_a_watch_that_ends_before_its_time_is_begun_anew(place: Place, fault: str) -> None:
    place.fake.script = Script(watches=[fault, fault], queue_s=0.5)
    assert place.run().summary == {"steps": 10}
    assert place.fake.script.watches == []
    place.check_removed()


def test_changes_that_were_missed_are_read(place: Place) -> None:
    """The history is too short for what happens while nobody watches: 410, then a list."""
    place.hold_at(4)
    component = place.start()
    wait_until(lambda: place.steps() == 4)
    name = name_of(place)
    place.fake.script.watches = ["drop"]
    for number in range(200):
        place.fake.update(name, message=str(number))
    place.let_go()
    _, said = component.communicate(timeout=PATIENCE_S)
    assert component.returncode == 0, said


def test_an_api_that_stays_away_is_one_line(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.fake.script = Script(answers=[503] * 10_000)
    said = place.refused(capsys, api_patience_s=0.3, cleanup_patience_s=0.1)
    assert (
        said == "train: the Kubernetes API has not answered for 0.3 s (503 the server is ill); run again when it does"
    )
    assert any("could not be removed (" in note and "kubectl -n hazardline delete" in note for note in place.notes())


def test_a_token_that_expires_is_read_anew(place: Place) -> None:
    place.hold_at(4)
    component = place.start()
    wait_until(lambda: place.steps() == 4)
    place.fake.renew_token("second-token")
    wait_until(lambda: any(status == 401 for _, _, status in place.fake.requests))
    place.let_go()
    _, said = component.communicate(timeout=PATIENCE_S)
    assert component.returncode == 0, said
    place.check_removed()


def test_a_token_that_is_refused_is_one_line(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.fake.token = "another"
    said = place.refused(capsys, cleanup_patience_s=0.1)
    assert "refuses the token" in said


def test_a_manifest_that_is_refused_is_one_line(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.fake.faults = lambda job: ["spec.rayClusterSpec: no"]
    said = place.refused(capsys)
    assert re.search("refuses to create the RayJob: RayJob .* is invalid: spec.rayClusterSpec: no", said)


def test_without_a_cluster_the_component_works_itself(place: Place, tmp_path: Path) -> None:
    component_environ = place.environ()
    del component_environ["HAZARDLINE_RAYJOB"]
    place.environ = lambda: component_environ  # type: ignore[method-assign]
    component = place.start()
    _, said = component.communicate(timeout=PATIENCE_S)
    assert component.returncode == 0, said
    assert place.starts() == [0] and place.fake.requests == []

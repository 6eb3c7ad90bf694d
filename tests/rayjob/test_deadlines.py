"""KubeRay's own deadlines and the time to live, as the manifest gives them: they end what no component watches.

The operator's clock is turned on, the component's is not: what ends here is ended by the manifest alone.
"""

import signal
from typing import Any

import pytest

from tests.rayjob.conftest import PATIENCE_S, Place, wait_until
from tests.rayjob.fake_operator import Script

START_S, RUN_S, TTL_S = 1800, 259_200, 600
"""What `start_timeout_s`, `run_deadline_s` and `ttl_s` are where nobody has said otherwise."""


def status_of(place: Place) -> dict[str, Any]:
    (job,) = place.fake.jobs.values()
    return dict(job["status"])


def kill_component_at_step(place: Place, step: int) -> None:
    """Leave a job that runs, at a step that it stays at, and nobody who watches it."""
    place.hold_at(step)
    component = place.start()
    wait_until(lambda: place.steps() == step)
    component.send_signal(signal.SIGKILL)
    component.communicate()


def test_a_job_is_ended_at_its_own_deadline_and_not_before(place: Place) -> None:
    place.hold_at(4)
    component = place.start()
    wait_until(lambda: place.steps() == 4)
    place.fake.skip(START_S + RUN_S - 60)
    assert status_of(place)["jobDeploymentStatus"] == "Running" and component.poll() is None
    place.fake.skip(60)
    _, said = component.communicate(timeout=PATIENCE_S)
    assert component.returncode == 2
    assert f"ran longer than {RUN_S} s; raise rayjob.run_deadline_s" in said and "run again to go on" in said
    assert place.starts() == [0], "KubeRay does not try a job again that has passed its deadline"
    place.check_removed()


def test_a_cluster_that_does_not_start_is_tried_again_and_then_given_up(place: Place) -> None:
    place.fake.script = Script(never_starts=True)
    place.settings["backoff_limit"] = 1
    component = place.start()
    wait_until(lambda: place.fake.pods)
    place.fake.skip(START_S - 60)
    assert status_of(place)["jobDeploymentStatus"] == "Initializing" and "reason" not in status_of(place)
    place.fake.skip(60)
    assert status_of(place)["reason"] == "PreRunningDeadlineExceeded" and component.poll() is None
    place.fake.skip(START_S)
    _, said = component.communicate(timeout=PATIENCE_S)
    assert component.returncode == 2
    assert f"did not start within {START_S} s" in said and "see that KubeRay runs" in said
    place.check_removed()


@pytest.mark.parametrize("deletes_finished", [False, True], ids=["the job stays", "the job goes too"])
def test_a_job_of_a_killed_component_that_nobody_adopts_ends_by_itself(place: Place, deletes_finished: bool) -> None:
    """Its nodes are free after deadline and time to live; the job goes with them where KubeRay is so set."""
    place.fake.deletes_finished = deletes_finished
    kill_component_at_step(place, 4)
    place.fake.skip(START_S + RUN_S)
    assert (status_of(place)["jobDeploymentStatus"], status_of(place)["reason"]) == ("Failed", "DeadlineExceeded")
    place.fake.skip(TTL_S - 60)
    assert place.fake.pods, "logs can be read for the time to live"
    place.fake.skip(60)
    wait_until(lambda: not place.fake.pods, "the end of the pods")
    wait_until(lambda: not list(place.store.glob("train/.making-*")), "the entrypoint's end")
    wait_until(lambda: bool(place.fake.jobs) is not deletes_finished, "the removal of the job")
    place.let_go()
    assert place.run().summary == {"steps": 10}
    assert place.starts() == [0, 4], "who comes after all goes on from the checkpoint"
    wait_until(lambda: not place.fake.jobs, "the removal of the job")


def test_a_job_that_finishes_unwatched_frees_its_nodes_and_keeps_its_result(place: Place) -> None:
    kill_component_at_step(place, 9)
    place.let_go()
    wait_until(lambda: status_of(place)["jobDeploymentStatus"] == "Complete")
    place.fake.skip(TTL_S - 60)
    assert place.fake.pods
    place.fake.skip(60)
    wait_until(lambda: not place.fake.pods, "the end of the pods")
    record = place.run()
    assert record.cached and record.summary == {"steps": 10}
    assert place.starts() == [0] and len(place.fake.created) == 1
    assert status_of(place)["jobDeploymentStatus"] == "Complete", "who finds the output does not ask for the job"

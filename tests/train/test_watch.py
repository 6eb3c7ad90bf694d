"""What the driver makes of the workers' events."""

from collections.abc import Mapping

from hazardline.train.stage import downsample
from hazardline.train.watch import BranchWatch
from tests.train.notes import Notes


class Log:
    """Keeps metrics."""

    def __init__(self) -> None:
        self.points: list[tuple[int, dict[str, float]]] = []

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        self.points.append((step, dict(metrics)))


def step(number: int, total: int) -> dict[str, float]:
    return {"step": number, "num_steps": total, "loss": 1.0, "learning_rate": 0.1}


def test_progress_counts_the_steps_of_all_branches_once() -> None:
    notes, log = Notes(), Log()
    watch = BranchWatch(["linguistic", "perception"], notes, log)
    watch.on_event("linguistic", {"started": True})
    for number in (1, 2, 3):
        watch.on_event("linguistic", step(number, 4))
    assert notes.totals == {}
    watch.on_event("perception", step(1, 2))
    assert notes.totals == {"train": 6} and notes.done["train"] == 4
    watch.on_event("linguistic", {"started": True})
    for number in (3, 4):  # the third step is repeated after a loss
        watch.on_event("linguistic", step(number, 4))
    watch.on_event("perception", step(2, 2))
    assert notes.done["train"] == 6
    assert watch.num_restarts("linguistic") == 1 and watch.num_restarts("perception") == 0
    assert notes.said == ["linguistic: a worker was lost or failed; the branch goes on from its last checkpoint"]


def test_validation_and_a_thinned_curve_are_logged() -> None:
    log = Log()
    watch = BranchWatch(["linguistic"], Notes(), log)
    for number in range(1, 1001):
        watch.on_event("linguistic", step(number, 1000))
    watch.on_event("linguistic", {"step": 1000, "num_steps": 1000, "validation": {"crash_recognition": 0.5}})
    assert [number for number, _ in log.points[:-1]] == list(range(5, 1001, 5))
    assert log.points[-1] == (1000, {"linguistic/validation_loss/crash_recognition": 0.5})


def test_downsampled_losses_are_means_that_end_at_the_last_step() -> None:
    points = downsample([float(value) for value in range(1, 8)], 3)
    assert [(point.step, point.loss) for point in points] == [(3, 2.0), (6, 5.0), (7, 7.0)]
    assert len(downsample([1.0] * 1001, 200)) <= 200

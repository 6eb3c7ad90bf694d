"""Agreement with planted numbers: what is computed by hand is what the review says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from hazardline.review.media import MediaPlan
from hazardline.review.project import read_project, read_tasks, write_project
from hazardline.review.resampling import ClipBootstrap
from hazardline.review.results import write_results
from hazardline.review.review_document import AgreementFigure, Review
from hazardline.review.spread import spread
from tests.review.reviewers import Change, as_it_is, choice, export, mark, replaced, text, write
from tests.review.runs import crash_scenes, image_run, write_run

Reviewed = Callable[[dict[int, Change]], Review]


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Reviewed:
    """A review of 10 crashes and 10 normal clips by simulated reviewers."""
    root = tmp_path_factory.mktemp("agreement")
    inputs = write_run(root / "run", [row for row in crash_scenes(10) if row["label"] != "near_miss"])
    write_project(inputs, root / "project", 20, 0, MediaPlan())
    sample, (_, tasks) = read_project(root / "project"), read_tasks(root / "project")
    calls = iter(range(1000))

    def review(reviewers: dict[int, Change]) -> Review:
        folder = root / str(next(calls))
        return write_results(
            sample, [write(folder / "export.json", export(tasks, reviewers))], folder / "out", num_resamples=400
        )

    return review


def numbers(clip_id: str) -> int:
    return int(clip_id.rsplit("-", maxsplit=1)[1])


def figure(review: Review, task: str, measure: str, between: str = "reviewers") -> AgreementFigure:
    (found,) = [row for row in review.agreement if (row.task, row.measure, row.between) == (task, measure, between)]
    return found


def flips_two(clip_id: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The opposite answer on clips 0 and 1 of each label: 4 of 20."""
    if numbers(clip_id) > 1:
        return found
    return replaced(found, choice("crash_recognition", "No" if clip_id.startswith("crash") else "Yes"))


def test_two_identical_reviewers_have_kappa_1(reviewed: Reviewed) -> None:
    review = reviewed({1: flips_two, 2: flips_two})
    found = figure(review, "crash_recognition", "cohen_kappa").figure
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)
    assert figure(review, "crash_recognition", "krippendorff_alpha").figure.value == 1.0
    assert found.num_clips == found.num_ratings == 20


def test_twenty_per_cent_of_planted_disagreement_is_kappa_point_6(reviewed: Reviewed) -> None:
    """10 Yes and 10 No against 8 + 2 and 8 + 2: observed .8, by chance .5, kappa (.8 - .5) / (1 - .5)."""
    review = reviewed({1: as_it_is, 2: flips_two})
    kappa = figure(review, "crash_recognition", "cohen_kappa").figure
    assert kappa.value == pytest.approx(0.6)
    assert kappa.low is not None and kappa.high is not None
    assert kappa.low < 0.6 < kappa.high < 1.0
    assert figure(review, "crash_recognition", "percent_agreement").figure.value == pytest.approx(0.8)
    # with the annotation: one reviewer agrees on all 20, the other on 16; observed .9
    pooled = figure(review, "crash_recognition", "cohen_kappa", "annotation").figure
    assert pooled.value == pytest.approx((0.9 - 0.5) / 0.5)
    assert (pooled.num_clips, pooled.num_ratings) == (20, 40)


def test_three_reviewers_have_fleiss_kappa(reviewed: Reviewed) -> None:
    review = reviewed({1: as_it_is, 2: as_it_is, 3: flips_two})
    pairs = [row for row in review.agreement if row.measure == "cohen_kappa" and row.between == "reviewers"]
    assert len([row for row in pairs if row.task == "crash_recognition"]) == 3
    # 16 items of agreement 1 and 4 of 1/3: observed 52/60; shares .5 and .5: by chance .5
    fleiss = figure(review, "crash_recognition", "fleiss_kappa").figure
    assert fleiss.value == pytest.approx((52 / 60 - 0.5) / 0.5)


def test_all_the_same_is_not_defined_and_says_so(reviewed: Reviewed) -> None:
    review = reviewed({1: as_it_is, 2: as_it_is})
    found = figure(review, "cause_reasoning", "cohen_kappa").figure
    assert (found.value, found.low, found.high, found.undefined_share) == (None, None, None, 1.0)
    assert figure(review, "cause_reasoning", "percent_agreement").figure.value == 1.0


def test_acceptance_is_by_majority_with_wilsons_interval(reviewed: Reviewed) -> None:
    def refuses(upto: int) -> Change:
        def change(clip_id: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
            if numbers(clip_id) >= upto or not clip_id.startswith("crash"):
                return found
            return replaced(found, choice("crash_description", "wrong"), text("crash_description", "a car stops."))

        return change

    review = reviewed({1: refuses(5), 2: refuses(5), 3: refuses(8)})
    row = next(row for row in review.acceptance if row.task == "crash_description")
    assert (row.num_accepted, row.num_refused, row.num_open) == (15, 5, 0)
    interval = binomtest(15, 20).proportion_ci(method="wilson")
    assert (row.rate, row.low, row.high) == (0.75, interval.low, interval.high)
    two = reviewed({1: refuses(5), 2: refuses(8)})
    row = next(row for row in two.acceptance if row.task == "crash_description")
    assert (row.num_accepted, row.num_refused, row.num_open) == (12, 5, 3), "a tie is open, not half"


def test_overlap_and_distance_by_hand(reviewed: Reviewed) -> None:
    """All crashes: one marks frames 31 to 91 (1 to 3 s), the other 61 to 121 (2 to 4 s); IoU 1/3."""

    def marks(first: int, last: int, sign: int) -> Change:
        def change(clip_id: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
            if not clip_id.startswith("crash"):
                return found
            return replaced(found, mark("crash", first, last), mark("pre-crash", sign))

        return change

    review = reviewed({1: marks(31, 91, 31), 2: marks(61, 121, 40)})
    assert figure(review, "crash_localization", "mean_iou").figure.value == pytest.approx(1 / 3)
    distance = figure(review, "pre_crash_localization", "mean_abs_difference_s")
    assert distance.figure.value == pytest.approx(0.3)
    assert figure(review, "pre_crash_localization", "share_within_tolerance").figure.value == 1.0
    # the annotation has 2.04 s: 1.04 and .74 s earlier
    earlier = figure(review, "pre_crash_localization", "mean_difference_s", "annotation").figure
    assert earlier.value == pytest.approx(-0.89)
    sign = next(row for row in review.spread if row.mark == "pre_crash")
    assert (sign.num_clips, sign.num_marks, sign.num_prefilled) == (10, 30, 0)
    assert sign.mean_range_s.value == pytest.approx(1.04)
    assert sign.share_within_tolerance.value == pytest.approx(1 / 3)


def test_prefilled_marks_are_no_second_opinion(reviewed: Reviewed) -> None:
    review = reviewed({1: as_it_is, 2: as_it_is})
    sign = next(row for row in review.spread if row.mark == "pre_crash")
    assert (sign.num_clips, sign.num_marks, sign.num_prefilled) == (0, 0, 20)
    assert sign.mean_sd_s.value is None


def test_spread_by_hand() -> None:
    """Two clips; BADAS's marks enter the same table."""
    rows = [
        {"clip_id": clip, "mark": "pre_crash", "time_s": time_s, "is_prefilled": False, "source": source}
        for clip, time_s, source in (
            ("a", 1.0, "annotation"),
            ("a", 1.5, "reviewer"),
            ("a", 2.0, "badas"),
            ("b", 4.0, "annotation"),
            ("b", 4.4, "reviewer"),
            ("c", 9.0, "annotation"),
        )
    ]
    (found,) = spread(rows, ClipBootstrap(200, 0))
    assert (found.num_clips, found.num_marks) == (2, 5)
    assert found.mean_sd_s.value == pytest.approx((0.5 + 0.4 / 2**0.5) / 2)
    assert found.mean_range_s.value == pytest.approx(0.7)
    assert found.share_within_tolerance.value == pytest.approx(3 / 4)


def test_fields_of_a_classification_are_topics_of_their_own(tmp_path: Path) -> None:
    write_project(image_run(tmp_path / "run", 10), tmp_path / "project", 10, 0, MediaPlan())
    sample, (_, tasks) = read_project(tmp_path / "project"), read_tasks(tmp_path / "project")

    def other_agent(clip_id: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        risky = numbers(clip_id) % 2 == 1
        return replaced(found, choice("AgentClassification", "Cyclist", "image")) if risky else found

    path = write(tmp_path / "export.json", export(tasks, {1: as_it_is, 2: other_agent}))
    review = write_results(sample, [path], tmp_path / "out", num_resamples=200)
    risk = figure(review, "scene_classification.IsThereRisk", "cohen_kappa").figure
    assert risk.value == 1.0
    # N/A on 5, Pedestrian against Cyclist on 5: observed .5, by chance .25
    agent = figure(review, "scene_classification.AgentClassification", "cohen_kappa").figure
    assert agent.value == pytest.approx((0.5 - 0.25) / 0.75)

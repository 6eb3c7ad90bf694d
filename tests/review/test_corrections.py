"""The overlay of corrections: old values must match, a clip changes whole or not at all, ties change nothing."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hazardline.datasets.document import SourceRoot
from hazardline.errors import UserError
from hazardline.files import sha256_tree
from hazardline.ingest.adapter import Candidate
from hazardline.ingest.checks import check_annotation, check_times
from hazardline.ingest.report import REPORT_NAME, Decoder, IngestReport
from hazardline.native import Times
from hazardline.progress import SilentReporter
from hazardline.review.apply import APPLIED_NAME, Applied, decide, write_corrected
from hazardline.review.corrections import (
    CORRECTIONS_NAME,
    Correction,
    apply_corrections,
    apply_pair_corrections,
    read_corrections,
    write_corrections,
)
from hazardline.review.dataset_digest import dataset_digest
from hazardline.review.media import MediaPlan
from hazardline.review.project import read_project, read_tasks, write_project
from hazardline.review.results import write_results
from hazardline.review.tables import DECISIONS
from hazardline.review.verdict import Rules
from hazardline.synthesize.config import SynthesizeConfig
from hazardline.synthesize.stage import run as synthesize
from hazardline.tables import QA, SCENES, read_table
from tests.review.reviewers import Change, as_it_is, choice, export, mark, replaced, text, write
from tests.review.runs import crash_run
from tests.synthesize.scenes import scene


def correction(field: str, old: Any, new: Any, clip_id: str = "a", **more: Any) -> Correction:
    values = {"task": "crash_description", "reviewers": ("r1",), "decided": "single", "sample": "0" * 16}
    return Correction(clip_id=clip_id, field=field, old=old, new=new, **(values | more))


def applied(row: dict[str, Any], *corrections: Correction) -> tuple[dict[str, Any], list[str]]:
    found, problems = apply_corrections(row, corrections)
    return found, [problem.reason for problem in problems]


# the pure function


def test_a_matching_old_value_is_replaced() -> None:
    row, problems = applied(scene("a"), correction("description", "ego-car hits a car.", "ego-car hits a truck."))
    assert problems == []
    assert row == scene("a") | {"description": "ego-car hits a truck."}


def test_what_is_corrected_already_stays() -> None:
    change = correction("description", "ego-car hits a car.", "ego-car hits a truck.")
    row, _ = applied(scene("a"), change)
    assert applied(row, change) == (row, [])


def test_another_value_by_now_is_a_conflict_and_the_clip_stays_whole() -> None:
    row = scene("a")
    good = correction("cause", row["cause"], "Ice on the road.")
    stale = correction("description", "a bus stops.", "a bus hits a car.")
    assert applied(row, good, stale) == (row, ["old_value_differs"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ([("description", "ego-car hits a car.", "x"), ("description", "ego-car hits a car.", "y")], "contradiction"),
        ([("crash_start_s", 3.21, "soon")], "wrong_type"),
        ([("crash_start_s", 3.21, -1.0)], "wrong_type"),
        ([("description", "ego-car hits a car.", 1.0)], "wrong_type"),
        ([("label", "crash", "disaster")], "wrong_type"),
        ([("crash_start_s", 3.21, 5.0)], "inconsistent"),
        ([("crash_start_s", 3.21, 4.86)], "inconsistent"),
        ([("pre_crash_start_s", 2.04, 3.5)], "inconsistent"),
        ([("crash_end_s", 4.86, 9.0)], "inconsistent"),
        ([("crash_start_s", 3.21, None)], "inconsistent"),
        ([("label", "crash", "normal")], "inconsistent"),
    ],
)
def test_what_would_break_the_row_is_refused(changes: list[tuple[str, Any, Any]], reason: str) -> None:
    row = scene("a")
    assert applied(row, *[correction(*change) for change in changes]) == (row, [reason])


def test_a_later_review_corrects_an_earlier_one() -> None:
    row = scene("a")
    first = correction("cause", row["cause"], "Ice on the road.")
    second = correction("cause", "Ice on the road.", "Snow on the road.", sample="1" * 16)
    twice = row | {"cause": "Snow on the road."}
    assert applied(row, first, second) == (twice, [])
    assert applied(row | {"cause": "Ice on the road."}, first, second) == (twice, [])
    assert applied(twice, first, second) == (twice, [])
    assert applied(row, second) == (row, ["old_value_differs"])


def test_other_clips_and_answers_are_not_looked_at() -> None:
    row = scene("a")
    assert applied(row, correction("cause", "?", "!", "b"), correction("answer:cause_reasoning", "?", "!")) == (row, [])


def test_answers_have_an_overlay_of_their_own() -> None:
    pair = {"clip_id": "a", "task": "traffic_rules", "answer": "No signal. Answer: none"}
    change = correction("answer:traffic_rules", pair["answer"], "A red light. Answer: stop")
    assert apply_pair_corrections(pair, [change]) == (pair | {"answer": "A red light. Answer: stop"}, [])
    stale = correction("answer:traffic_rules", "another answer", "A red light. Answer: stop")
    found, problems = apply_pair_corrections(pair, [stale])
    assert (found, [problem.reason for problem in problems]) == (pair, ["old_value_differs"])


times = st.one_of(st.none(), st.floats(-1, 12))


@settings(max_examples=300, deadline=None)
@given(times, times, times, st.sampled_from(["crash", "near_miss", "normal"]))
def test_whatever_is_applied_ingest_would_take(
    pre_crash: float | None, start: float | None, end: float | None, label: str
) -> None:
    row = scene("a")
    new = {"pre_crash_start_s": pre_crash, "crash_start_s": start, "crash_end_s": end, "label": label}
    found, problems = applied(row, *[correction(field, row[field], value) for field, value in new.items()])
    assert problems or found == row | new
    candidate = Candidate(
        origin="",
        clip_id="a",
        video="a.mp4",
        label=found["label"],
        source="native",
        times=Times(**{name: found[name] for name in ("pre_crash_start_s", "crash_start_s", "crash_end_s")}),
    )
    assert check_annotation(candidate) is None
    assert check_times(candidate, found["duration_s"], found["fps"]) is None


# the file


def test_the_file_comes_back_as_it_was(tmp_path: Path) -> None:
    corrections = [
        correction("crash_start_s", 3.21, 3.2333333333333334, task="crash_localization"),
        correction("description", None, "ego-car hits a \N{RIGHT-TO-LEFT MARK}truck.", decided="majority"),
        correction("answer:cause_reasoning", "a", "b", reviewers=("r1", "r2")),
    ]
    path = tmp_path / CORRECTIONS_NAME
    assert write_corrections(path, corrections) == 3
    assert read_corrections(path) == corrections


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "{}",
        '{"clip_id": "a", "field": "video_uri", "old": "x", "new": "/etc/passwd", "task": "crash_description", '
        '"reviewers": [], "decided": "single", "sample": ""}',
        '{"clip_id": "a", "field": "cause", "old": ["x"], "new": "y", "task": "crash_description", "reviewers": [], '
        '"decided": "single", "sample": ""}',
        '{"clip_id": "a", "field": "cause", "old": "x", "new": "y", "task": "crash_description", "reviewers": [], '
        '"decided": "guessed", "sample": ""}',
    ],
)
def test_a_wrong_line_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "corrections.jsonl").write_text(f"\n{line}\n")
    with pytest.raises(UserError, match=r"corrections\.jsonl line 2"):
        read_corrections(tmp_path / "corrections.jsonl")


# from a review to a data set


class Line:
    """A run with its review project; reviewers' exports become a corrected folder."""

    def __init__(self, root: Path) -> None:
        self.inputs = crash_run(root / "run", 3)
        ingest = self.inputs["ingest"]
        (ingest / "features.parquet").write_bytes(b"as it is")
        scenes = read_table(SCENES, ingest)
        IngestReport(
            sources=(SourceRoot(source="native", root="/clips"),),
            num_clips=len(scenes),
            num_quarantined=0,
            by_label={"crash": 3, "near_miss": 3, "normal": 3},
            by_source={"nexar": 6, "native": 3},
            labels_by_source={},
            by_scenario={},
            by_reason={},
            total_s=72.0,
            decoder=Decoder(backend="pyav", reason="test"),
            dataset_digest=dataset_digest(ingest),
        ).write(ingest / REPORT_NAME)
        write_project(self.inputs, root / "project", 100, 0, MediaPlan())
        self.root, self.sample, self.tasks = root, read_project(root / "project"), read_tasks(root / "project")[1]

    def reviewed(self, name: str, reviewers: dict[int, Change], rules: Rules, label: Any = None) -> Applied:
        path = write(self.root / f"{name}.json", export(self.tasks, reviewers))
        write_results(self.sample, [path], self.root / f"{name}-results", keep_names=True, num_resamples=100)
        decided = decide(self.sample, read_table(DECISIONS, self.root / f"{name}-results"), rules, label)
        return write_corrected(self.inputs["ingest"], self.sample, decided, self.root / name)

    def scene(self, name: str, clip_id: str) -> dict[str, Any]:
        return next(row for row in read_table(SCENES, self.root / name) if row["clip_id"] == clip_id)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    return Line(tmp_path_factory.mktemp("line"))


def on(clip_id: str, *results: dict[str, Any]) -> Change:
    """A reviewer who changes one clip."""
    return lambda clip, found: replaced(found, *results) if clip == clip_id else found


def test_nothing_corrected_is_the_same_data_set(line: Line) -> None:
    report = line.reviewed("same", {1: as_it_is, 2: as_it_is}, Rules())
    assert report.num_corrections == 0 and report.unresolved == () and report.problems == ()
    assert report.dataset_digest == report.parent_digest
    assert read_table(SCENES, line.root / "same") == read_table(SCENES, line.inputs["ingest"])
    assert (line.root / "same/features.parquet").read_bytes() == b"as it is"


def test_times_and_texts_go_into_the_scenes(line: Line) -> None:
    moved = (mark("crash", 91, 150), choice("cause_reasoning", "wrong"), text("cause_reasoning", "Ice on the road."))
    report = line.reviewed("moved", {1: on("crash-01", *moved), 2: on("crash-01", *moved), 3: as_it_is}, Rules())
    row, before = line.scene("moved", "crash-01"), line.scene("run/ingest", "crash-01")
    assert row == before | {"crash_start_s": 3.0, "cause": "Ice on the road."}
    assert report.by_field == {"cause": 1, "crash_start_s": 1}
    assert report.num_applied == report.num_corrections == 2
    assert report.dataset_digest != report.parent_digest
    assert IngestReport.read(line.root / "moved" / REPORT_NAME).dataset_digest == report.dataset_digest
    overlay = read_corrections(line.root / "moved" / CORRECTIONS_NAME)
    assert {(item.field, item.decided, item.reviewers) for item in overlay} == {
        ("crash_start_s", "majority", ("user-1", "user-2")),
        ("cause", "majority", ("user-1", "user-2")),
    }
    assert Applied.read(line.root / "moved" / APPLIED_NAME) == report
    # the overlay alone makes the same data set
    scenes = read_table(SCENES, line.inputs["ingest"])
    assert [apply_corrections(row, overlay)[0] for row in scenes] == read_table(SCENES, line.root / "moved")


def test_a_second_review_keeps_what_the_first_said(line: Line, tmp_path: Path) -> None:
    change = on("crash-01", choice("cause_reasoning", "wrong"), text("cause_reasoning", "Ice on the road."))
    line.reviewed("first", {1: change}, Rules())
    inputs = {**line.inputs, "ingest": line.root / "first"}
    write_project(inputs, tmp_path / "project", 100, 0, MediaPlan())
    sample, tasks = read_project(tmp_path / "project"), read_tasks(tmp_path / "project")[1]
    path = write(tmp_path / "second.json", export(tasks, {1: on("crash-01", mark("crash", 91, 150))}))
    write_results(sample, [path], tmp_path / "results", keep_names=True, num_resamples=100)
    decided = decide(sample, read_table(DECISIONS, tmp_path / "results"))
    report = write_corrected(inputs["ingest"], sample, decided, tmp_path / "out")
    assert report.parent_digest == sample.scenes_digest
    overlay = read_corrections(tmp_path / "out" / CORRECTIONS_NAME)
    assert [item.field for item in overlay] == ["cause", "crash_start_s"]
    scenes = read_table(SCENES, line.inputs["ingest"])
    assert [apply_corrections(row, overlay)[0] for row in scenes] == read_table(SCENES, tmp_path / "out")


def test_the_corrected_folder_is_read_by_synthesize(line: Line, tmp_path: Path) -> None:
    change = on("crash-01", mark("crash", 91, 150))
    line.reviewed("again", {1: change}, Rules())
    inputs = {"ingest": line.root / "again", "split": line.inputs["split"]}
    synthesize(SynthesizeConfig(prompt_version="crashchat-short@1"), inputs, tmp_path, SilentReporter())
    answers = {row["qa_id"]: row["answer"] for row in read_table(QA, tmp_path)}
    assert answers["crash-01/crash_localization"] == "3.0 - 5.0 seconds"


def test_a_tie_stays_as_it_is_and_is_listed(line: Line) -> None:
    change = on("crash-01", choice("cause_reasoning", "wrong"), text("cause_reasoning", "Ice on the road."))
    report = line.reviewed("tie", {1: change, 2: as_it_is}, Rules())
    assert report.num_corrections == 0
    assert [(item.clip_id, item.task, item.reason) for item in report.unresolved] == [
        ("crash-01", "cause_reasoning", "tie")
    ]
    chief = line.reviewed("chief", {1: change, 2: as_it_is}, Rules(adjudicator="user-1"))
    assert (chief.num_applied, chief.unresolved) == (1, ())
    assert line.scene("chief", "crash-01")["cause"] == "Ice on the road."
    with pytest.raises(UserError, match="has decided nothing; the reviewers are user-1, user-2"):
        line.reviewed("nobody", {1: change, 2: as_it_is}, Rules(adjudicator="nobody"))


def test_no_crash_needs_a_label(line: Line) -> None:
    change = on("crash-01", choice("crash_recognition", "No"))
    report = line.reviewed("open-label", {1: change}, Rules())
    assert [item.reason for item in report.unresolved] == ["needs_label"]
    assert line.scene("open-label", "crash-01")["label"] == "crash"
    given = line.reviewed("near", {1: change}, Rules(), "near_miss")
    row = line.scene("near", "crash-01")
    assert (row["label"], row["crash_start_s"], row["crash_end_s"], row["description"]) == (
        "near_miss",
        None,
        None,
        None,
    )
    assert row["pre_crash_start_s"] == 2.04
    assert given.problems == ()
    assert IngestReport.read(line.root / "near" / REPORT_NAME).by_label == {"near_miss": 4, "normal": 3, "crash": 2}


def test_a_missed_crash_needs_its_interval(line: Line) -> None:
    report = line.reviewed("missed", {1: on("near-01", choice("crash_recognition", "Yes"))}, Rules())
    assert [item.reason for item in report.unresolved] == ["no_interval"]
    found = (choice("crash_recognition", "Yes"), mark("crash", 31, 46), mark("pre-crash", 21))
    words = (choice("crash_description", "wrong"), text("crash_description", "car hits a wall."))
    report = line.reviewed("found", {1: on("near-01", *found, *words)}, Rules())
    row = line.scene("found", "near-01")
    assert (row["label"], row["pre_crash_start_s"], row["crash_start_s"], row["crash_end_s"]) == (
        "crash",
        2.0,
        3.0,
        4.5,
    )
    assert row["description"] == "car hits a wall."
    assert (report.num_applied, report.problems, report.unresolved) == (5, (), ())


def test_marks_or_words_without_a_crash_change_nothing(line: Line) -> None:
    change = on("near-01", mark("crash", 31, 46), choice("crash_description", "wrong"), text("crash_description", "x"))
    report = line.reviewed("without", {1: change}, Rules())
    assert sorted(item.reason for item in report.unresolved) == ["fixed_answer", "marks_without_crash"]
    assert report.num_corrections == 0


def test_a_correction_that_contradicts_the_row_is_a_problem(line: Line) -> None:
    report = line.reviewed("odd", {1: on("crash-01", mark("pre-crash", 200))}, Rules())
    assert [(item.clip_id, item.reason) for item in report.problems] == [("crash-01", "inconsistent")]
    assert (report.num_corrections, report.num_applied) == (1, 0)
    assert line.scene("odd", "crash-01") == line.scene("run/ingest", "crash-01")


def test_the_same_review_gives_the_same_bytes(line: Line) -> None:
    change = on("crash-01", mark("crash", 91, 150))
    for name in ("bytes-one", "bytes-two"):
        line.reviewed(name, {1: change, 2: as_it_is, 3: change}, Rules())
    assert sha256_tree(line.root / "bytes-one") == sha256_tree(line.root / "bytes-two")

"""Corrections of a review become a new version of the data set, and corrected answers reach the questions."""

from pathlib import Path

from hazardline.datasets.store import DatasetStore
from hazardline.files import write_jsonl
from hazardline.ingest import stage as ingest
from hazardline.ingest.config import IngestConfig
from hazardline.ingest.report import IngestReport
from hazardline.progress import SilentReporter
from hazardline.review.corrections import CORRECTIONS_NAME
from hazardline.review.dataset_digest import dataset_digest
from hazardline.split import stage as split
from hazardline.split.config import SplitConfig
from hazardline.synthesize import stage as synthesize
from hazardline.synthesize.config import SynthesizeConfig
from hazardline.tables import QA, SCENES, read_table
from tests.ingest.datasets import CRASH_TIMES, clip, write_manifest
from tests.video_files import moving_pictures, write_clip

REVIEW = {"reviewers": ["ann", "bob"], "decided": "majority", "sample": "s"}


def test_corrections_become_a_version(tmp_path: Path, datasets_of_this_test: Path) -> None:
    root = tmp_path / "footage"
    for k in range(12):
        write_clip(root / f"{k}.mp4", moving_pictures(k, 20))
    crash = {
        "times": CRASH_TIMES,
        "description": "A car hits a van.",
        "cause": "Too close.",
        "prevention": "Brake earlier.",
    }
    lines = [
        clip(f"c{k:02}", f"{k}.mp4", "crash" if k % 2 else "normal", **(crash if k % 2 else {})) for k in range(12)
    ]
    write_manifest(root, lines)
    marks = [
        {"clip_id": "c01", "field": "crash_start_s", "old": 1.0, "new": 1.1, "task": "crash_localization"},
        {"clip_id": "c03", "field": "crash_start_s", "old": 0.9, "new": 1.1, "task": "crash_localization"},
        {"clip_id": "c05", "field": "answer:cause_reasoning", "old": "Too close.", "new": "Too fast.",
         "task": "cause_reasoning"},
        {"clip_id": "gone", "field": "label", "old": "crash", "new": "normal", "task": "crash_recognition"},
    ]  # fmt: skip
    write_jsonl(tmp_path / "corrections.jsonl", [{**mark, **REVIEW} for mark in marks])
    outs = {name: tmp_path / name for name in ("before", "after", "split", "synthesize")}
    for out in outs.values():
        out.mkdir()
    config = IngestConfig(root=str(root), dataset="mine", num_workers=1)
    ingest.run(config, {}, outs["before"], SilentReporter())
    corrected = config.model_copy(update={"corrections": (str(tmp_path / "corrections.jsonl"),)})
    ingest.run(corrected, {}, outs["after"], SilentReporter())

    starts = {row["clip_id"]: row["crash_start_s"] for row in read_table(SCENES, outs["after"])}
    assert (starts["c01"], starts["c03"], starts["c05"]) == (1.1, 1.0, 1.0)
    report = IngestReport.read(outs["after"] / "ingest.json")
    assert report.num_corrections == 1
    assert {(item.clip_id, item.reason) for item in report.corrections_not_applied} == {
        ("c03", "old_value_differs"),
        ("gone", "unknown_clip"),
    }
    assert report.dataset_digest == dataset_digest(outs["after"])  # as reviews name it
    (outs["after"] / CORRECTIONS_NAME).rename(tmp_path / "aside")
    assert report.dataset_digest != dataset_digest(outs["after"])
    (tmp_path / "aside").rename(outs["after"] / CORRECTIONS_NAME)
    head = DatasetStore(datasets_of_this_test).head("mine")
    assert head is not None and head.parent is not None
    assert (head.changes.num_changed, head.changes.num_unchanged) == (1, 11)

    inputs = {"ingest": outs["after"]}
    shares = SplitConfig(train_share=0.4, validation_share=0.3, test_share=0.3, refuse_severity=None)
    split.run(shares, inputs, outs["split"], SilentReporter())
    summary = synthesize.run(
        SynthesizeConfig(), {**inputs, "split": outs["split"]}, outs["synthesize"], SilentReporter()
    )
    assert (summary["num_corrected"], summary["num_corrections_not_applied"]) == (1, 0)
    causes = {
        row["clip_id"]: row["answer"] for row in read_table(QA, outs["synthesize"]) if row["task"] == "cause_reasoning"
    }
    assert (causes["c05"], causes["c07"]) == ("Too fast.", "Too close.")

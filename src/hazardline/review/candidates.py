"""The clips that a review may draw from: scenes joined with their question-answer pairs."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from hazardline.errors import UserError
from hazardline.hazardnet import CLASSIFICATION
from hazardline.image_file import is_image
from hazardline.review.dataset_digest import corrections_within, dataset_digest, published_pairs
from hazardline.review.sample_document import LeftOut, ReviewClip, ReviewPair, SceneField
from hazardline.suites import ALL_PROMPTS, CRASHCHAT, Suite, suite_of
from hazardline.tables import ASSIGNMENT, QA, SCENES, read_table
from hazardline.tasks import (
    NEGATIVE_ANSWERS,
    Task,
    format_interval,
    format_point,
    parse_interval,
    parse_point,
    parse_recognition,
)

TEXT_COLUMNS: dict[Task, SceneField] = {
    "crash_description": "description",
    "cause_reasoning": "cause",
    "prevention_reasoning": "prevention",
    CLASSIFICATION: "classification",
}
"""The scenes column that holds a task's answer word for word."""


@dataclass(frozen=True)
class Candidates:
    """What a sample is drawn from; the clips have their files' paths as media."""

    suite: Suite
    prompt_version: str
    scenes_digest: str
    num_clips: int
    clips: list[ReviewClip]
    left_out: list[LeftOut]


def read_candidates(inputs: Mapping[str, Path]) -> Candidates:
    """Join the tables of three stages.

    Args:
        inputs: `ingest` (scenes), `split` (assignment), `synthesize` (pairs).

    Raises:
        UserError: the tables do not belong together, or hold several prompt versions.
    """
    scenes = read_table(SCENES, inputs["ingest"])
    by_id = {row["clip_id"]: row for row in scenes}
    assigned = {row["clip_id"] for row in read_table(ASSIGNMENT, inputs["split"])}
    pairs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    versions = set()
    for row in read_table(QA, inputs["synthesize"]):
        if row["clip_id"] not in by_id or row["clip_id"] not in assigned:
            raise UserError(
                f"{inputs['synthesize'] / QA.file_name}: clip {row['clip_id']} is not in the tables of ingest and "
                "split; give the three folders of one run"
            )
        versions.add(row["prompt_version"])
        pairs[row["clip_id"]].append(row)
    if len(versions) != 1 or not versions <= set(ALL_PROMPTS):
        raise UserError(
            f"{inputs['synthesize'] / QA.file_name}: expected pairs of one known prompt version "
            f"({', '.join(ALL_PROMPTS)}), found {sorted(versions) or 'none'}; run synthesize again"
        )
    version = versions.pop()
    suite = suite_of(version)
    clips, left_out = [], []
    for clip_id in sorted(by_id):
        row = by_id[clip_id]
        reason = _why_not(row, pairs[clip_id], suite)
        if reason is None:
            clips.append(_clip(row, pairs[clip_id], suite))
        else:
            left_out.append(LeftOut(clip_id=clip_id, reason=reason))
    ingest = inputs["ingest"]
    digest = dataset_digest(scenes, published_pairs(ingest), corrections_within(ingest))
    return Candidates(suite, version, digest, len(scenes), clips, left_out)


def _why_not(row: Mapping[str, Any], pairs: list[dict[str, Any]], suite: Suite) -> str | None:
    """Why a clip cannot be shown to a reviewer."""
    if not pairs:
        return "no question-answer pair"
    if (suite is not CRASHCHAT) != is_image(Path(row["video_uri"])):
        return f"{'no image' if suite is not CRASHCHAT else 'no video'}, which {suite.name} is about"
    if Path(row["video_uri"]).is_dir():
        return "a folder of frames; Label Studio shows videos"
    return None


def _clip(row: Mapping[str, Any], pairs: list[dict[str, Any]], suite: Suite) -> ReviewClip:
    ordered = sorted(pairs, key=lambda pair: suite.tasks.index(pair["task"]))
    return ReviewClip(
        clip_id=row["clip_id"],
        media=row["video_uri"],
        label=row["label"],
        source=row["source"],
        fps=row["fps"],
        num_frames=row["num_frames"],
        duration_s=row["duration_s"],
        fields={name: row[name] for name in get_args(SceneField)},
        pairs=tuple(_pair(row, pair) for pair in ordered),
    )


def _pair(row: Mapping[str, Any], pair: Mapping[str, Any]) -> ReviewPair:
    """A pair; where the scenes table says the same, with the table's exact times."""
    task: Task = pair["task"]
    answer: str = pair["answer"]
    start_s: float | None = None
    end_s: float | None = None
    if task == "crash_localization":
        start_s, end_s = row["crash_start_s"], row["crash_end_s"]
        is_of_scene = start_s is not None and end_s is not None and answer == format_interval(start_s, end_s)
        if not is_of_scene:
            start_s, end_s = parse_interval(answer) or (None, None)
    elif task == "pre_crash_localization":
        start_s = row["pre_crash_start_s"]
        is_of_scene = start_s is not None and answer == format_point(start_s)
        if not is_of_scene:
            start_s = parse_point(answer)
    elif task == "crash_recognition":
        is_of_scene = parse_recognition(answer) == (row["label"] == "crash")
    elif task in TEXT_COLUMNS:
        is_fixed = answer == NEGATIVE_ANSWERS.get(task)
        is_of_scene = not is_fixed and answer == (row[TEXT_COLUMNS[task]] or "").strip()
    else:
        is_of_scene = False
    return ReviewPair(
        task=task,
        question=pair["question"],
        answer=answer,
        is_of_scene=is_of_scene,
        start_s=start_s,
        end_s=end_s,
    )

"""The clips that a review may draw from: scenes joined with their question-answer pairs."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pyarrow.compute as pc

from hazardline.by_clip import Part, by_clip, rows_of
from hazardline.errors import UserError
from hazardline.hazardnet import CLASSIFICATION
from hazardline.image_file import is_image
from hazardline.mirror.clips import make_present
from hazardline.review.draw import Candidate
from hazardline.review.sample_document import ReviewClip, ReviewPair, SceneField
from hazardline.suites import ALL_PROMPTS, CRASHCHAT, Suite
from hazardline.tables import ASSIGNMENT, QA, SCENES, TableWriter, read_batches
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

_BATCH_ROWS = 8_192
_PARTS = (
    Part("ingest", SCENES, ("clip_id", "video_uri", "label", "source"), is_unique=True),
    Part("split", ASSIGNMENT, ("clip_id",), is_unique=True),
    Part("synthesize", QA, ("clip_id", "task")),
)


def prompt_version_of(synthesize: Path) -> str:
    """The prompt version of a folder's pairs.

    Raises:
        UserError: there is no pair, the pairs have several versions, or one that is not known.
    """
    versions: set[str] = set()
    for batch in read_batches(QA, synthesize, ["prompt_version"]):
        versions.update(pc.unique(batch.column(0)).to_pylist())
    if len(versions) != 1 or not versions <= set(ALL_PROMPTS):
        raise UserError(
            f"{synthesize / QA.file_name}: expected pairs of one known prompt version ({', '.join(ALL_PROMPTS)}), "
            f"found {sorted(versions) or 'none'}; run synthesize again"
        )
    return versions.pop()


class Candidates:
    """The clips of a run that may be drawn; what cannot is counted and goes into a table."""

    def __init__(self, inputs: Mapping[str, Path], suite: Suite, left_out: TableWriter) -> None:
        """Use the tables of three stages.

        Args:
            inputs: `ingest` (scenes), `split` (assignment), `synthesize` (pairs).
            suite: of the pairs.
            left_out: receives the clips that cannot be drawn.
        """
        self.num_clips = 0
        """Of the data set."""
        self.left_out: Counter[str] = Counter()
        """Clips that cannot be drawn, by reason."""
        self._inputs, self._suite, self._writer = inputs, suite, left_out

    def __iter__(self) -> Iterator[Candidate]:
        """One pass, in the order of `clip_id`.

        Raises:
            UserError: the tables do not belong together, or one is not in the order of `clip_id`.
        """
        for clip_id, (scenes, assigned, pairs) in by_clip(self._inputs, _PARTS):
            if pairs and not (scenes and assigned):
                raise UserError(
                    f"{self._inputs['synthesize'] / QA.file_name}: clip {clip_id} is not in the tables of ingest and "
                    "split; give the three folders of one run"
                )
            for scene in scenes:
                self.num_clips += 1
                reason = _why_not(scene["video_uri"], bool(pairs), self._suite)
                if reason is None:
                    tasks = tuple(pair["task"] for pair in pairs)
                    yield Candidate(clip_id, scene["label"], scene["source"], tasks)
                else:
                    self.left_out[reason] += 1
                    self._writer.write({"clip_id": clip_id, "reason": reason})


def read_clips(inputs: Mapping[str, Path], clip_ids: Collection[str], suite: Suite) -> list[ReviewClip]:
    """The clips that were drawn, in the order of `clip_id`, with their files' paths as media (a mirror gives them)."""
    pairs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows_of(read_batches(QA, inputs["synthesize"], QA.schema.names, _BATCH_ROWS), clip_ids):
        pairs[row["clip_id"]].append(row)
    scenes = list(rows_of(read_batches(SCENES, inputs["ingest"], SCENES.schema.names, _BATCH_ROWS), clip_ids))
    make_present((Path(row["video_uri"]), row["sha256"]) for row in scenes)
    return [_clip(row, pairs[row["clip_id"]], suite) for row in scenes]


def _why_not(video_uri: str, has_pairs: bool, suite: Suite) -> str | None:
    """Why a clip cannot be shown to a reviewer."""
    if not has_pairs:
        return "no question-answer pair"
    path = Path(video_uri)
    if (suite is not CRASHCHAT) != is_image(path):
        return f"{'no image' if suite is not CRASHCHAT else 'no video'}, which {suite.name} is about"
    if path.is_dir():
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

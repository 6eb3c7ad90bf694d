"""From exports to decisions, marks and problems: which annotations count, and who their reviewers are."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hazardline.review.controls import TIMES, choices_of, media_name, texts_of
from hazardline.review.decide import Decision, Judge, Mark
from hazardline.review.export_file import Annotation, ExportedTask, read_export
from hazardline.review.labeling_tasks import SAMPLE_KEY, suite_named, task_data
from hazardline.review.problems import Reason, ReviewProblem, shown
from hazardline.review.sample_document import ReviewClip, ReviewSample
from hazardline.suites import Suite


@dataclass
class Collected:
    """Everything that reviewers said. Each annotation of the exports is used, or stands among the problems."""

    decisions: list[Decision] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    problems: list[ReviewProblem] = field(default_factory=list)
    num_annotations: int = 0
    num_used: int = 0


def collect(sample: ReviewSample, exports: Sequence[Path], keep_names: bool = False) -> Collected:
    """Read exports of a sample's project.

    Args:
        sample: what was asked.
        exports: files of one or several Label Studio projects; of several annotations of one reviewer about one clip
            the one changed last counts.
        keep_names: keep reviewers' names; else they are replaced by `pseudonym`.

    Raises:
        UserError: a file is no export.
    """
    suite = suite_named(sample.suite)
    expected = {clip.clip_id: clip for clip in sample.clips}
    found = Collected()
    kept: dict[tuple[str, str], Annotation] = {}
    for path in exports:
        for task in read_export(path, _controls(suite)):
            if isinstance(task, ReviewProblem):
                found.problems.append(task)
                continue
            found.problems += task.problems
            found.num_annotations += len(task.annotations) + len(task.problems)
            clip = _clip_of(task, sample, expected, suite, found.problems)
            if clip is not None:
                _keep(task, clip, kept, found.problems)
    for (clip_id, _), annotation in sorted(kept.items()):
        outcome = Judge(suite, expected[clip_id], annotation, sample.is_prefilled).judge()
        found.decisions += outcome.decisions
        found.marks += outcome.marks
        found.problems += outcome.problems
    found.num_used = len(kept)
    return found if keep_names else _without_names(found, sample.sample_id())


def annotation_marks(clips: Iterable[ReviewClip]) -> list[Mark]:
    """The annotation's own marks of the sampled clips."""
    marks = []
    for clip in clips:
        for mark, name in (
            ("pre_crash", "pre_crash_start_s"),
            ("crash_start", "crash_start_s"),
            ("crash_end", "crash_end_s"),
        ):
            time_s = clip.fields[name]  # type: ignore[index]
            if isinstance(time_s, float):
                marks.append(Mark(clip.clip_id, mark, None, time_s, "annotation"))  # type: ignore[arg-type]
    return marks


def pseudonym(name: str, sample_id: str) -> str:
    """A name for tables, the same in all exports of one sample.

    It hides the name from readers, not from someone who has a list of names to try.
    """
    return "reviewer-" + hashlib.sha256(f"{sample_id}\0{name}".encode()).hexdigest()[:10]


def _controls(suite: Suite) -> dict[str, str]:
    """Result type by control."""
    return {
        TIMES: "timelinelabels",
        **dict.fromkeys(choices_of(suite), "choices"),
        **dict.fromkeys(sorted(texts_of(suite)), "textarea"),
    }


def _clip_of(
    task: ExportedTask,
    sample: ReviewSample,
    expected: dict[str, ReviewClip],
    suite: Suite,
    problems: list[ReviewProblem],
) -> ReviewClip | None:
    """The clip that a task is about; None where it is not what was put before the reviewers."""

    def refuse(clip_id: str | None, reason: Reason, detail: str) -> None:
        """A row for every annotation that is lost by it, one at least."""
        lost: list[tuple[str, str | None]] = [(item.origin, item.reviewer) for item in task.annotations]
        for origin, reviewer in lost or [(task.origin, None)]:
            problems.append(ReviewProblem(origin, clip_id, reviewer, reason, detail))

    clip_id = task.data.get("clip_id")
    if not isinstance(clip_id, str):
        refuse(None, "bad_task", f"data.clip_id: expected a text, got {shown(clip_id)}")
        return None
    if task.data.get(SAMPLE_KEY) != sample.sample_id():
        detail = f"of sample {shown(task.data.get(SAMPLE_KEY))}, the project's is {sample.sample_id()}"
        refuse(shown(clip_id), "other_sample", detail)
        return None
    if clip_id not in expected:
        refuse(shown(clip_id), "unknown_clip", "is not in the sample")
        return None
    clip = expected[clip_id]
    media = media_name(suite)  # its address changes where a server stores the file itself
    asked = {key: value for key, value in task_data(clip, suite, sample.sample_id()).items() if key != media}
    edited = [key for key, value in asked.items() if task.data.get(key) != value]
    if edited:
        refuse(clip_id, "task_edited", f"{edited[0]}: {shown(task.data.get(edited[0]))}")
        return None
    return clip


def _keep(
    task: ExportedTask,
    clip: ReviewClip,
    kept: dict[tuple[str, str], Annotation],
    problems: list[ReviewProblem],
) -> None:
    if task.num_drafts:
        detail = f"{task.num_drafts} drafts were never submitted"
        problems.append(ReviewProblem(task.origin, clip.clip_id, None, "draft", detail))
    if not task.annotations and not task.problems:
        problems.append(ReviewProblem(task.origin, clip.clip_id, None, "not_annotated", "nobody has reviewed it"))
    for annotation in task.annotations:
        key = clip.clip_id, annotation.reviewer
        if annotation.is_skipped:
            detail = "the reviewer skipped the clip"
            problems.append(ReviewProblem(annotation.origin, *key, "skipped", detail))
            continue
        other = kept.get(key)
        if other is not None:
            older, annotation = sorted((other, annotation), key=lambda item: item.updated)
            detail = f"the same reviewer's {annotation.origin} is later"
            problems.append(ReviewProblem(older.origin, *key, "superseded", detail))
        kept[key] = annotation


def _without_names(found: Collected, sample_id: str) -> Collected:
    def named(name: str) -> str:
        return pseudonym(name, sample_id)

    return replace(
        found,
        decisions=[replace(row, reviewer=named(row.reviewer)) for row in found.decisions],
        marks=[replace(row, reviewer=named(row.reviewer) if row.reviewer else None) for row in found.marks],
        problems=[replace(row, reviewer=named(row.reviewer) if row.reviewer else None) for row in found.problems],
    )

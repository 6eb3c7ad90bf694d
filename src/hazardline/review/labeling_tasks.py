"""A sample as Label Studio tasks: the data that the interface shows, and predictions made of the annotation."""

from typing import Any

from hazardline.hazardnet import FIELDS, parse_classification
from hazardline.review.controls import LABEL_OF, TIMES, choices_of, kind_of, media_name
from hazardline.review.frames import frame_of
from hazardline.review.sample_document import ReviewClip, ReviewPair, ReviewSample
from hazardline.suites import CRASHCHAT, SUITES, Suite

NOT_ASKED = "(not asked of this clip)"
SAMPLE_KEY = "sample"


def suite_named(name: str) -> Suite:
    """The suite of a sample."""
    return next(suite for suite in SUITES if suite.name == name)


def labeling_tasks(sample: ReviewSample) -> list[dict[str, Any]]:
    """One task a clip, in the order of `clip_id`, in the form of Label Studio's JSON import."""
    suite, sample_id = suite_named(sample.suite), sample.sample_id()
    tasks = []
    for clip in sample.clips:
        task: dict[str, Any] = {"data": task_data(clip, suite, sample_id)}
        if sample.is_prefilled:
            result = prefilled(clip, suite)
            task["predictions"] = [{"model_version": "annotation", "result": result}] if result else []
        tasks.append(task)
    return tasks


def task_data(clip: ReviewClip, suite: Suite, sample_id: str) -> dict[str, Any]:
    """What the interface shows. Label and source are kept from the reviewer."""
    data: dict[str, Any] = {
        media_name(suite): clip.media,
        "clip_id": clip.clip_id,
        SAMPLE_KEY: sample_id,
    }
    if suite is CRASHCHAT:
        data |= {"fps": clip.fps, "num_frames": clip.num_frames, "duration_s": clip.duration_s}
    for task in suite.tasks:
        if kind_of(task) == "times":
            continue
        pair = clip.pair(task)
        data[f"{task}_question"] = NOT_ASKED if pair is None else pair.question
        if kind_of(task) == "text":
            data[f"{task}_answer"] = NOT_ASKED if pair is None else pair.answer
    return data


def prefilled(clip: ReviewClip, suite: Suite) -> list[dict[str, Any]]:
    """The annotation's marks and choices as results; texts start as `correct`, so that the reviewer only corrects."""
    results: list[dict[str, Any]] = []
    media = media_name(suite)
    for pair in clip.pairs:
        kind = kind_of(pair.task)
        if kind == "times":
            frames = prefilled_frames(clip, pair)
            if frames is not None:
                value = {
                    "ranges": [{"start": frames[0], "end": frames[1]}],
                    "timelinelabels": [LABEL_OF[pair.task]],
                }
                results.append(_result(pair.task, TIMES, media, "timelinelabels", value))
        elif kind == "fields":
            values = parse_classification(pair.answer) or {}
            results += [_choice(name, values[name], media) for name in FIELDS if name in values]
        else:
            chosen = pair.answer if kind == "recognition" else "correct"
            if chosen in choices_of(suite)[pair.task]:
                results.append(_choice(pair.task, chosen, media))
    return results


def prefilled_frames(clip: ReviewClip, pair: ReviewPair) -> tuple[int, int] | None:
    """First and last frame of a localization's mark; a point has one frame. None where its times are not known."""
    if pair.start_s is None:
        return None
    start = frame_of(pair.start_s, clip.fps, clip.num_frames)
    return start, start if pair.end_s is None else frame_of(pair.end_s, clip.fps, clip.num_frames)


def _choice(name: str, value: str, media: str) -> dict[str, Any]:
    return _result(name, name, media, "choices", {"choices": [value]})


def _result(identity: str, control: str, media: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    """One result; its id need only be unique within the task."""
    return {"id": identity, "from_name": control, "to_name": media, "type": kind, "value": value}

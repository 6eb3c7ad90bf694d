"""Filmstrips: a few frames of a clip with its true and predicted times, for the clips that say most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hazardline import video
from hazardline.evaluate import scores
from hazardline.evaluate.answers import Answer, ModelAnswers, says_yes
from hazardline.evaluate.report.pictures import jpeg_uri
from hazardline.evaluate.testset import Clip
from hazardline.mirror.clips import make_present
from hazardline.tasks import TASKS, Task, parse_interval, parse_point

NUM_FRAMES = 8
FRAME_WIDTH_PX, FRAME_HEIGHT_PX = 192, 128
_RATE_HZ = 10.0


@dataclass(frozen=True)
class Bar:
    """An interval (or a point, without `end_percent`) on the time axis of a strip, as shares of its length."""

    kind: str
    """`true` or `predicted`."""
    text: str
    start_percent: float
    end_percent: float | None = None


@dataclass(frozen=True)
class Filmstrip:
    """One clip of the report."""

    clip: Clip
    headline: str
    image: str
    """JPEG as a data URI, the frames side by side."""
    times: list[str]
    bars: list[Bar]
    answers: list[tuple[str, str, str]]
    """(task, reference, prediction) of the text tasks and recognition."""


def choose(clips: Sequence[Clip], answers: ModelAnswers, count: int) -> dict[str, list[Clip]]:
    """Best and worst crashes by end-to-end IoU, and the negatives that look most like a crash.

    Equals are ordered by the log-odds of Yes, then by clip_id.
    """
    crashes = [clip for clip in clips if "crash_localization" in clip.references]
    ranked = sorted(
        crashes,
        key=lambda clip: (-_iou(clip, answers[clip.clip_id]), -_log_odds(answers[clip.clip_id]), clip.clip_id),
    )
    negatives = sorted(
        (clip for clip in clips if not clip.is_crash),
        key=lambda clip: (-_log_odds(answers[clip.clip_id]), clip.clip_id),
    )
    best = ranked[:count]
    worst = [clip for clip in reversed(ranked) if clip not in best][:count]
    return {"Best crashes": best, "Worst crashes": worst, "Negatives most like a crash": negatives[:count]}


def _iou(clip: Clip, given: Mapping[Task, Answer]) -> float:
    true = parse_interval(clip.references["crash_localization"])
    if true is None or not says_yes(dict(given)):
        return 0.0
    return scores.interval_iou(parse_interval(given["crash_localization"].text), true)


def _log_odds(given: Mapping[Task, Answer]) -> float:
    return given["crash_recognition"].score or 0.0


def filmstrip(clip: Clip, given: Mapping[Task, Answer]) -> Filmstrip:
    """Put a clip's strip together; only its frames are decoded."""
    make_present([(clip.video, clip.sha256)])
    num_frames = video.probe(clip.video).num_samples(_RATE_HZ)
    # each frame stands in the middle of the time that its place on the axis below it covers
    chosen = ((np.arange(NUM_FRAMES) + 0.5) / NUM_FRAMES * num_frames).astype(int)
    frames = video.at(clip.video, [index / _RATE_HZ for index in chosen], FRAME_WIDTH_PX, FRAME_HEIGHT_PX)
    length_s = max(clip.duration_s, num_frames / _RATE_HZ)
    headline = f"{clip.clip_id} · {clip.label.replace('_', ' ')} · {clip.scenario} · log-odds {_log_odds(given):+.2f}"
    if "crash_localization" in clip.references:
        headline += f" · IoU end to end {_iou(clip, given):.2f}"
    return Filmstrip(
        clip=clip,
        headline=headline,
        image=jpeg_uri(np.concatenate(list(frames), axis=1)),
        times=[f"{index / _RATE_HZ:.1f} s" for index in chosen],
        bars=_bars(clip, given, length_s),
        answers=[
            (task.replace("_", " "), clip.references.get(task, ""), given[task].text)
            for task in TASKS
            if task in given and "localization" not in task
        ],
    )


def _bars(clip: Clip, given: Mapping[Task, Answer], length_s: float) -> list[Bar]:
    told = {task: answer.text for task, answer in given.items()}
    bars = []
    for kind, texts in (("true", clip.references), ("predicted", told)):
        interval = parse_interval(texts.get("crash_localization", ""))
        if interval is not None:
            bars.append(Bar(kind, f"{kind} crash", _share(interval[0], length_s), _share(interval[1], length_s)))
        point = parse_point(texts.get("pre_crash_localization", ""))
        if point is not None:
            bars.append(Bar(kind, f"{kind} first sign", _share(point, length_s)))
    return bars


def _share(time_s: float, length_s: float) -> float:
    return round(100.0 * min(max(time_s / length_s, 0.0), 1.0), 2)

"""How far the marks of one moment lie apart: label ambiguity of the pre-crash point and of the crash's ends."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from hazardline.evaluate.scores import TOLERANCE_S
from hazardline.review.resampling import ClipBootstrap
from hazardline.review.review_document import Spread

_EPSILON_S = 1e-9


def spread(marks: Sequence[Mapping[str, Any]], bootstrap: ClipBootstrap) -> list[Spread]:
    """The spread of each kind of mark that occurs, over clips with at least two marks by different eyes.

    Args:
        marks: rows of the marks table. A reviewer's mark that was left where it was shown is counted and not used.
        bootstrap: of the intervals.
    """
    found = []
    for kind in ("pre_crash", "crash_start", "crash_end"):
        members = [row for row in marks if row["mark"] == kind]
        if members:
            found.append(_spread(kind, members, bootstrap))
    return found


def _spread(kind: Any, members: Sequence[Mapping[str, Any]], bootstrap: ClipBootstrap) -> Spread:
    by_clip: dict[str, list[float]] = defaultdict(list)
    for row in members:
        if not row["is_prefilled"]:
            by_clip[row["clip_id"]].append(row["time_s"])
    clips = {clip: times for clip, times in sorted(by_clip.items()) if len(times) >= 2}
    names = list(clips)
    pairs = [(clip, abs(one - two)) for clip, times in clips.items() for one, two in combinations(times, 2)]
    near = [float(far <= TOLERANCE_S + _EPSILON_S) for _, far in pairs]
    return Spread(
        mark=kind,
        num_clips=len(clips),
        num_marks=sum(map(len, clips.values())),
        num_prefilled=sum(row["is_prefilled"] for row in members),
        mean_sd_s=bootstrap.mean([float(np.std(times, ddof=1)) for times in clips.values()], names),
        mean_range_s=bootstrap.mean([max(times) - min(times) for times in clips.values()], names),
        share_within_tolerance=bootstrap.mean(near, [clip for clip, _ in pairs]),
    )

"""Checks of a candidate by itself, and against the length of its video."""

import math

from hazardline.ingest.adapter import Candidate, Problem, shorten
from hazardline.ingest.reason import Reason


def problem(candidate: Candidate, reason: Reason, detail: str) -> Problem:
    """The quarantine row of a candidate; the detail says where its annotation stands."""
    return Problem(
        shorten(candidate.clip_id),
        shorten(candidate.video),
        reason,
        shorten(f"{candidate.origin}: {detail}"),
    )


def check_annotation(candidate: Candidate) -> Problem | None:
    """What can be said without the video: a printable id, and no crash times on a clip without a crash."""
    if not candidate.clip_id.isprintable() or candidate.clip_id != candidate.clip_id.strip():
        return problem(candidate, "bad_annotation", "clip_id has control characters or blanks at its ends")
    if any("\ud800" <= character <= "\udfff" for character in candidate.video):
        return problem(candidate, "bad_annotation", f"the name of the video, {candidate.video!a}, is no text")
    times = candidate.times
    if candidate.label != "crash" and (times.crash_start_s is not None or times.crash_end_s is not None):
        return problem(candidate, "bad_annotation", f"crash times on a clip labelled {candidate.label}")
    return None


def check_times(candidate: Candidate, duration_s: float, fps: float) -> Problem | None:
    """Times lie in the clip (up to one frame after its end) and in their order; a crash takes longer than nothing."""
    times = candidate.times
    named = {
        "pre_crash_start_s": times.pre_crash_start_s,
        "crash_start_s": times.crash_start_s,
        "crash_end_s": times.crash_end_s,
        "event_s": times.event_s,
    }
    for name, value in named.items():
        if value is not None and not (math.isfinite(value) and 0 <= value <= duration_s + 1 / fps):
            detail = f"{name} is {value}, the clip goes from 0 to {duration_s:.2f} s"
            return problem(candidate, "times_outside_clip", detail)
    for first, second in (
        ("pre_crash_start_s", "crash_start_s"),
        ("pre_crash_start_s", "event_s"),
        ("pre_crash_start_s", "crash_end_s"),
        ("crash_start_s", "crash_end_s"),
    ):
        before, after = named[first], named[second]
        if before is None or after is None:
            continue
        if before > after or (before == after and first == "crash_start_s"):
            return problem(candidate, "times_out_of_order", f"{first} {before} is not before {second} {after}")
    return None

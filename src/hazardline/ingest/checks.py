"""Checks of a candidate against the rest of its data set, the folder it must lie in, and the length of its video."""

import math
from pathlib import Path

from hazardline.files import path_inside
from hazardline.ingest.adapter import Candidate, Problem, Reason, shorten


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
    times = candidate.times
    if candidate.label != "crash" and (times.crash_start_s is not None or times.crash_end_s is not None):
        return problem(candidate, "bad_annotation", f"crash times on a clip labelled {candidate.label}")
    return None


def find_video(root: Path, candidate: Candidate) -> Path | Problem:
    """The real path of the candidate's video, which must be a file below `root`, also behind symbolic links."""
    try:
        path = path_inside(root, candidate.video)
        if path is None:
            return problem(candidate, "path_outside_root", f"{candidate.video!r} leads out of the data set's folder")
        found = path.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, a null character, a loop of links
        return problem(candidate, "missing_file", f"{candidate.video!r} is no usable path ({error})")
    if not found:
        return problem(candidate, "missing_file", f"there is no file {candidate.video!r}")
    return path


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

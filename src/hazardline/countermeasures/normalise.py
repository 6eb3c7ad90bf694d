"""Every clip encoded alike: one codec, size, rate and quality, and if asked for one length.

What a first encoding threw away does not come back: look at the audit again afterwards.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from hazardline.countermeasures.encode import Job
from hazardline.countermeasures.folder import (
    REPORT_NAME,
    CountermeasureReport,
    LeftOut,
    Plan,
    count_reasons,
    make_folder,
    native_clip,
    video_name,
)
from hazardline.documents import Document
from hazardline.files import sha256_bytes
from hazardline.native import Times
from hazardline.progress import Reporter
from hazardline.tables import SCENES, read_rows

_NAMES = ("pre_crash_start_s", "crash_start_s", "crash_end_s", "event_s")
_ROUNDING_S = 1e-6
Pixels = Annotated[int, Field(ge=16, le=4096, multiple_of=2)]


class NormaliseConfig(Document):
    """Settings of `hazardline countermeasure normalise`."""

    width_px: Pixels = 640
    height_px: Pixels = 360
    """Choose both no larger than the smallest clip: what is scaled up looks soft, and is counted."""
    fps: Annotated[float, Field(gt=0, le=120, strict=False)] = 10.0
    crf: Annotated[int, Field(ge=0, le=51)] = 23
    length_s: Annotated[float, Field(gt=0, strict=False)] | None = None
    """Cut every clip to this length, around its event where it has one; shorter clips are left out."""
    num_workers: Annotated[int, Field(ge=1, le=64)] = 2
    clip_timeout_s: Annotated[float, Field(ge=5, strict=False)] = 300.0


def normalise(config: NormaliseConfig, ingest: Path, out: Path, reporter: Reporter) -> CountermeasureReport:
    """Write a native folder with every clip of an ingested data set, encoded alike; annotations are kept.

    Args:
        config: Size, rate, quality, length.
        ingest: Output of the ingest stage.
        out: A folder to fill; ingest it in place of the data sets.
        reporter: Told of every clip.

    Raises:
        UserError: no clip could be made, or the tables cannot be read.
    """
    plans: list[Plan] = []
    left_out: list[LeftOut] = []
    numbers = Counter[str]({"num_scaled_up": 0, "num_rate_raised": 0})
    for row in read_rows(SCENES, ingest):
        planned = plan_clip(row, config, out)
        if isinstance(planned, LeftOut):
            left_out.append(planned)
            continue
        plans.append(planned)
        numbers["num_scaled_up"] += row["width_px"] < config.width_px or row["height_px"] < config.height_px
        numbers["num_rate_raised"] += row["fps"] < config.fps - 0.01
    made, lost = make_folder(plans, left_out, out, config.num_workers, config.clip_timeout_s, reporter)
    report = CountermeasureReport(
        kind="normalise",
        settings=config.model_dump(exclude={"num_workers", "clip_timeout_s"}),
        num_made=len(made),
        num_left_out=len(lost),
        by_reason=count_reasons(lost),
        numbers=dict(numbers),
        sources=[],
    )
    report.write(out / REPORT_NAME)
    return report


def plan_clip(row: Mapping[str, Any], config: NormaliseConfig, out: Path) -> Plan | LeftOut:
    """What is made of a clip, or why nothing is."""
    if row["duration_s"] <= 0:
        return LeftOut(row["clip_id"], row["video_uri"], "image", "images have no codec, rate and length to make alike")
    times = Times(**{name: row[name] for name in _NAMES})
    start_s, length_s = 0.0, float(row["duration_s"])
    if config.length_s is not None:
        window = place_window(row["clip_id"], length_s, times, config.length_s)
        if isinstance(window, str):
            return LeftOut(row["clip_id"], row["video_uri"], window, _why(window, length_s, config.length_s))
        start_s, length_s = window, config.length_s
        times = moved(times, start_s, length_s)
    name = video_name(row["clip_id"])
    job = Job(
        source=Path(row["video_uri"]),
        out=out / name,
        width_px=config.width_px,
        height_px=config.height_px,
        fps=config.fps,
        crf=config.crf,
        start_s=start_s,
        length_s=length_s,
    )
    return Plan(native_clip(row, name, times=times), job)


def place_window(clip_id: str, duration_s: float, times: Times, length_s: float) -> float | str:
    """Where a window of a length begins, so that everything timed lies in it; or the reason why there is none.

    Within what is possible the place is drawn from the clip's id: a fixed place in relation to the event would tell it.
    """
    if duration_s < length_s - _ROUNDING_S:
        return "too_short"
    known = [value for name in _NAMES if (value := getattr(times, name)) is not None]
    low = max(0.0, max(known, default=0.0) - length_s)
    high = min(duration_s - length_s, min(known, default=duration_s))
    if low > high + _ROUNDING_S:
        return "event_too_long"
    share = int(sha256_bytes(clip_id.encode())[:12], 16) / 16**12
    return round(low + share * max(0.0, high - low), 3)


def moved(times: Times, start_s: float, length_s: float) -> Times:
    """Times counted from the window's start."""
    given = {name: getattr(times, name) for name in _NAMES}
    inside = {name: min(max(0.0, value - start_s), length_s) for name, value in given.items() if value is not None}
    return Times(**{name: round(value, 3) for name, value in inside.items()})


def _why(reason: str, duration_s: float, length_s: float) -> str:
    if reason == "too_short":
        return f"{duration_s:.2f} s, length_s asks for {length_s}"
    return f"from the first sign to the end of the crash takes longer than length_s ({length_s})"

"""A native folder made from ingested clips: which were made, which were left out and why."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hazardline.countermeasures.encode import Fault, Job, encode_window
from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import write_jsonl
from hazardline.ingest.pool import Lost, run_isolated
from hazardline.native import MANIFEST_NAME, NativeClip, StillTruth, Times
from hazardline.progress import Reporter
from hazardline.tables import QUARANTINE, write_table

REPORT_NAME = "countermeasure.json"
_TIMES = ("pre_crash_start_s", "crash_start_s", "crash_end_s", "event_s")
_KEPT = (
    "pair_id",
    "recording_id",
    "channel_id",
    "location",
    "published_split",
    "source",
    "scenario",
    "weather",
    "light",
    "scene",
    "accident_type",
    "ego_involved",
    "description",
    "cause",
    "prevention",
)


@dataclass(frozen=True)
class Plan:
    """A clip to be made."""

    clip: NativeClip
    job: Job


@dataclass(frozen=True)
class LeftOut:
    """A clip that is not made, and why."""

    clip_id: str
    video: str
    reason: str
    detail: str


class SourceCensus(Document):
    """Crashes and what is none in one source."""

    source: str
    num_crash: int
    num_negative: int
    num_lacking: int
    """Negatives that this source lacks for one a crash."""
    num_made: int


class CountermeasureReport(Document):
    """`countermeasure.json` in the folder that was made."""

    version: Literal["countermeasure@1"] = "countermeasure@1"
    kind: Literal["negatives", "normalise"]
    settings: dict[str, float | str | None]
    num_made: int
    num_left_out: int
    by_reason: dict[str, int]
    """Of what was left out; each clip stands in quarantine.parquet."""
    numbers: dict[str, int]
    sources: list[SourceCensus]


def native_clip(row: Mapping[str, Any], video: str, **changes: Any) -> NativeClip:
    """A row of the scenes table as a line of a native manifest; what only a simulator knows is not in the table."""
    values: dict[str, Any] = {name: row[name] for name in _KEPT}
    values |= {
        "clip_id": row["clip_id"],
        "video": video,
        "label": row["label"],
        "times": Times(**{name: row[name] for name in _TIMES}),
        "agents": tuple(row["agents"]),
    }
    if row["still"] is not None:
        values["still"] = StillTruth.parse_json(row["still"], f"scenes: {row['clip_id']}: still")
    return NativeClip(**(values | changes))


def video_name(clip_id: str) -> str:
    """A file name for any clip id: ids may hold what no file name can."""
    digest = hashlib.sha256(clip_id.encode()).hexdigest()
    return f"videos/{digest[:2]}/{digest[:24]}.mp4"


def make_folder(
    plans: Sequence[Plan],
    left_out: Sequence[LeftOut],
    out: Path,
    num_workers: int,
    timeout_s: float,
    reporter: Reporter,
) -> tuple[list[NativeClip], list[LeftOut]]:
    """Encode in processes that may die on a file, and write the manifest; returns what was made, and what was not.

    Raises:
        UserError: nothing was made.
    """
    reporter.phase("encode clips", len(plans))
    for plan in plans:
        plan.job.out.parent.mkdir(parents=True, exist_ok=True)
    outcome = dict(_encoded(plans, num_workers, timeout_s, reporter))
    lost = [*left_out, *(item for item in outcome.values() if item is not None)]
    made = [plan.clip for index, plan in enumerate(plans) if outcome[index] is None]
    write_table(QUARANTINE, out, [vars(item) for item in sorted(lost, key=lambda item: item.clip_id)])
    if not made:
        raise UserError(
            f"countermeasure: no clip was made of {len(lost)}: {_told(lost) or 'no source lacks negatives'}; nothing "
            "to ingest"
        )
    write_jsonl(out / MANIFEST_NAME, [clip.model_dump(mode="json", exclude_defaults=True) for clip in made])
    return made, lost


def _encoded(
    plans: Sequence[Plan], num_workers: int, timeout_s: float, reporter: Reporter
) -> Iterator[tuple[int, LeftOut | None]]:
    for index, result in run_isolated(encode_window, [plan.job for plan in plans], num_workers, timeout_s):
        reporter.advance()
        if isinstance(result, Lost):
            result = Fault("unreadable", result.detail)
        clip = plans[index].clip
        left = LeftOut(clip.clip_id, clip.video, result.reason, result.detail) if isinstance(result, Fault) else None
        yield index, left


def _told(lost: Sequence[LeftOut]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in count_reasons(lost).items())


def count_reasons(lost: Sequence[LeftOut]) -> dict[str, int]:
    """How many were left out for each reason."""
    return dict(sorted(Counter(item.reason for item in lost).items()))

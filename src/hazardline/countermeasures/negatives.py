"""Same-source negatives: ordinary driving cut out of crash clips, before anything of the crash can be seen.

In CrashChat's released sets every crash is from other sources than every negative (papers.md). A negative from the
crash's own camera, channel and codec leaves a recogniser nothing but the traffic. A cut clip is shorter than the
clip it is from, and encoded anew: run `normalise` with a length over crashes and negatives together, or length and
codec tell them apart.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from hazardline.countermeasures.encode import Job
from hazardline.countermeasures.folder import (
    REPORT_NAME,
    CountermeasureReport,
    LeftOut,
    Plan,
    SourceCensus,
    count_reasons,
    make_folder,
    native_clip,
    video_name,
)
from hazardline.documents import Document
from hazardline.files import sha256_bytes
from hazardline.progress import Reporter
from hazardline.tables import SCENES, read_rows

_CENSUS_COLUMNS = ("source", "label")


class NegativesConfig(Document):
    """Settings of `hazardline countermeasure negatives`."""

    margin_s: Annotated[float, Field(ge=0, strict=False)] = 1.0
    """The window ends so long before the first sign of the hazard."""
    min_length_s: Annotated[float, Field(gt=0, strict=False)] = 2.0
    """A shorter window is left out."""
    max_length_s: Annotated[float, Field(gt=0, strict=False)] = 10.0
    """Of a longer one the last part is taken."""
    crf: Annotated[int, Field(ge=0, le=51)] = 18
    """Quality of the encoder: 18 is hard to tell from the original."""
    num_workers: Annotated[int, Field(ge=1, le=64)] = 2
    clip_timeout_s: Annotated[float, Field(ge=5, strict=False)] = 300.0


@dataclass(frozen=True)
class Census:
    """What a source has and lacks."""

    num_crash: int
    num_negative: int

    @property
    def num_lacking(self) -> int:
        """Negatives for one a crash."""
        return max(0, self.num_crash - self.num_negative)


def census(rows: Iterator[Mapping[str, Any]]) -> dict[str, Census]:
    """Crashes, and negatives (near misses and normal driving), of every source."""
    counts = Counter((row["source"], row["label"] == "crash") for row in rows)
    sources = sorted({source for source, _ in counts})
    return {source: Census(counts[source, True], counts[source, False]) for source in sources}


def make_negatives(config: NegativesConfig, ingest: Path, out: Path, reporter: Reporter) -> CountermeasureReport:
    """Write a native folder of negatives for every source that lacks some.

    Args:
        config: Lengths and quality.
        ingest: Output of the ingest stage.
        out: A folder to fill; ingest it through `also`.
        reporter: Told of every clip.

    Raises:
        UserError: no clip could be made, or the tables cannot be read.
    """
    found = census(read_rows(SCENES, ingest, _CENSUS_COLUMNS))
    crashes = [row for row in read_rows(SCENES, ingest) if row["label"] == "crash" and found[row["source"]].num_lacking]
    plans: list[Plan] = []
    left_out: list[LeftOut] = []
    taken = Counter[str]()
    for row in sorted(crashes, key=lambda row: sha256_bytes(row["clip_id"].encode())):
        planned = plan_negative(row, config, out)
        if isinstance(planned, Plan) and taken[row["source"]] == found[row["source"]].num_lacking:
            planned = LeftOut(row["clip_id"], row["video_uri"], "not_needed", "the source has enough negatives by now")
        if isinstance(planned, Plan):
            plans.append(planned)
            taken[row["source"]] += 1
        else:
            left_out.append(planned)
    made, lost = make_folder(plans, left_out, out, config.num_workers, config.clip_timeout_s, reporter)
    made_of = Counter(clip.source for clip in made)
    report = CountermeasureReport(
        kind="negatives",
        settings=config.model_dump(exclude={"num_workers", "clip_timeout_s"}),
        num_made=len(made),
        num_left_out=len(lost),
        by_reason=count_reasons(lost),
        numbers={"num_still_lacking": sum(found[source].num_lacking - made_of[source] for source in found)},
        sources=[
            SourceCensus(
                source=source,
                num_crash=item.num_crash,
                num_negative=item.num_negative,
                num_lacking=item.num_lacking,
                num_made=made_of[source],
            )
            for source, item in found.items()
        ],
    )
    report.write(out / REPORT_NAME)
    return report


def plan_negative(row: Mapping[str, Any], config: NegativesConfig, out: Path) -> Plan | LeftOut:
    """The window of a crash clip that ends a margin before the first sign, or why there is none."""
    if row["pre_crash_start_s"] is None:
        detail = "without pre_crash_start_s nobody knows when the hazard can first be seen"
        return LeftOut(row["clip_id"], row["video_uri"], "no_pre_crash_time", detail)
    end_s = row["pre_crash_start_s"] - config.margin_s
    if end_s < config.min_length_s:
        detail = f"{max(0.0, end_s):.2f} s before the first sign and its margin, {config.min_length_s} s are needed"
        return LeftOut(row["clip_id"], row["video_uri"], "too_short", detail)
    start_s = max(0.0, end_s - config.max_length_s)
    clip_id = f"{row['clip_id']}-before"
    name = video_name(clip_id)
    clip = native_clip(
        row,
        name,
        clip_id=clip_id,
        label="normal",
        times={},
        # A split must never part it from its crash: they share the crash's recording, or its own id as one.
        recording_id=row["recording_id"] or row["clip_id"],
        scenario="before_crash",
        accident_type=None,
        ego_involved=None,
        description=None,
        cause=None,
        prevention=None,
        still=None,
    )
    job = Job(
        source=Path(row["video_uri"]),
        out=out / name,
        width_px=row["width_px"] // 2 * 2,
        height_px=row["height_px"] // 2 * 2,
        fps=row["fps"],
        crf=config.crf,
        start_s=start_s,
        length_s=end_s - start_s,
    )
    return Plan(clip, job)

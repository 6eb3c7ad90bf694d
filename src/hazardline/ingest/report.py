"""The stage's summary, `ingest.json`, and what is said when too much of a data set cannot be used."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Literal

from hazardline.datasets.document import SourceRoot
from hazardline.documents import Document
from hazardline.ingest.adapter import Problem
from hazardline.ingest.corrected import NotApplied

REPORT_NAME = "ingest.json"
_SHOWN = 20


class Decoder(Document):
    """Which decoder read the clips, and why that one."""

    backend: Literal["pyav", "torchcodec"]
    reason: str


class IngestReport(Document):
    """What came in and what did not."""

    version: Literal["ingest@2"] = "ingest@2"
    sources: tuple[SourceRoot, ...]
    num_clips: int
    num_quarantined: int
    by_label: dict[str, int]
    by_source: dict[str, int]
    labels_by_source: dict[str, dict[str, int]]
    """A source with one label alone may give the label away; the split's audit says so."""
    by_scenario: dict[str, int]
    by_reason: dict[str, int]
    num_corrections: int = 0
    """Values that reviews have corrected."""
    corrections_not_applied: tuple[NotApplied, ...] = ()
    total_s: float
    """Length of all usable clips together."""
    decoder: Decoder
    dataset_digest: str
    """SHA-256 over all scenes, but for the place of their files, and over their published pairs."""


def commonest_first(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts, the commonest first, equals in alphabetical order."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def refusal(problems: Iterable[Problem], report: IngestReport, limit: float, roots: str) -> str:
    """The message of a stage that fails on its limit: count, limit, reasons, and the first rows."""
    total = report.num_clips + report.num_quarantined
    reasons = ", ".join(f"{reason} {count}" for reason, count in report.by_reason.items())
    head = (
        f"{roots}: {report.num_quarantined} of {total} clips cannot be used ({report.num_quarantined / total:.0%}), "
        f"the limit is {limit:.0%} (max_quarantined_share); reasons: {reasons}. Mend or remove these clips, or raise "
        "the limit:"
    )
    rows = [f"  {p.clip_id} ({p.video or 'no video'}): {p.reason}: {p.detail}" for p in islice(problems, _SHOWN)]
    more = [f"  ... and {report.num_quarantined - _SHOWN} more"] if report.num_quarantined > _SHOWN else []
    return "\n".join([head, *rows, *more])

"""The stage's summary, `ingest.json`, and what is said when too much of a data set cannot be used."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from hazardline.documents import Document
from hazardline.files import digest_json
from hazardline.ingest.adapter import Problem

REPORT_NAME = "ingest.json"
_SHOWN = 20


class Decoder(Document):
    """Which decoder read the clips, and why that one."""

    backend: Literal["pyav", "torchcodec"]
    reason: str


class IngestReport(Document):
    """What came in and what did not."""

    version: Literal["ingest@1"] = "ingest@1"
    source: str
    root: str
    num_clips: int
    num_quarantined: int
    by_label: dict[str, int]
    by_source: dict[str, int]
    by_scenario: dict[str, int]
    by_reason: dict[str, int]
    total_s: float
    """Length of all usable clips together."""
    decoder: Decoder
    dataset_digest: str
    """SHA-256 over every column of the scenes but the place of the files."""


def counts(values: Sequence[str]) -> dict[str, int]:
    """How often each value occurs, the commonest first, equals in alphabetical order."""
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def dataset_digest(scenes: Sequence[Mapping[str, Any]]) -> str:
    """Digest of the data set: its clips' bytes and annotations, wherever the folder is."""
    return digest_json([{key: value for key, value in row.items() if key != "video_uri"} for row in scenes])


def refusal(problems: Sequence[Problem], num_clips: int, limit: float, root: str) -> str:
    """The message of a stage that fails on its limit: count, limit, reasons, and the first rows."""
    total = num_clips + len(problems)
    reasons = ", ".join(f"{reason} {count}" for reason, count in counts([p.reason for p in problems]).items())
    head = (
        f"{root}: {len(problems)} of {total} clips cannot be used ({len(problems) / total:.0%}), the limit is "
        f"{limit:.0%} (max_quarantined_share); reasons: {reasons}. Mend or remove these clips, or raise the limit:"
    )
    rows = [f"  {p.clip_id} ({p.video or 'no video'}): {p.reason}: {p.detail}" for p in problems[:_SHOWN]]
    more = [f"  ... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    return "\n".join([head, *rows, *more])

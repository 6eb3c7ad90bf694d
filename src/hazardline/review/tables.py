"""The tables of a review, which nothing else reads."""

import pyarrow as pa

from hazardline.tables import Table


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


LEFT_OUT = Table(
    "review_left_out@1",
    "left_out.parquet",
    pa.schema([_required("clip_id", pa.string()), _required("reason", pa.string())]),
)
"""A clip that could not be drawn a row, with the reason (a fixed text), in the order of `clip_id`."""

DECISIONS = Table(
    "decisions@1",
    "decisions.parquet",
    pa.schema(
        [
            _required("clip_id", pa.string()),
            _required("task", pa.string()),
            _required("reviewer", pa.string()),
            _required("decision", pa.string()),  # correct | wrong | unclear | added
            pa.field("answer", pa.string()),  # what was under review; null where the clip was not asked the task
            pa.field("corrected_answer", pa.string()),
            pa.field("start_s", pa.float64()),  # of a localization: what the reviewer marked
            pa.field("end_s", pa.float64()),
            pa.field("lead_time_s", pa.float64()),  # the reviewer's time for the whole clip
            pa.field("created", pa.string()),  # ISO 8601, as Label Studio writes it
        ]
    ),
)
"""What one reviewer says of one answer, a row each; `added`: something marked that the annotation does not have."""

REVIEW_PROBLEMS = Table(
    "review_problems@1",
    "problems.parquet",
    pa.schema(
        [
            _required("origin", pa.string()),  # file and place in it
            pa.field("clip_id", pa.string()),
            pa.field("reviewer", pa.string()),
            _required("reason", pa.string()),
            _required("detail", pa.string()),
        ]
    ),
)
"""Something in an export that was not used, or not as it stands, with the reason (a fixed word)."""

MARKS = Table(
    "marks@1",
    "marks.parquet",
    pa.schema(
        [
            _required("clip_id", pa.string()),
            _required("mark", pa.string()),  # pre_crash | crash_start | crash_end
            pa.field("reviewer", pa.string()),  # null for the annotation and for BADAS
            _required("time_s", pa.float64()),
            _required("source", pa.string()),  # annotation | reviewer | badas
            _required("is_prefilled", pa.bool_()),  # a reviewer left it where it was shown: no second opinion
        ]
    ),
)
"""Every mark of a moment, a row each; several of one moment are kept side by side, never averaged."""

"""Why a clip is in quarantine, as fixed words."""

from typing import Literal

Reason = Literal[
    "unreadable",
    "truncated",
    "no_video_stream",
    "zero_duration",
    "inconsistent_duration",
    "times_outside_clip",
    "times_out_of_order",
    "duplicate_id",
    "duplicate_bytes",
    "path_outside_root",
    "missing_file",
    "missing_frames",
    "unknown_rate",
    "bad_annotation",
]
"""Why a clip is in quarantine: a fixed list, so that counts can be compared between data sets."""

"""The clips that are compared: some of the reference, some of the new ones, as codes, numbers and vectors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hazardline.errors import UserError
from hazardline.ingest.features import FEATURES
from hazardline.newdata.columns import BATCH_ROWS, pick, read_vectors
from hazardline.newdata.config import DriftName
from hazardline.recordings import is_shared
from hazardline.tables import SCENES, read_batches

CATEGORIES: tuple[DriftName, ...] = (
    "label",
    "scenario",
    "weather",
    "light",
    "scene",
    "source",
    "codec",
    "accident_type",
)
NUMBERS: tuple[DriftName, ...] = ("duration_s", "fps", "frame_px", "bit_rate", "motion_mean")
KEPT_TOGETHER = ("recording_id", "pair_id", "channel_id")
"""Clips that share one of these are no independent observations; pairs and recordings count as in a split."""

_SCENE_COLUMNS = (
    "clip_id",
    *CATEGORIES,
    *(name for name in KEPT_TOGETHER if name not in CATEGORIES),
    "duration_s",
    "fps",
    "size_bytes",
    "width_px",
    "height_px",
)


@dataclass(frozen=True)
class Clips:
    """Reference clips, then new clips, n in all; on each side in the order of sampling."""

    is_new: np.ndarray
    """(n) bool."""
    groups: np.ndarray
    """(n) recordings, pairs or channels, numbered from 0; one may have clips on both sides."""
    categories: Mapping[DriftName, Sequence[str]]
    """Name -> n values."""
    numbers: Mapping[DriftName, np.ndarray]
    """Name -> (n) float."""
    vectors: Mapping[DriftName, np.ndarray]
    """Name -> (n, d) float."""

    def first_of_each_side(self, size: int) -> np.ndarray:
        """Indices of at most `size` clips of each side; the order of sampling makes them a random part."""
        return np.concatenate([np.flatnonzero(self.is_new == side)[:size] for side in (False, True)])

    def units(self) -> np.ndarray:
        """(n) the independent units: groups, where one with clips on both sides counts as one on each."""
        return np.unique(self.groups * 2 + self.is_new, return_inverse=True)[1]

    def num_groups_on_both_sides(self) -> int:
        """Groups with clips on both sides."""
        return len(np.intersect1d(self.groups[self.is_new], self.groups[~self.is_new]))


@dataclass(frozen=True)
class Embeddings:
    """Files with a vision encoder's vector for every clip of the two versions."""

    reference: Path
    today: Path


def read_sample(
    reference: Path,
    today: Path,
    reference_ids: Sequence[str],
    new_ids: Sequence[str],
    embeddings: Embeddings | None,
) -> Clips:
    """Read the sampled clips of both versions.

    Raises:
        UserError: a table or a file of vectors is missing, damaged, or lacks a sampled clip.
    """
    sides = ((reference, reference_ids), (today, new_ids))
    rows: list[dict[str, Any]] = []
    for folder, ids in sides:
        scenes = pick(read_batches(SCENES, folder, _SCENE_COLUMNS, BATCH_ROWS), ids, str(folder / SCENES.file_name))
        columns = ("clip_id", "clip_colour", "motion_energy")
        features = pick(read_batches(FEATURES, folder, columns, BATCH_ROWS), ids, str(folder / FEATURES.file_name))
        rows += [{**scenes[clip_id], **features[clip_id]} for clip_id in ids]
    is_new = np.repeat([False, True], [len(reference_ids), len(new_ids)])
    motion = _matrix([row["motion_energy"] for row in rows], "motion_energy")
    vectors: dict[DriftName, np.ndarray] = {
        "colour": _matrix([row["clip_colour"] for row in rows], "clip_colour"),
        "motion": motion,
    }
    if embeddings is not None:
        files = ((embeddings.reference, reference_ids), (embeddings.today, new_ids))
        found = [(read_vectors(path, ids), ids) for path, ids in files]
        vectors["encoder"] = _matrix([vector[clip_id] for vector, ids in found for clip_id in ids], "vector")
    return Clips(
        is_new=is_new,
        groups=kept_together(rows),
        categories={name: ["(none)" if row[name] is None else row[name] for row in rows] for name in CATEGORIES},
        numbers=_numbers(rows, motion),
        vectors=vectors,
    )


def kept_together(rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """(n) a number for every row, the same for clips that a recording, a pair or a channel joins, also by a chain."""
    if not rows:
        return np.zeros(0, int)
    keys: dict[tuple[str, str, str], int] = {}
    edges = [
        (index, len(rows) + keys.setdefault((name, _namespace(name, row), row[name]), len(keys)))
        for index, row in enumerate(rows)
        for name in KEPT_TOGETHER
        if row[name] is not None
    ]
    size = len(rows) + len(keys)
    ends = np.array(edges, int).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(size, size))
    labels = connected_components(graph, directed=False)[1][: len(rows)]
    return np.unique(labels, return_inverse=True)[1]


def _namespace(name: str, row: Mapping[str, Any]) -> str:
    """The source, in which a value is unique; nothing where it is the same in all sources."""
    return "" if name == "channel_id" or is_shared(row[name]) else row["source"]


def _numbers(rows: Sequence[Mapping[str, Any]], motion: np.ndarray) -> dict[DriftName, np.ndarray]:
    named = ("duration_s", "fps", "size_bytes", "width_px", "height_px")
    duration, fps, size, width, height = (np.array([row[name] for row in rows], float) for name in named)
    is_clip = duration > 0  # an image has no duration
    return {
        "duration_s": duration,
        "fps": fps,
        "frame_px": width * height,
        "bit_rate": np.where(is_clip, 8 * size / np.where(is_clip, duration, 1.0), np.nan),
        "motion_mean": motion[:, 0] if motion.size else np.zeros(len(rows)),
    }


def _matrix(values: Sequence[Sequence[float]], name: str) -> np.ndarray:
    if not values:
        return np.zeros((0, 1))
    lengths = sorted({len(value) for value in values})
    if len(lengths) > 1 or lengths == [0]:
        raise UserError(f"{name}: vectors of the lengths {lengths}; expected the same length for every clip")
    matrix = np.array(values, float).reshape(len(values), -1)
    if not np.isfinite(matrix).all():
        raise UserError(f"{name}: a vector holds a value that is no finite number; make the file again")
    return matrix

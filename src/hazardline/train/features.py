"""The frozen vision encoder's output, computed once for every clip and kept as fp16 files.

Training visits a clip many times and evaluation once more; the encoder is frozen, so its output is always the same.
A file is named by what it depends on: the bytes of the video, the encoder, the layout and the variant. The cache ends
before the projector, which is trained.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import digest_json, write_atomic
from hazardline.vlm.layout import Layout

FEATURES_FOLDER = "features"
INDEX_NAME = "index.json"

Features = npt.NDArray[np.float16]


class Variant(NamedTuple):
    """How a clip is looked at: its first frame at the motion rate, and whether frames are mirrored."""

    phase: int
    is_mirrored: bool

    @property
    def name(self) -> str:
        """`p0`, `p1`, `p0m`, ..."""
        return f"p{self.phase}{'m' if self.is_mirrored else ''}"


PLAIN = Variant(0, False)


def all_variants(layout: Layout, phase: bool, mirror: bool) -> tuple[Variant, ...]:
    """The variants that an augmentation needs, the plain one first.

    With both, every other phase is mirrored: a clip is encoded twice and not four times at the pocket's rates, and
    cropping gives every visit frames of its own anyway.
    """
    phases = range(round(layout.motion_rate_hz / layout.rate_hz)) if phase else range(1)
    if mirror and len(phases) == 1:
        return PLAIN, Variant(0, True)
    return tuple(Variant(first, mirror and first % 2 == 1) for first in phases)


@dataclass(frozen=True)
class ClipSource:
    """A video to encode, and in which variants."""

    clip_id: str
    video: Path
    sha256: str
    variants: tuple[Variant, ...]


@dataclass(frozen=True)
class EncodingJob:
    """A clip to encode, and the file of every variant by the variant's name."""

    clip: ClipSource
    names: dict[str, str]


class ClipFeatures(Document):
    """One clip of the index."""

    sha256: str
    """Of the video."""
    num_decoded: int
    """Frames at the layout's motion rate; which of them were encoded, and their times, follow from the layout."""
    files: dict[str, str]
    """Variant name to file name: an array (frames, tokens of a frame, vision width) in fp16."""


class FeatureIndex(Document):
    """What a feature folder holds (`index.json`)."""

    version: Literal["features@1"] = "features@1"
    encoder_digest: str
    layout_digest: str
    tokens_per_frame: int
    width: int
    clips: dict[str, ClipFeatures]


class FeatureReader:
    """Features of a folder, memory-mapped."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        """Read the index.

        Raises:
            UserError: the index is missing, or was written for another layout.
        """
        self.index = FeatureIndex.read(folder / INDEX_NAME)
        if self.index.layout_digest != layout.digest():
            raise UserError(f"{folder / INDEX_NAME}: made with another layout than the base's; run train again")
        self._folder = folder
        self._layout = layout

    def features(self, clip_id: str, variant: Variant = PLAIN) -> Features:
        """Features of a clip: fp16 (frames, tokens of a frame, vision width), read-only.

        Raises:
            UserError: the clip or the variant is not in the folder, or its file is damaged.
        """
        name = self._clip(clip_id).files.get(variant.name)
        if name is None:
            raise UserError(f"{self._folder / INDEX_NAME}: clip {clip_id} has no variant {variant.name}")
        try:
            array: Features = np.load(self._folder / name, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self._folder / name}: cannot be read as features of {clip_id} ({error}); run train again"
            ) from None
        expected = (len(self.times_s(clip_id, variant)), self.index.tokens_per_frame, self.index.width)
        if array.shape != expected or array.dtype != np.float16:
            raise UserError(
                f"{self._folder / name}: holds {array.dtype} {array.shape}, expected float16 {expected}; "
                "run train again"
            )
        return array

    def times_s(self, clip_id: str, variant: Variant = PLAIN) -> list[float]:
        """Seconds of the encoded frames from the first encoded one."""
        return self._layout.times_s(self._layout.sample(self._clip(clip_id).num_decoded, variant.phase))

    def _clip(self, clip_id: str) -> ClipFeatures:
        found = self.index.clips.get(clip_id)
        if found is None:
            raise UserError(f"{self._folder / INDEX_NAME}: has no clip {clip_id}; run train again on these scenes")
        return found


def feature_file_name(clip: ClipSource, variant: Variant, encoder_digest: str, layout_digest: str) -> str:
    """Name of a feature file: a digest of everything that its contents depend on."""
    key = {"video": clip.sha256, "encoder": encoder_digest, "layout": layout_digest, "variant": variant.name}
    return f"{digest_json(key)[:32]}.npy"


def array_bytes(array: npt.NDArray[Any]) -> bytes:
    """An array in NumPy's file format."""
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=False)
    return sink.getvalue()


def keep_plain(folder: Path) -> None:
    """Remove the files of augmented variants: only training reads them."""
    index = FeatureIndex.read(folder / INDEX_NAME)
    clips = {
        clip_id: clip.model_copy(update={"files": {PLAIN.name: clip.files[PLAIN.name]}})
        for clip_id, clip in index.clips.items()
    }
    index.model_copy(update={"clips": clips}).write(folder / INDEX_NAME)
    kept = {name for clip in clips.values() for name in clip.files.values()}
    for path in folder.glob("*.npy"):
        if path.name not in kept:
            path.unlink()


def write_features(folder: Path, name: str, features: Features) -> None:
    """Write one feature file atomically."""
    write_atomic(folder / name, array_bytes(features))


def sources_of(
    scenes: Sequence[dict[str, Any]], training_clips: set[str], variants: Sequence[Variant]
) -> list[ClipSource]:
    """What to encode: training clips in all variants, the others plain.

    Args:
        scenes: rows of the scenes table.
        training_clips: ids of the clips that training visits.
        variants: what the augmentation needs.
    """
    return [
        ClipSource(
            scene["clip_id"],
            Path(scene["video_uri"]),
            scene["sha256"],
            tuple(variants) if scene["clip_id"] in training_clips else (PLAIN,),
        )
        for scene in scenes
    ]

"""The frozen vision encoder's output, computed once for every clip and kept as fp16 files.

Training visits a clip many times and evaluation once more; the encoder is frozen, so its output is always the same.
A file is named by what it depends on (the bytes of the video, the encoder, the layout, the variant) and by its own
digest: a damaged one is seen when it is first read. The cache ends before the projector, which is trained. What has no
room in the budget is encoded when it is visited.
"""

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import digest_json, sha256_bytes, sha256_file, write_atomic
from hazardline.vlm.layout import Layout

FEATURES_FOLDER = "features"
_DIGEST_DIGITS = 16
_NPY_HEADER_BYTES = 128
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
    """A clip to encode, and the key of every variant that is wanted, by the variant's name."""

    clip: ClipSource
    keys: dict[str, str]


class ClipFeatures(Document):
    """One clip of the index."""

    sha256: str
    """Of the video."""
    num_decoded: int
    """Frames at the layout's motion rate; which of them were encoded, and their times, follow from the layout."""
    files: dict[str, str]
    """Variant name to file name, of those that are kept: an array (frames, tokens of a frame, vision width) in fp16."""


class FeatureIndex(Document):
    """What a feature folder holds (`index.json`)."""

    version: Literal["features@2"] = "features@2"
    encoder_digest: str
    layout_digest: str
    features_per_frame: int
    width: int
    clips: dict[str, ClipFeatures]


class EncodeOnVisit(Protocol):
    """Computes the features of a clip that are not kept."""

    def features(self, clip_id: str, variant: Variant) -> Features:
        """As `FeatureReader.features`."""


class FeatureReader:
    """Features of a folder, memory-mapped; every file is checked when it is first read."""

    def __init__(
        self,
        folder: Path,
        layout: Layout,
        cache: Path | None = None,
        otherwise: EncodeOnVisit | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        """Read the index.

        Args:
            folder: of the index.
            layout: of the base.
            cache: folder of the files, where it is another one.
            otherwise: asked for what is not kept, or damaged.
            say: told of damaged files.

        Raises:
            UserError: the index is missing, or was written for another layout.
        """
        self.index = FeatureIndex.read(folder / INDEX_NAME)
        if self.index.layout_digest != layout.digest():
            raise UserError(f"{folder / INDEX_NAME}: made with another layout than the base's; run train again")
        self._folder = folder
        self._files = cache or folder
        self._layout = layout
        self._otherwise = otherwise
        self._checked: set[str] = set()
        self._gone: set[str] = set()
        self._say = say

    def features(self, clip_id: str, variant: Variant = PLAIN) -> Features:
        """Features of a clip: fp16 (frames, features of a frame, vision width), read-only.

        Raises:
            UserError: the clip or the variant is not kept, or its file is damaged, and there is no other way.
        """
        name = self._clip(clip_id).files.get(variant.name)
        if name is None or name in self._gone:
            if self._otherwise is not None:
                return self._otherwise.features(clip_id, variant)
            raise UserError(f"{self._folder / INDEX_NAME}: clip {clip_id} has no variant {variant.name}")
        try:
            return self._kept(clip_id, variant, name)
        except UserError as error:
            if self._otherwise is None:
                raise
            self._forget(name, str(error))
            return self._otherwise.features(clip_id, variant)

    def _forget(self, name: str, what: str) -> None:
        """Take a damaged file away, for the next run to encode it again; in this one it is encoded when visited."""
        (self._files / name).unlink(missing_ok=True)
        self._gone.add(name)
        if self._say is not None:
            self._say(f"{what}; it was removed, and until then the clip is encoded when visited")

    def _kept(self, clip_id: str, variant: Variant, name: str) -> Features:
        path = self._files / name
        try:
            if name not in self._checked and not is_whole(path):
                raise ValueError("its digest is not the one in its name")
            array: Features = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read as features of {clip_id} ({error}); run train again") from None
        self._checked.add(name)
        expected = (len(self.times_s(clip_id, variant)), self.index.features_per_frame, self.index.width)
        if array.shape != expected or array.dtype != np.float16:
            raise UserError(f"{path}: holds {array.dtype} {array.shape}, expected float16 {expected}; run train again")
        return array

    def times_s(self, clip_id: str, variant: Variant = PLAIN) -> list[float]:
        """Seconds of the encoded frames from the first encoded one."""
        return self._layout.times_s(self._layout.sample(self._clip(clip_id).num_decoded, variant.phase))

    def _clip(self, clip_id: str) -> ClipFeatures:
        found = self.index.clips.get(clip_id)
        if found is None:
            raise UserError(f"{self._folder / INDEX_NAME}: has no clip {clip_id}; run train again on these scenes")
        return found


def feature_key(clip: ClipSource, variant: Variant, encoder_digest: str, layout_digest: str) -> str:
    """First part of a feature file's name: a digest of everything that its contents depend on."""
    key = {"video": clip.sha256, "encoder": encoder_digest, "layout": layout_digest, "variant": variant.name}
    return digest_json(key)[:32]


def feature_bytes(num_frames: int, features_per_frame: int, width: int) -> int:
    """Size of a feature file."""
    return _NPY_HEADER_BYTES + 2 * num_frames * features_per_frame * width


def is_whole(path: Path) -> bool:
    """Whether a feature file holds what its name says."""
    return sha256_file(path)[:_DIGEST_DIGITS] == path.stem.rpartition("-")[2]


def array_bytes(array: npt.NDArray[Any]) -> bytes:
    """An array in NumPy's file format."""
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=False)
    return sink.getvalue()


def keep_plain(folder: Path, cache: Path) -> None:
    """Take the plain variants from a cache into a folder that has its index: only training reads the others."""
    index = FeatureIndex.read(folder / INDEX_NAME)
    clips = {}
    for clip_id, clip in index.clips.items():
        name = clip.files.get(PLAIN.name)
        is_kept = name is not None and _link(cache / name, folder / name)
        clips[clip_id] = clip.model_copy(update={"files": {PLAIN.name: name} if is_kept else {}})
    index.model_copy(update={"clips": clips}).write(folder / INDEX_NAME)


def _link(source: Path, target: Path) -> bool:
    """Share a file, or copy it to another disk; False where another run has evicted it meanwhile."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        return False
    except OSError:
        write_atomic(target, source.read_bytes())
    return True


def write_features(folder: Path, key: str, features: Features) -> str:
    """Write one feature file atomically; returns its name."""
    data = array_bytes(features)
    name = f"{key}-{sha256_bytes(data)[:_DIGEST_DIGITS]}.npy"
    write_atomic(folder / name, data)
    return name


def sources_of(
    scenes: Sequence[dict[str, Any]], training_clips: set[str], variants: Sequence[Variant]
) -> list[ClipSource]:
    """What to encode: training clips first and in all variants, the others plain.

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
        for scene in sorted(scenes, key=lambda scene: scene["clip_id"] not in training_clips)
    ]

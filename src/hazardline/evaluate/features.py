"""Features of the frozen encoder, one set a clip for both branches and both models.

What training left behind is used where it was made with this encoder and layout from these videos; the rest is computed
by the same code, so an answer does not depend on which of the two happened.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hazardline.errors import UserError
from hazardline.evaluate.testset import Clip
from hazardline.progress import Reporter
from hazardline.train.base import encoder_digest as digest_of_encoder
from hazardline.train.encode import encode_clips
from hazardline.train.features import FEATURES_FOLDER, INDEX_NAME, PLAIN, ClipSource, FeatureIndex
from hazardline.vlm.layout import LAYOUT_NAME, Layout


@dataclass(frozen=True)
class StoredClip:
    """A clip's features on disk: fp16 (frames, tokens of a frame, vision hidden size), and the frame times."""

    path: Path
    times_s: tuple[float, ...]

    def load(self) -> npt.NDArray[np.float32]:
        """The features in fp32.

        Raises:
            UserError: the file is missing or no array of the right form.
        """
        try:
            features: npt.NDArray[Any] = np.load(self.path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path}: cannot be read as features ({error}); run train again") from None
        if features.ndim != 3 or features.dtype != np.float16 or len(features) != len(self.times_s):
            raise UserError(
                f"{self.path}: expected fp16 features of {len(self.times_s)} frames, got {features.dtype} of shape "
                f"{features.shape}; run train again"
            )
        return features.astype(np.float32)


Features = Mapping[str, StoredClip]
"""By clip_id."""


def gather_features(
    base: Path,
    clips: Sequence[Clip],
    train: Path,
    encoder_digest: str | None,
    work: Path,
    num_processes: int,
    reporter: Reporter,
) -> dict[str, StoredClip]:
    """Find the features of clips, and compute those that are missing.

    Args:
        base: checkpoint folder.
        clips: what is needed.
        train: output folder of train; its `features/` may be missing.
        encoder_digest: of the base's encoder, where train has said it; None to look at the base.
        work: folder for the features that have to be computed.
        num_processes: processes to compute with.
        reporter: progress of the computation.
    """
    layout = Layout.read(base / LAYOUT_NAME)
    encoder_digest = encoder_digest or digest_of_encoder(base)
    found = _stored(train / FEATURES_FOLDER, clips, encoder_digest, layout)
    missing = [
        ClipSource(clip.clip_id, clip.video, clip.sha256, (PLAIN,)) for clip in clips if clip.clip_id not in found
    ]
    if missing:
        encode_clips(base, missing, work, num_processes, reporter)
        found |= _stored(work, clips, encoder_digest, layout)
    return found


def _stored(folder: Path, clips: Sequence[Clip], encoder_digest: str, layout: Layout) -> dict[str, StoredClip]:
    """What a feature folder holds of the clips; nothing where it was made with another encoder or layout."""
    if not (folder / INDEX_NAME).is_file():
        return {}
    index = FeatureIndex.read(folder / INDEX_NAME)
    if (index.encoder_digest, index.layout_digest) != (encoder_digest, layout.digest()):
        return {}
    found = {}
    for clip in clips:
        entry = index.clips.get(clip.clip_id)
        if entry is None or entry.sha256 != clip.sha256 or PLAIN.name not in entry.files:
            continue
        path = folder / entry.files[PLAIN.name]
        if path.is_file():
            found[clip.clip_id] = StoredClip(path, tuple(layout.times_s(layout.sample(entry.num_decoded))))
    return found

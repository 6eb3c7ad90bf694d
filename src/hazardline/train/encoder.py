"""The frozen vision encoder at work: one clip in, one file a variant out. Runs in the processes of `encode`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from hazardline.errors import UserError
from hazardline.files import sha256_file
from hazardline.mirror.clips import make_present
from hazardline.train.features import ClipFeatures, EncodingJob, Features, Variant, write_features
from hazardline.video import VideoError
from hazardline.vlm.layout import LAYOUT_NAME, Layout
from hazardline.vlm.model import encode, load_base
from hazardline.vlm.pixels import SeenFrames, frames_to_patches, read_seen

FRAMES_PER_BATCH = 32


class Encoder:
    """The frozen vision encoder of a base."""

    def __init__(self, base: Path) -> None:
        """Load the base; only the vision encoder stays in memory, on a GPU where there is one."""
        self.layout = Layout.read(base / LAYOUT_NAME)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = load_base(base, torch.bfloat16 if self._device.type == "cuda" else torch.float32)
        model.model.language_model = None
        model.lm_head = None
        self._model = model.to(self._device)

    @torch.inference_mode()
    def encode(self, seen: SeenFrames, variant: Variant) -> Features:
        """Features of a decoded clip: fp16 (frames, tokens of a frame, width).

        Args:
            seen: what the layout looks at in this variant, or more.
            variant: phase and mirroring.

        Raises:
            UserError: a feature is beyond what fp16 holds.
        """
        indices = self.layout.sample(seen.num_frames, variant.phase)
        frames = seen.pixels[:, :, ::-1] if variant.is_mirrored else seen.pixels
        parts = []
        for start in range(0, len(indices), FRAMES_PER_BATCH):
            chosen = indices[start : start + FRAMES_PER_BATCH]
            patches = torch.from_numpy(frames_to_patches(frames, self.layout, chosen, seen.numbers)).to(self._device)
            with torch.autocast(self._device.type, torch.bfloat16):
                states = encode(self._model, patches, self.layout.grid, self.layout.merge)
            half = states.to("cpu", torch.float16)
            if not half.isfinite().all():
                raise UserError("the base's vision features are too large for fp16, in which they are kept")
            parts.append(half.numpy())
        return np.concatenate(parts)


def encode_one(encoder: Encoder, job: EncodingJob, folder: Path) -> tuple[str, ClipFeatures]:
    """Decode one clip and write the features of its variants."""
    clip = job.clip
    if not clip.video.is_file() or sha256_file(clip.video) != clip.sha256:
        raise UserError(f"{clip.video}: missing, or changed since ingest read it as {clip.clip_id}; run ingest again")
    try:
        wanted = [variant for variant in clip.variants if variant.name in job.keys]
        seen = read_seen(clip.video, encoder.layout, [variant.phase for variant in wanted])
    except VideoError as error:
        raise UserError(f"{clip.video}: clip {clip.clip_id} cannot be decoded ({error}); run ingest again") from None
    files = {
        variant.name: write_features(folder, job.keys[variant.name], encoder.encode(seen, variant))
        for variant in wanted
    }
    return clip.clip_id, ClipFeatures(sha256=clip.sha256, num_decoded=seen.num_frames, files=files)


class VisitEncoder:
    """`hazardline.train.features.EncodeOnVisit`: decodes and encodes a clip whenever it is asked for."""

    def __init__(self, base: Path, videos: Mapping[str, tuple[Path, str]]) -> None:
        """Bind the base, which is loaded when it is first needed, and the video of every clip with its digest."""
        self._base, self._videos = base, videos
        self._encoder: Encoder | None = None

    def features(self, clip_id: str, variant: Variant) -> Features:
        """Features of a clip, the same numbers as of a file."""
        if self._encoder is None:
            self._encoder = Encoder(self._base)
        path, sha256 = self._videos[clip_id]
        make_present([(path, sha256)])
        try:
            return self._encoder.encode(read_seen(path, self._encoder.layout, (variant.phase,)), variant)
        except (OSError, VideoError) as error:
            raise UserError(f"{path}: clip {clip_id} cannot be decoded ({error}); run ingest again") from None


def encode_here(base: Path, jobs: Sequence[EncodingJob], folder: Path) -> Iterator[tuple[str, ClipFeatures]]:
    """Encode clips in this process, on one thread: the same bytes as with processes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        encoder = Encoder(base)
        for job in jobs:
            yield encode_one(encoder, job, folder)
    finally:
        torch.set_num_threads(threads)


_encoder: Encoder
_folder: Path


def start(base: Path, folder: Path, number: int) -> None:
    """Make a process ready: load the encoder, the processes in turn on the GPUs of this machine."""
    global _encoder, _folder
    torch.set_num_threads(1)
    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())
    _encoder, _folder = Encoder(base), folder


def encode_in_process(job: EncodingJob) -> tuple[str, ClipFeatures]:
    """`encode_one` in a process that `start` has made ready."""
    return encode_one(_encoder, job, _folder)

"""Fills the feature cache: decodes every clip once and runs the frozen vision encoder over its variants."""

import hashlib
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hazardline.errors import UserError
from hazardline.files import canonical_json, sha256_file
from hazardline.progress import Reporter
from hazardline.train.features import (
    INDEX_NAME,
    ClipFeatures,
    ClipSource,
    FeatureIndex,
    Features,
    Variant,
    feature_file_name,
    write_features,
)
from hazardline.video import VideoError
from hazardline.vlm.layout import LAYOUT_NAME, Layout
from hazardline.vlm.model import encode, load_base
from hazardline.vlm.pixels import Frames, frames_to_patches, read_frames

FRAMES_PER_BATCH = 32


class Encoder:
    """The frozen vision encoder of a base, and the digests of what its output depends on."""

    def __init__(self, base: Path) -> None:
        """Load the base; only the vision encoder stays in memory."""
        self.layout = Layout.read(base / LAYOUT_NAME)
        model = load_base(base)
        model.model.language_model = None
        model.lm_head = None
        self._model = model
        vision: Any = model.config.vision_config
        self.width: int = vision.hidden_size
        self.digest = encoder_digest(model)

    @torch.inference_mode()
    def encode(self, frames: Frames, variant: Variant) -> Features:
        """Features of a decoded clip: fp16 (frames, tokens of a frame, width).

        Args:
            frames: uint8 (T, height, width, 3) at the layout's motion rate.
            variant: phase and mirroring.
        """
        indices = self.layout.sample(len(frames), variant.phase)
        seen = frames[:, :, ::-1] if variant.is_mirrored else frames
        parts = []
        for start in range(0, len(indices), FRAMES_PER_BATCH):
            patches = frames_to_patches(seen, self.layout, indices[start : start + FRAMES_PER_BATCH])
            with torch.autocast("cpu", torch.bfloat16):
                states = encode(self._model, torch.from_numpy(patches), self.layout.grid, self.layout.merge)
            parts.append(states.to(torch.float16).numpy())
        return np.concatenate(parts)


def encoder_digest(model: Any) -> str:
    """Hex SHA-256 over the vision encoder's configuration and weights."""
    tower = model.model.vision_model
    digest = hashlib.sha256(canonical_json(tower.config.to_diff_dict()))
    for name, tensor in sorted(tower.state_dict().items()):
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def encode_clips(
    base: Path, clips: Sequence[ClipSource], folder: Path, num_processes: int, reporter: Reporter
) -> FeatureIndex:
    """Encode clips into a folder and write its index; clips that the folder holds already are not encoded again.

    Args:
        base: checkpoint folder.
        clips: what to encode.
        folder: the feature folder, made if it is missing.
        num_processes: processes with one thread each; with 1 the work is done in this process.
        reporter: a unit a clip.

    Raises:
        UserError: a video is missing, has changed since ingest or cannot be decoded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _threads(1):
        encoder = Encoder(base)
    layout_digest = encoder.layout.digest()
    done = _reusable(folder, encoder.digest, layout_digest)
    reporter.phase("features", len(clips))
    pending = []
    for clip in clips:
        names = {v.name: feature_file_name(clip, v, encoder.digest, layout_digest) for v in clip.variants}
        held = done.get(clip.clip_id)
        if held is not None and held.files == names and all((folder / name).is_file() for name in names.values()):
            reporter.advance()
        else:
            done.pop(clip.clip_id, None)
            pending.append((clip, names))
    for clip_id, entry in _encode_all(encoder, base, pending, folder, num_processes):
        done[clip_id] = entry
        reporter.advance()
    index = FeatureIndex(
        encoder_digest=encoder.digest,
        layout_digest=layout_digest,
        tokens_per_frame=encoder.layout.tokens_per_frame,
        width=encoder.width,
        clips={clip.clip_id: done[clip.clip_id] for clip in sorted(clips, key=lambda clip: clip.clip_id)},
    )
    index.write(folder / INDEX_NAME)
    return index


_Job = tuple[ClipSource, dict[str, str]]


def _encode_all(
    encoder: Encoder, base: Path, jobs: Sequence[_Job], folder: Path, num_processes: int
) -> Iterator[tuple[str, ClipFeatures]]:
    if num_processes == 1 or len(jobs) < 2:
        with _threads(1):
            for job in jobs:
                yield encode_one(encoder, job, folder)
        return
    pool = ProcessPoolExecutor(
        num_processes, multiprocessing.get_context("spawn"), initializer=_start, initargs=(base, folder)
    )
    try:
        for future in as_completed([pool.submit(_encode_in_process, job) for job in jobs]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def encode_one(encoder: Encoder, job: _Job, folder: Path) -> tuple[str, ClipFeatures]:
    """Decode one clip and write the features of its variants."""
    clip, names = job
    if not clip.video.is_file() or sha256_file(clip.video) != clip.sha256:
        raise UserError(f"{clip.video}: missing, or changed since ingest read it as {clip.clip_id}; run ingest again")
    try:
        frames = read_frames(clip.video, encoder.layout)
    except VideoError as error:
        raise UserError(f"{clip.video}: clip {clip.clip_id} cannot be decoded ({error}); run ingest again") from None
    for variant in clip.variants:
        write_features(folder, names[variant.name], encoder.encode(frames, variant))
    return clip.clip_id, ClipFeatures(sha256=clip.sha256, num_decoded=len(frames), files=names)


_encoder: Encoder
_folder: Path


def _start(base: Path, folder: Path) -> None:
    global _encoder, _folder
    torch.set_num_threads(1)
    _encoder, _folder = Encoder(base), folder


def _encode_in_process(job: _Job) -> tuple[str, ClipFeatures]:
    return encode_one(_encoder, job, _folder)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _reusable(folder: Path, encoder: str, layout: str) -> dict[str, ClipFeatures]:
    if not (folder / INDEX_NAME).is_file():
        return {}
    index = FeatureIndex.read(folder / INDEX_NAME)
    return dict(index.clips) if (index.encoder_digest, index.layout_digest) == (encoder, layout) else {}

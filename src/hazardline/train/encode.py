"""Fills the feature cache, with processes of its own: this one does not load the model."""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from hazardline.progress import Reporter
from hazardline.train.base import encoder_digest, encoder_width
from hazardline.train.features import (
    INDEX_NAME,
    ClipFeatures,
    ClipSource,
    EncodingJob,
    FeatureIndex,
    feature_file_name,
)
from hazardline.vlm.layout import LAYOUT_NAME, Layout


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
    layout = Layout.read(base / LAYOUT_NAME)
    encoder, width, layout_digest = encoder_digest(base), encoder_width(base), layout.digest()
    done = _reusable(folder, encoder, layout_digest)
    reporter.phase("features", len(clips))
    pending = []
    for clip in clips:
        names = {variant.name: feature_file_name(clip, variant, encoder, layout_digest) for variant in clip.variants}
        held = done.get(clip.clip_id)
        if held is not None and held.files == names and all((folder / name).is_file() for name in names.values()):
            reporter.advance()
        else:
            done.pop(clip.clip_id, None)
            pending.append(EncodingJob(clip, names))
    for clip_id, entry in _encode_all(base, pending, folder, num_processes):
        done[clip_id] = entry
        reporter.advance()
    index = FeatureIndex(
        encoder_digest=encoder,
        layout_digest=layout_digest,
        tokens_per_frame=layout.tokens_per_frame,
        width=width,
        clips={clip.clip_id: done[clip.clip_id] for clip in sorted(clips, key=lambda clip: clip.clip_id)},
    )
    index.write(folder / INDEX_NAME)
    return index


def _encode_all(
    base: Path, jobs: Sequence[EncodingJob], folder: Path, num_processes: int
) -> Iterator[tuple[str, ClipFeatures]]:
    if num_processes == 1:
        from hazardline.train import encoder

        yield from encoder.encode_here(base, jobs, folder)
        return
    pool = ProcessPoolExecutor(
        min(num_processes, len(jobs)) or 1,
        multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(base, folder),
    )
    try:
        for future in as_completed([pool.submit(_encode, job) for job in jobs]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start(base: Path, folder: Path) -> None:
    """Load the encoder; torch is imported in the processes of the pool alone."""
    from hazardline.train import encoder

    encoder.start(base, folder)


def _encode(job: EncodingJob) -> tuple[str, ClipFeatures]:
    from hazardline.train import encoder

    return encoder.encode_in_process(job)


def _reusable(folder: Path, encoder: str, layout: str) -> dict[str, ClipFeatures]:
    if not (folder / INDEX_NAME).is_file():
        return {}
    index = FeatureIndex.read(folder / INDEX_NAME)
    return dict(index.clips) if (index.encoder_digest, index.layout_digest) == (encoder, layout) else {}

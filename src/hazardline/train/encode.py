"""Fills the feature cache, with processes of its own: this one does not load the model."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from hazardline.errors import UserError
from hazardline.mirror.clips import make_present
from hazardline.progress import Reporter
from hazardline.train.base import encoder_digest, encoder_width
from hazardline.train.feature_cache import CachePlan, Wanted, files_of, plan_cache
from hazardline.train.features import (
    INDEX_NAME,
    ClipFeatures,
    ClipSource,
    EncodingJob,
    FeatureIndex,
    feature_bytes,
    feature_key,
)
from hazardline.video import VideoError, probe
from hazardline.vlm.layout import LAYOUT_NAME, Layout


def encode_clips(
    base: Path,
    clips: Sequence[ClipSource],
    folder: Path,
    num_processes: int,
    reporter: Reporter,
    cache: Path | None = None,
    budget_bytes: int | None = None,
) -> FeatureIndex:
    """Encode clips into a cache and write a folder's index; what the cache holds already is not encoded again.

    Args:
        base: checkpoint folder.
        clips: what to encode, what is needed most first.
        folder: of the index, made if it is missing.
        num_processes: processes with one thread each; with 1 the work is done in this process.
        reporter: a unit a clip.
        cache: folder of the files; by default the index's own.
        budget_bytes: most that the cache may hold; what has no room is left out of the index. None for no limit.

    Raises:
        UserError: a video is missing, has changed since ingest or cannot be decoded.
    """
    cache = cache or folder
    make_present(((clip.video, clip.sha256) for clip in clips), reporter)
    for path in (folder, cache):
        path.mkdir(parents=True, exist_ok=True)
    layout = Layout.read(base / LAYOUT_NAME)
    identity = FeatureIndex(
        encoder_digest=encoder_digest(base),
        layout_digest=layout.digest(),
        features_per_frame=layout.features_per_frame,
        width=encoder_width(base),
        clips={clip.clip_id: _described(clip, layout) for clip in sorted(clips, key=lambda clip: clip.clip_id)},
    )
    held, keys = files_of(cache), _keys(clips, identity)
    plan = plan_cache(_wanted(clips, keys, identity, layout), held, budget_bytes)
    for name in plan.evicted:
        (cache / name).unlink(missing_ok=True)
    done, pending = dict(identity.clips), []
    reporter.phase("features", len(clips))
    for clip in clips:
        kept = {v.name: key for v in clip.variants if (key := keys[clip.clip_id, v.name]) in plan.kept}
        files = {name: held[key].name for name, key in kept.items() if key in held}
        done[clip.clip_id] = done[clip.clip_id].model_copy(update={"files": files})
        for name in files.values():
            os.utime(cache / name)
        missing = {name: key for name, key in kept.items() if name not in files}
        if missing:
            pending.append(EncodingJob(clip, missing))
        else:
            reporter.advance()
    for clip_id, made in _encode_all(base, pending, cache, num_processes):
        done[clip_id] = made.model_copy(update={"files": {**done[clip_id].files, **made.files}})
        reporter.advance()
    _say_what_is_not_kept(plan, len(set(keys.values())), reporter)
    index = identity.model_copy(update={"clips": done})
    index.write(folder / INDEX_NAME)
    return index


_Keys = dict[tuple[str, str], str]
"""Key of the features of a (clip, variant name)."""


def _keys(clips: Sequence[ClipSource], identity: FeatureIndex) -> _Keys:
    return {
        (clip.clip_id, variant.name): feature_key(clip, variant, identity.encoder_digest, identity.layout_digest)
        for clip in clips
        for variant in clip.variants
    }


def _wanted(clips: Sequence[ClipSource], keys: _Keys, identity: FeatureIndex, layout: Layout) -> list[Wanted]:
    found = []
    for clip in clips:
        for variant in clip.variants:
            num_frames = len(layout.sample(identity.clips[clip.clip_id].num_decoded, variant.phase))
            size = feature_bytes(num_frames, identity.features_per_frame, identity.width)
            found.append(Wanted(keys[clip.clip_id, variant.name], size))
    return found


def _described(clip: ClipSource, layout: Layout) -> ClipFeatures:
    """What the head of a clip's file says."""
    try:
        num_decoded = probe(clip.video).num_samples(layout.motion_rate_hz, None)
    except (OSError, VideoError) as error:
        raise UserError(
            f"{clip.video}: missing, or changed since ingest read it as {clip.clip_id} ({error}); run ingest again"
        ) from None
    return ClipFeatures(sha256=clip.sha256, num_decoded=num_decoded, files={})


def _say_what_is_not_kept(plan: CachePlan, num_wanted: int, reporter: Reporter) -> None:
    left = num_wanted - len(plan.kept)
    if left:
        reporter.note(f"{left} of {num_wanted} feature files have no room in the cache: they are encoded when visited")
    if plan.evicted:
        reporter.note(f"{len(plan.evicted)} feature files of other runs went to make room")


def _encode_all(
    base: Path, jobs: Sequence[EncodingJob], folder: Path, num_processes: int
) -> Iterator[tuple[str, ClipFeatures]]:
    if num_processes == 1:
        from hazardline.train import encoder

        yield from encoder.encode_here(base, jobs, folder)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        min(num_processes, len(jobs)) or 1, context, initializer=_start, initargs=(base, folder, context.Value("i", 0))
    )
    try:
        for future in as_completed([pool.submit(_encode, job) for job in jobs]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start(base: Path, folder: Path, started: "Synchronized[int]") -> None:
    """Load the encoder; torch is imported in the processes of the pool alone."""
    from hazardline.train import encoder

    with started.get_lock():
        number, started.value = started.value, started.value + 1
    encoder.start(base, folder, number)


def _encode(job: EncodingJob) -> tuple[str, ClipFeatures]:
    from hazardline.train import encoder

    return encoder.encode_in_process(job)

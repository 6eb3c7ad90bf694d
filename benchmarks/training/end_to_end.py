"""End to end against other trainers: questions a second from files to optimizer steps, and loss curves.

Both sides train on the same questions in the same order from the same weights, so that not only the speed but the loss
of every step is compared. The peer's clock starts with its training loop, behind its own preparation; ours starts
before the first clip is decoded, so the making of our cache counts in full. Processor seconds are compared as well:
both sides have one thread, and on a machine that others use they say more than the clock on the wall.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from transformers import AutoProcessor

from benchmarks.training import hf_trainer, llamafactory, msswift, ours
from benchmarks.training.checkpoint import make_checkpoint
from benchmarks.training.clips import VideoClip, make_clips, num_seen_frames
from benchmarks.training.document import Row, row
from benchmarks.training.environment import BENCH
from benchmarks.training.run import Run
from benchmarks.training.samples import check_against_peer, read_pixels, sample
from benchmarks.training.synthetic import Family

NUM_EPOCHS = 3
"""LLaMA-Factory's default."""
MAX_LOSS_DIFFERENCE = 1e-3
Train = Callable[[Run, list[VideoClip], str], dict[str, Any]]


def frames_to_llamafactory(run: Run, clips: list[VideoClip], name: str) -> dict[str, Any]:
    """LLaMA-Factory with extracted frames in place of videos."""
    return llamafactory.train(run, clips, name, are_frames=True)


@dataclass(frozen=True)
class Peer:
    """Whom ours is compared with."""

    train: Train
    family: Family
    note: str


PEERS = {
    "llamafactory": Peer(
        llamafactory.train, "qwen2_vl", "LLaMA-Factory 0.9.5, the questions of a clip one padded batch a step"
    ),
    "llamafactory_frames": Peer(frames_to_llamafactory, "qwen2_vl", "LLaMA-Factory 0.9.5, given extracted frames"),
    "msswift_packing": Peer(
        msswift.train, "qwen2_vl", "ms-swift 4.6 --packing, the questions of a clip one packed row a step"
    ),
    "hf_trainer_videollama3": Peer(
        hf_trainer.train, "video_llama_3", "Hugging Face Trainer, the questions of a clip one padded batch a step"
    ),
}


def peer_row(name: str, num_tokens: int, num_questions: int, num_clips: int) -> Row:
    """Train with both sides and compare. RuntimeError where a peer's run fails, ValueError where it did other work."""
    peer = PEERS[name]
    num_frames = num_seen_frames(peer.family, num_tokens)
    checkpoint = make_checkpoint(peer.family, BENCH / "checkpoints" / peer.family)
    run = Run(checkpoint, num_tokens, num_frames, num_questions, num_clips, NUM_EPOCHS)
    clips = make_clips(BENCH / "clips", num_clips, num_questions, num_frames)
    our_figures, our_wall_s = _timed(ours.train, run, clips, f"ours_{name}_{run.name}")
    figures, wall_s = _timed(peer.train, run, clips, f"{name}_{run.name}")
    check = _same_work(run, clips, figures["first_batch"])
    difference = _largest_difference(our_figures["losses"], figures["losses"])
    if difference > MAX_LOSS_DIFFERENCE:
        raise ValueError(f"{name}: the losses differ by up to {difference:.1e}; the sides do not train the same")
    return row(
        f"{name}_{run.name}",
        run.num_answers / our_figures["train_s"],
        run.num_answers / figures["train_s"],
        "QA/s",
        f"{peer.note}; {num_clips} clips, {NUM_EPOCHS} epochs, cache building included",
        **check,
        largest_loss_difference=difference,
        ratio_of_processor_time=round(figures["cpu_s"] / our_figures["cpu_s"], 3),
        ratio_with_start_up=round(wall_s / our_wall_s, 3),
        ratio_first_epoch=round(_epochs_s(figures, num_clips)[0] / _epochs_s(our_figures, num_clips)[0], 3),
        ratio_last_epoch=round(_epochs_s(figures, num_clips)[-1] / _epochs_s(our_figures, num_clips)[-1], 3),
        ours_seconds=_phases(our_figures),
        peer_seconds=_phases(figures),
        ours_losses=our_figures["losses"],
        peer_losses=figures["losses"],
    )


def _timed(train: Train, run: Run, clips: list[VideoClip], name: str) -> tuple[dict[str, Any], float]:
    start = time.perf_counter()
    figures = train(run, clips, name)
    return figures, time.perf_counter() - start


def _same_work(run: Run, clips: list[VideoClip], first_batch: dict[str, Any]) -> dict[str, bool]:
    processor = AutoProcessor.from_pretrained(run.checkpoint / "base")
    grid = read_pixels(processor, clips[0], run.num_frames).grid
    samples = [sample(processor, question, grid) for question in clips[0].questions]
    return check_against_peer(samples, grid, first_batch, processor.tokenizer.pad_token_id)


def _largest_difference(our_losses: list[float], peer_losses: list[float]) -> float:
    """Over all steps; ValueError where a side took another number of steps."""
    return max(abs(one - other) for one, other in zip(our_losses, peer_losses, strict=True))


def _epochs_s(figures: dict[str, Any], steps: int) -> list[float]:
    ends = [0.0, *figures["step_ends_s"][steps - 1 :: steps]]
    return [end - begin for begin, end in pairwise(ends)]


def _phases(figures: dict[str, Any]) -> dict[str, float]:
    """Seconds of decoding (with cutting into patches), encoding, and all the rest of a run."""
    seconds = {name: round(value, 3) for name, value in figures["seconds"].items()}
    seconds["language_model"] = round(figures["train_s"] - sum(figures["seconds"].values()), 3)
    return seconds

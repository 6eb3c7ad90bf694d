"""Our end-to-end run, from mp4 files and texts to optimizer steps, in a process of its own.

Before the clock starts: imports, the checkpoint and the adapter. Inside: every clip is decoded and encoded once and its
features are written to disk; then every step reads the features of one clip and trains on all its questions.
`python -m benchmarks.training.ours ARGUMENTS.json FIGURES.json`
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import nn
from transformers import AutoProcessor

from benchmarks.training.clips import VideoClip
from benchmarks.training.own_process import task_of, train_in_own_process
from benchmarks.training.run import Run
from benchmarks.training.samples import read_pixels, shared
from hazardline.train.packed import answer_losses, use_tree_attention
from hazardline.train.prefix import ClipRow, Turn
from hazardline.vlm.family import family_of
from hazardline.vlm.media import Grid
from hazardline.vlm.model import core_model, load_base


def train(run: Run, clips: list[VideoClip], name: str) -> dict[str, Any]:
    """Train in a fresh process and return its figures."""
    return train_in_own_process(__name__, run, clips, name)


def load(checkpoint: Path) -> PeftModel:
    """The checkpoint with its adapter in training, fit for packed rows."""
    model = PeftModel.from_pretrained(load_base(checkpoint / "base"), checkpoint / "adapter", is_trainable=True)
    use_tree_attention(model)
    model.train()
    return model


def end_to_end(run: Run, clips: list[VideoClip], cache: Path) -> dict[str, Any]:
    """The whole run and when its parts ended."""
    torch.set_num_threads(1)
    model = load(run.checkpoint)
    processor = AutoProcessor.from_pretrained(run.checkpoint / "base")
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=run.learning_rate, weight_decay=0.0)
    seconds = {"decode": 0.0, "encode": 0.0}
    begin, begin_cpu = time.perf_counter(), time.process_time()
    texts = [
        _into_cache(model, processor, clip, run.num_frames, cache / f"{place}.pt", seconds)
        for place, clip in enumerate(clips)
    ]
    cached_s = time.perf_counter() - begin
    ends, losses = [], []
    for _ in range(run.num_epochs):
        for place, (prefix, turns, grid) in enumerate(texts):
            row = ClipRow(torch.load(cache / f"{place}.pt"), prefix, turns, (grid,))
            loss = answer_losses(model, [row]).mean_over_tokens()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, run.max_gradient_norm)
            optimizer.step()
            losses.append(float(loss.detach()))
            ends.append(time.perf_counter() - begin)
    cpu_s = time.process_time() - begin_cpu
    return {
        "train_s": ends[-1],
        "cpu_s": cpu_s,
        "cache_s": cached_s,
        "step_ends_s": ends,
        "losses": losses,
        "seconds": seconds,
    }


def _into_cache(
    model: Any, processor: Any, clip: VideoClip, num_frames: int, path: Path, seconds: dict[str, float]
) -> tuple[list[int], list[Turn], Grid]:
    start = time.perf_counter()
    pixels = read_pixels(processor, clip, num_frames)
    seconds["decode"] += time.perf_counter() - start
    start = time.perf_counter()
    core = core_model(model)
    with torch.no_grad():
        features = family_of(core).native_features(core, pixels.media)
    torch.save(features.clone(), path)
    seconds["encode"] += time.perf_counter() - start
    return *shared(processor, clip, pixels.grid), pixels.grid


def main() -> None:
    """Run in this process what `train` has written down."""
    run, clips, folder = task_of(Path(sys.argv[1]))
    Path(sys.argv[2]).write_text(json.dumps(end_to_end(run, clips, folder)))


if __name__ == "__main__":
    main()

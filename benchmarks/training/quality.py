"""Does it harm the model that the questions of a clip always meet in one step? Quality at equal optimizer steps.

The real pocket base learns simulated crashes twice: with packed steps (a few clips, all their questions) and with
shuffled ones (as many questions, drawn one by one from all clips, as a usual trainer does). Both see the same number
of questions a step, the same number of steps, the same first weights; three seeds each. What is compared is the loss of
the answers on validation clips. A shuffled step runs through the same engine with one question a clip: the gradient is
that of separate samples.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.training.document import Row, row
from benchmarks.training.environment import BENCH
from hazardline.progress import SilentReporter
from hazardline.stages import stage_named
from hazardline.tables import SCENES, read_table
from hazardline.train.base import POCKET_CHECKPOINT
from hazardline.train.clips import Clip, load_clips
from hazardline.train.encode import encode_clips
from hazardline.train.features import FEATURES_FOLDER, PLAIN, FeatureReader, sources_of
from hazardline.train.packed import answer_losses, use_tree_attention
from hazardline.train.prefix import ClipRow, Turn
from hazardline.vlm.model import LoraSettings, add_branch, load_base
from hazardline.vlm.text import Prompter

SEEDS = (0, 1, 2)
NUM_STEPS, EVERY = 60, 15
CLIPS_PER_STEP = 4
LEARNING_RATE = 1e-3
_LORA = LoraSettings(rank=16, alpha=32, dropout=0.0)
_SECTIONS: dict[str, dict[str, Any]] = {
    "simulate": {"num_pairs": 60, "num_normal": 0, "seed": 11, "num_workers": 1},
    "ingest": {"source": "native"},
    "split": {"train_share": 0.7, "validation_share": 0.25, "test_share": 0.05, "min_test_clips": 1},
    "synthesize": {"prompt_version": "crashchat-short@1"},
}


def quality_row() -> Row:
    """Validation loss after the last step, mean over seeds."""
    train, validation = _rows()
    curves = {way: [_learn(way, train, validation, seed) for seed in SEEDS] for way in ("packed", "shuffled")}
    last = {way: [curve[-1] for curve in found] for way, found in curves.items()}
    return row(
        "quality_k5",
        mean(last["packed"]),
        mean(last["shuffled"]),
        "loss",
        f"shuffled one-question training, validation loss after {NUM_STEPS} steps of as many questions, "
        f"mean of {len(SEEDS)} seeds",
        deviation_over_seeds={way: round(stdev(found), 4) for way, found in last.items()},
        steps=list(range(0, NUM_STEPS + 1, EVERY)),
        packed_curves=curves["packed"],
        shuffled_curves=curves["shuffled"],
        num_clips={"train": len(train), "validation": len(validation)},
    )


def _stage(name: str, inputs: dict[str, Path]) -> Path:
    folder = BENCH / "quality" / name
    if not folder.is_dir():
        stage = stage_named(name)
        making = folder.with_suffix(".tmp")
        making.mkdir(parents=True, exist_ok=True)
        config = stage.config_class().parse(_SECTIONS[name], name)
        stage.run_function()(config, inputs, making, SilentReporter())
        making.rename(folder)
    return folder


def _rows() -> tuple[list[ClipRow], list[ClipRow]]:
    """Clips with all questions of the linguistic branch: of training and of validation."""
    simulate = _stage("simulate", {})
    ingest = _stage("ingest", {"simulate": simulate})
    split = _stage("split", {"ingest": ingest})
    synthesize = _stage("synthesize", {"ingest": ingest, "split": split})
    features = BENCH / "quality" / FEATURES_FOLDER
    sources = sources_of(read_table(SCENES, ingest), set(), (PLAIN,))
    encode_clips(POCKET_CHECKPOINT, sources, features, 1, SilentReporter())
    prompter = Prompter.load(POCKET_CHECKPOINT)
    reader = FeatureReader(features, prompter.layout)
    train, validation = (
        [_row(clip, prompter, reader) for clip in load_clips(ingest, synthesize, "linguistic", part)]
        for part in ("train", "validation")
    )
    return train, validation


def _row(clip: Clip, prompter: Prompter, reader: FeatureReader) -> ClipRow:
    features = torch.from_numpy(np.array(reader.features(clip.clip_id), dtype=np.float32))
    turns = [Turn(prompter.question(one.question), prompter.answer(one.answer)) for one in clip.questions]
    return ClipRow(features, prompter.prefix(reader.times_s(clip.clip_id)), turns)


def _learn(way: str, train: Sequence[ClipRow], validation: Sequence[ClipRow], seed: int) -> list[float]:
    """Validation losses at the start and after every `EVERY` steps."""
    torch.manual_seed(seed)
    model = add_branch(load_base(POCKET_CHECKPOINT), "bench", _LORA)
    use_tree_attention(model)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.0)
    generator = np.random.default_rng(seed)
    curve = [_validation_loss(model, validation)]
    for number, rows in enumerate(_steps(way, train, generator), start=1):
        num_turns = sum(len(one.turns) for one in rows)
        optimizer.zero_grad(set_to_none=True)
        for one in rows:
            (answer_losses(model, [one]).per_turn().sum() / num_turns).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if number % EVERY == 0:
            curve.append(_validation_loss(model, validation))
    print(f"quality: {way}, seed {seed}: {curve[-1]:.4f} (load {os.getloadavg()[0]:.1f})", flush=True)
    return curve


def _steps(way: str, train: Sequence[ClipRow], generator: np.random.Generator) -> list[list[ClipRow]]:
    """Rows of every step. Both ways have the sizes of the packed steps and go through all questions epoch by epoch."""
    packed = [[train[place] for place in step] for step in _epochs(len(train), generator)]
    if way == "packed":
        return packed
    singles = [ClipRow(one.features, one.prefix, [turn]) for one in train for turn in one.turns]
    order: list[int] = []
    steps = []
    for rows in packed:
        size = sum(len(one.turns) for one in rows)
        while len(order) < size:
            order += generator.permutation(len(singles)).tolist()
        steps.append([singles[place] for place in order[:size]])
        del order[:size]
    return steps


def _epochs(num_clips: int, generator: np.random.Generator) -> list[list[int]]:
    order: list[int] = []
    while len(order) < NUM_STEPS * CLIPS_PER_STEP:
        order += generator.permutation(num_clips).tolist()
    return [order[place * CLIPS_PER_STEP : (place + 1) * CLIPS_PER_STEP] for place in range(NUM_STEPS)]


@torch.no_grad()
def _validation_loss(model: nn.Module, rows: Sequence[ClipRow]) -> float:
    """Mean over answers of the mean over their tokens."""
    return mean(value for one in rows for value in answer_losses(model, [one]).per_turn().tolist())

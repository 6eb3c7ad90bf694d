"""Does it harm the model that the questions of a clip always meet in one step? Quality at equal optimizer steps.

The real pocket base learns simulated crashes twice: with packed steps (a few clips, all their questions) and with
shuffled ones (as many questions, drawn one by one from all clips, as a usual trainer does). Both see the same number
of questions a step, the same number of steps, rates and first weights; three seeds each. A shuffled step runs through
the same engine with one question a clip: the gradient is that of separate samples. What is compared, on clips of other
scenes: the loss of the answers, and of decoded answers the macro F1 of recognition and the mean IoU of localization,
each with a bootstrap interval over scenes (a scene is a crash and its near-miss twin), seeds averaged.
"""

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.training.document import Row, row
from benchmarks.training.environment import BENCH
from hazardline.evaluate.bootstrap import estimate
from hazardline.evaluate.scores import UNPARSABLE, Array, interval_iou, macro_f1
from hazardline.evaluate.scores import mean as weighted_mean
from hazardline.files import digest_json
from hazardline.progress import SilentReporter
from hazardline.stages import stage_named
from hazardline.tables import SCENES, read_table
from hazardline.tasks import Task, parse_interval, parse_recognition
from hazardline.train.base import POCKET_CHECKPOINT
from hazardline.train.clips import Clip, load_clips
from hazardline.train.config import TrainConfig
from hazardline.train.encode import encode_clips
from hazardline.train.features import FEATURES_FOLDER, PLAIN, FeatureReader, sources_of
from hazardline.train.packed import answer_losses, use_tree_attention
from hazardline.train.prefix import ClipRow, Turn
from hazardline.train.schedule import learning_rate, visits_of_step
from hazardline.vlm.generate import answer
from hazardline.vlm.model import LoraSettings, add_branch, load_base
from hazardline.vlm.text import Prompter

SEEDS = (0, 1, 2)
WAYS = ("packed", "shuffled")
NUM_STEPS, EVERY = 200, 40
"""About six epochs, as in the recipe's linguistic branch; rate and order of the clips are a run's own."""
_DEFAULTS = TrainConfig()
_RESAMPLES = 2000
_LORA = LoraSettings(rank=16, alpha=32, dropout=0.0)
_SECTIONS: dict[str, dict[str, Any]] = {
    "simulate": {"num_pairs": 120, "num_normal": 0, "seed": 11, "num_workers": 1},
    "ingest": {"source": "native"},
    "split": {"train_share": 0.55, "validation_share": 0.4, "test_share": 0.05, "min_test_clips": 1},
    "synthesize": {"prompt_version": "crashchat-short@1"},
}
_FOLDER = BENCH / f"quality-{digest_json(_SECTIONS)[:12]}"
_LIMITS: dict[Task, int] = {"crash_recognition": 8, "crash_localization": 16}
Score = Callable[[Array], Array]
"""From weights (resamples, clips) to (resamples,)."""
Scores = dict[str, Array]
"""By metric: one number a clip (loss, IoU; NaN where a clip has none), or the predicted class."""


@dataclass(frozen=True)
class Sample:
    """A clip with its row, and the scene that it shares with its twin."""

    scene: str
    clip: Clip
    row: ClipRow


def quality_row() -> Row:
    """Validation loss after the last step, mean over seeds; the metrics stand in the detail."""
    train, validation = _samples()
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        jobs = {way: [pool.submit(_learn, way, seed) for seed in SEEDS] for way in WAYS}
        found = {way: [job.result() for job in waiting] for way, waiting in jobs.items()}
    curves = {way: [curve for curve, _ in runs] for way, runs in found.items()}
    last = {way: [curve[-1] for curve in runs] for way, runs in curves.items()}
    metrics = _compare({way: [scores for _, scores in runs] for way, runs in found.items()}, validation)
    return row(
        "quality_k6",
        mean(last["packed"]),
        mean(last["shuffled"]),
        "loss",
        f"shuffled one-question training, validation loss after {NUM_STEPS} steps of as many questions, "
        f"mean of {len(SEEDS)} seeds",
        metrics=metrics,
        deviation_over_seeds={way: round(stdev(runs), 4) for way, runs in last.items()},
        steps=list(range(0, NUM_STEPS + 1, EVERY)),
        packed_curves=curves["packed"],
        shuffled_curves=curves["shuffled"],
        num_clips={"train": len(train), "validation": len(validation)},
    )


def _compare(found: dict[str, list[Scores]], validation: Sequence[Sample]) -> dict[str, dict[str, Any]]:
    """Every metric of both ways with its interval, and of the difference."""
    is_crash = np.array([float(one.clip.is_crash) for one in validation])
    scenes = [one.scene for one in validation]

    def of(metric: str, way: str) -> Score:
        return lambda weights: np.asarray(
            np.mean([_scored(metric, is_crash, run[metric], weights) for run in found[way]], axis=0)
        )

    compared = {}
    for metric in ("loss", "recognition_macro_f1", "crash_miou"):
        packed, shuffled = of(metric, "packed"), of(metric, "shuffled")

        def difference(weights: Array, ours: Score = packed, theirs: Score = shuffled) -> Array:
            return ours(weights) - theirs(weights)

        measured = {
            name: estimate(score, len(validation), None, _RESAMPLES, 0, scenes)
            for name, score in {"packed": packed, "shuffled": shuffled, "difference": difference}.items()
        }
        within = measured["shuffled"].low <= measured["packed"].value <= measured["shuffled"].high
        compared[metric] = {
            **{name: [round(x, 4) for x in (one.value, one.low, one.high)] for name, one in measured.items()},
            "packed_within_shuffled": within,
        }
    return compared


def _scored(metric: str, is_crash: Array, values: Array, weights: Array) -> Array:
    if metric == "recognition_macro_f1":
        return macro_f1(is_crash, values, weights)
    held = ~np.isnan(values)
    return weighted_mean(is_crash[held], values[held], weights[:, held])


def _stage(name: str, inputs: dict[str, Path]) -> Path:
    folder = _FOLDER / name
    if not folder.is_dir():
        stage = stage_named(name)
        making = folder.with_suffix(".tmp")
        making.mkdir(parents=True, exist_ok=True)
        config = stage.config_class().parse(_SECTIONS[name], name)
        stage.run_function()(config, inputs, making, SilentReporter())
        making.rename(folder)
    return folder


def _samples() -> tuple[list[Sample], list[Sample]]:
    """Clips of training and of validation with all questions of the linguistic branch, the localizations among them."""
    simulate = _stage("simulate", {})
    ingest = _stage("ingest", {"simulate": simulate})
    split = _stage("split", {"ingest": ingest})
    synthesize = _stage("synthesize", {"ingest": ingest, "split": split})
    features = _FOLDER / FEATURES_FOLDER
    scenes = list(read_table(SCENES, ingest))
    pair_of = {str(scene["clip_id"]): str(scene["pair_id"]) for scene in scenes}
    sources = sources_of(scenes, set(), (PLAIN,))
    encode_clips(POCKET_CHECKPOINT, sources, features, 1, SilentReporter())
    prompter = Prompter.load(POCKET_CHECKPOINT)
    reader = FeatureReader(features, prompter.layout)
    train, validation = (
        [Sample(pair_of[clip.clip_id], clip, _row(clip, prompter, reader)) for clip in clips]
        for clips in (load_clips(ingest, synthesize, "linguistic", part) for part in ("train", "validation"))
    )
    return train, validation


def _row(clip: Clip, prompter: Prompter, reader: FeatureReader) -> ClipRow:
    features = torch.from_numpy(np.array(reader.features(clip.clip_id), dtype=np.float32))
    turns = [Turn(prompter.question(one.question), prompter.answer(one.answer)) for one in clip.questions]
    return ClipRow(features, prompter.prefix(reader.times_s(clip.clip_id)), turns)


def _learn(way: str, seed: int) -> tuple[list[float], Scores]:
    """Validation losses at the start and after every `EVERY` steps, and the scores after the last."""
    warnings.simplefilter("ignore", FutureWarning)
    torch.set_num_threads(1)
    train, validation = _samples()
    torch.manual_seed(seed)
    model = add_branch(load_base(POCKET_CHECKPOINT), "bench", _LORA)
    use_tree_attention(model)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.0, weight_decay=_DEFAULTS.weight_decay)
    losses = _losses(model, validation)
    curve = [float(losses.mean())]
    for step, rows in enumerate(_steps(way, train, seed)):
        for group in optimizer.param_groups:
            group["lr"] = _rate(step)
        num_turns = sum(len(one.turns) for one in rows)
        optimizer.zero_grad(set_to_none=True)
        for one in rows:
            (answer_losses(model, [one]).per_turn().sum() / num_turns).backward()
        nn.utils.clip_grad_norm_(parameters, _DEFAULTS.max_gradient_norm)
        optimizer.step()
        if (step + 1) % EVERY == 0:
            losses = _losses(model, validation)
            curve.append(float(losses.mean()))
    print(f"quality: {way}, seed {seed}: {curve[-1]:.4f} (load {os.getloadavg()[0]:.1f})", flush=True)
    return curve, {"loss": losses, **_answered(model, validation)}


def _rate(step: int) -> float:
    config = _DEFAULTS
    return learning_rate(
        step, NUM_STEPS, config.learning_rate, config.warmup_steps, config.final_rate_share, config.schedule
    )


def _steps(way: str, train: Sequence[Sample], seed: int) -> list[list[ClipRow]]:
    """Rows of every step. Both ways have the sizes of the packed steps and go through all questions epoch by epoch."""
    per_step = _DEFAULTS.clips_per_step
    visits = [visits_of_step(step, len(train), per_step, [seed]) for step in range(NUM_STEPS)]
    packed = [[train[place].row for _, place in step] for step in visits]
    if way == "packed":
        return packed
    singles = [ClipRow(one.row.features, one.row.prefix, [turn]) for one in train for turn in one.row.turns]
    generator = np.random.default_rng(seed)
    order: list[int] = []
    steps = []
    for rows in packed:
        size = sum(len(one.turns) for one in rows)
        while len(order) < size:
            order += generator.permutation(len(singles)).tolist()
        steps.append([singles[place] for place in order[:size]])
        del order[:size]
    return steps


@torch.no_grad()
def _losses(model: nn.Module, samples: Sequence[Sample]) -> Array:
    """Of each clip: mean over its answers of the mean over their tokens."""
    return np.array([float(answer_losses(model, [one.row]).per_turn().mean()) for one in samples])


@torch.inference_mode()
def _answered(model: Any, samples: Sequence[Sample]) -> Scores:
    """Decoded recognition and localization of each clip, by the model with its adapter merged."""
    merged = model.merge_and_unload().eval()
    merged.model.language_model.config._attn_implementation = "sdpa"
    prompter = Prompter.load(POCKET_CHECKPOINT)
    said, overlap = [], []
    for one in samples:
        places = {question.task: place for place, question in enumerate(one.clip.questions)}
        tasks = [task for task in _LIMITS if task in places]
        questions = [one.row.turns[places[task]].question for task in tasks]
        limits = [_LIMITS[task] for task in tasks]
        row = one.row
        found = answer(merged, row.prefix, row.features, questions, limits, prompter.end_id, row.grids)
        texts = {task: prompter.decode(item.ids) for task, item in zip(tasks, found, strict=True)}
        recognised = parse_recognition(texts["crash_recognition"])
        said.append(UNPARSABLE if recognised is None else float(recognised))
        if "crash_localization" in texts:
            true = parse_interval(one.clip.questions[places["crash_localization"]].answer)
            assert true is not None
            overlap.append(interval_iou(parse_interval(texts["crash_localization"]), true))
        else:
            overlap.append(float("nan"))
    return {"recognition_macro_f1": np.array(said), "crash_miou": np.array(overlap)}

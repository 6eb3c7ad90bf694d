"""What a recipe's training will take: parameters, memory and hours, counted without weights and without data.

Sizes come from the base's configuration, operations from `flops`, memory from `memory_plan`. Three things are assumed,
and said with every estimate: the share of a device's bf16 peak that training reaches, the number of clips, and how long
questions and answers are. Decoding, evaluation and starts are not counted.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from hazardline.bases.address import parse_base
from hazardline.bases.published import published_config, published_layout
from hazardline.errors import UserError
from hazardline.hazardnet import CLASSIFICATION, TOPICS_PER_IMAGE
from hazardline.recipe import Recipe
from hazardline.suites import Suite, suite_of
from hazardline.tasks import LOCALIZATION_TASKS, Branch, Task
from hazardline.train.base import base_folder
from hazardline.train.config import TrainConfig
from hazardline.train.features import feature_bytes
from hazardline.train.flops import Adapter, Work, encoder_flops, packed_flops
from hazardline.train.loss import LOGITS_PER_PIECE
from hazardline.train.memory_plan import MemoryPlan, RowSize, amount, plan_memory, room_of
from hazardline.train.model_shape import ModelShape, lora_parameters
from hazardline.vlm.layout import LAYOUT_NAME, Layout

UTILISATION = (0.35, 0.45)
"""Shares of the peak that training of dense decoders reaches on these devices with long rows (an assumption)."""
CRASH_SHARE = 0.616
"""Of CrashChat's 18,385 videos, from its 96,184 questions: six of a crash, four of any other."""
_PAPER_CLIPS = {"crashchat": 14_708, "hazardnet": 100}
"""Training clips of CrashChat's release; HazardNet's 500 samples as images with five questions each."""
_ANSWER_TOKENS: dict[str, tuple[float, int]] = {
    "crash_recognition": (1.0, 1),
    "crash_description": (4.2, 8),
    "cause_reasoning": (9.3, 20),
    "prevention_reasoning": (34.5, 94),
    "crash_localization": (8.4, 10),
    "pre_crash_localization": (4.0, 5),
    CLASSIFICATION: (50.0, 60),
}
"""Mean and longest answer of a task; CrashChat's counted by `estimated_tokens` over its released test files."""
_TOPIC_TOKENS = (20, 150, 300)
"""Of a HazardQA question, of its reasoning with the answer, and of the longest: assumed, the data is not at hand."""
_HEADER_TOKENS, _END_TOKENS = 7, 1
_PIECES = re.compile(r"[^\W\d_]+|\d|[^\w\s]|\s(?=\d)|\n")
_LONG_WORD = 11


@dataclass(frozen=True)
class Device:
    """A GPU: what CUDA gives of its memory, and its dense bf16 peak (NVIDIA's data sheets)."""

    name: str
    memory_bytes: int
    peak_flops: float


DEVICES = {
    device.name: device
    for device in (
        Device("a100-40gb", 42_300_000_000, 312e12),
        Device("a100-80gb", 84_900_000_000, 312e12),
        Device("h100-80gb", 84_900_000_000, 989e12),
    )
}


@dataclass(frozen=True)
class BranchCost:
    """Of one branch."""

    branch: Branch
    num_clips: int
    num_steps: int
    num_epochs: float
    trainable_parameters: int
    row_tokens: int
    """Of the largest row."""
    memory: MemoryPlan
    fits: bool
    step_flops: float
    """Of all workers, the encoder with it where clips are encoded at every visit."""
    hours: tuple[float, float]
    """At the higher and at the lower utilisation."""
    num_workers: int


@dataclass(frozen=True)
class Cost:
    """Of a recipe's training."""

    device: Device
    shape: ModelShape
    layout: Layout
    num_clips: int
    features_gb: float
    """Of all training clips' features, plain."""
    is_cached: bool
    """Whether they have room in the cache; else the encoder runs at every visit."""
    encoding_hours: tuple[float, float]
    """Of filling the cache, on as many devices as all branches have workers."""
    branches: tuple[BranchCost, ...]

    @property
    def num_devices(self) -> int:
        """Of all branches, which train side by side."""
        return sum(branch.num_workers for branch in self.branches)

    @property
    def hours(self) -> tuple[float, float]:
        """Until the longest branch is done."""
        low, high = (self.encoding_hours[k] + max(branch.hours[k] for branch in self.branches) for k in (0, 1))
        return low, high


@dataclass(frozen=True)
class _Clips:
    """Clips of one kind among the training clips: their share, and the tasks that they are asked."""

    share: float
    tasks: tuple[Task, ...]


def estimate(recipe: Recipe, device: Device, num_clips: int | None = None) -> Cost:
    """What a recipe's train stage will take.

    Args:
        recipe: as loaded.
        device: of every worker.
        num_clips: training clips; by default as many as the suite's paper has.

    Raises:
        UserError: the base's configuration is not known without fetching it.
    """
    shape, layout = _model(recipe.train.base)
    suite = suite_of(recipe.synthesize.prompt_version)
    count = num_clips or _PAPER_CLIPS[suite.name]
    features = count * feature_bytes(layout.max_frames, layout.features_per_frame, shape.vision.width)
    budget = recipe.train.feature_cache_gb
    is_cached = budget is None or features <= budget * 1e9
    config = recipe.train
    branches = tuple(
        _branch_cost(recipe, branch, shape, layout, count, device, is_cached) for branch in config.branches
    )
    work = _work(layout, (), {})
    encoding = count * encoder_flops(shape, work) if is_cached else 0
    encoding_hours = _hours(encoding, device, config.num_workers * len(branches))
    return Cost(device, shape, layout, count, features / 1e9, is_cached, encoding_hours, branches)


def _hours(flops: float, device: Device, num_devices: int) -> tuple[float, float]:
    low, high = (flops / (device.peak_flops * num_devices * share) / 3600 for share in reversed(UTILISATION))
    return low, high


def _model(address: str) -> tuple[ModelShape, Layout]:
    base = parse_base(address)
    if base.kind == "hub":
        config = published_config(base.place)
        return ModelShape.from_config(config, address), published_layout(config, address)
    if base.kind == "s3":
        raise UserError(f"{address}: its sizes are not known before it is fetched; name the base as a folder")
    folder = base_folder(address)
    return ModelShape.read(folder / "config.json"), Layout.read(folder / LAYOUT_NAME)


def _branch_cost(
    recipe: Recipe, branch: Branch, shape: ModelShape, layout: Layout, count: int, device: Device, is_cached: bool
) -> BranchCost:
    config, suite = recipe.train, suite_of(recipe.synthesize.prompt_version)
    kinds = [kind for kind in _kinds(suite, suite.trained_on[branch], config, branch) if kind.tasks]
    share = sum(kind.share for kind in kinds)
    clips = max(1, round(count * share))
    steps, per_step = config.steps_of(branch, clips), config.branch_clips_per_step(branch)
    adapter = _adapter(config, branch)
    questions = _question_tokens(recipe)
    works = [(kind.share / share, _work(layout, kind.tasks, questions)) for kind in kinds]
    step_flops = per_step * sum(part * packed_flops(shape, adapter, work) for part, work in works)
    step_flops += 0 if is_cached else per_step * encoder_flops(shape, works[0][1])
    largest = max((_row(layout, kind.tasks, questions) for kind in kinds), key=lambda row: row.tokens)
    memory = plan_memory(shape, config, branch, largest, config.precision == "bf16", LOGITS_PER_PIECE)
    return BranchCost(
        branch=branch,
        num_clips=clips,
        num_steps=steps,
        num_epochs=steps * per_step / clips,
        trainable_parameters=trainable_parameters(shape, config, branch),
        row_tokens=largest.tokens,
        memory=memory,
        fits=memory.total <= room_of(device.memory_bytes),
        step_flops=step_flops,
        hours=_hours(steps * step_flops, device, config.num_workers),
        num_workers=config.num_workers,
    )


def trainable_parameters(shape: ModelShape, config: TrainConfig, branch: Branch) -> int:
    """LoRA's, and the projector's where it is trained."""
    lora = config.branch_lora(branch)
    projector = shape.projector_parameters if config.train_projector else 0
    return lora_parameters(shape, lora.rank, lora.targets) + projector


def _adapter(config: TrainConfig, branch: Branch) -> Adapter:
    lora = config.branch_lora(branch)
    return Adapter(lora.rank, lora.targets, config.train_projector, config.gradient_checkpointing)


def _kinds(suite: Suite, trained: Sequence[Task], config: TrainConfig, branch: Branch) -> list[_Clips]:
    """The kinds of clips of a suite, with the tasks of a branch that count in its loss."""
    asked = tuple(task for task in trained if config.weights_of(branch).get(task, 1.0) > 0)
    if suite.name == "hazardnet":
        topics = tuple(task for task in asked if task != CLASSIFICATION)[:TOPICS_PER_IMAGE]
        return [_Clips(1.0, (*topics, *(task for task in asked if task == CLASSIFICATION)))]
    others = tuple(task for task in asked if task not in LOCALIZATION_TASKS)
    return [_Clips(CRASH_SHARE, asked), _Clips(1 - CRASH_SHARE, others)]


def _question_tokens(recipe: Recipe) -> dict[Task, int]:
    version = recipe.synthesize.prompt_version
    texts = suite_of(version).prompts[version].questions
    return {task: estimated_tokens(text) for task, text in texts.items()}


def _turns(tasks: Sequence[Task], questions: dict[Task, int], is_longest: bool) -> list[tuple[int, int]]:
    """Tokens of question with its header, and of the answer with its end."""
    turns = []
    for task in tasks:
        mean, longest = _ANSWER_TOKENS.get(task, _TOPIC_TOKENS[1:])
        answer = longest if is_longest else math.ceil(mean)
        turns.append((questions.get(task, _TOPIC_TOKENS[0]) + _HEADER_TOKENS, answer + _END_TOKENS))
    return turns


def _prefix_tokens(layout: Layout) -> int:
    """Of the longest clip."""
    times = layout.times_s(layout.sample(layout.max_frames))
    tags = sum(estimated_tokens(layout.frame_separator + layout.time_format.format(time=time)) for time in times)
    return estimated_tokens(layout.prompt_start) + tags + layout.max_frames * layout.tokens_per_frame


def _work(layout: Layout, tasks: Sequence[Task], questions: dict[Task, int]) -> Work:
    turns = _turns(tasks, questions, is_longest=False)
    patches = layout.grid[0] * layout.grid[1]
    return Work(
        vision_patches=layout.max_frames * patches,
        patches_per_attention=patches,
        vision_tokens=layout.max_frames * layout.tokens_per_frame,
        prefix=_prefix_tokens(layout),
        suffixes=tuple(question + answer for question, answer in turns),
        answers=tuple(answer for _, answer in turns),
    )


def _row(layout: Layout, tasks: Sequence[Task], questions: dict[Task, int]) -> RowSize:
    turns = _turns(tasks, questions, is_longest=True)
    return RowSize(
        prefix_tokens=_prefix_tokens(layout),
        turn_tokens=sum(question + answer for question, answer in turns),
        answer_tokens=sum(answer for _, answer in turns),
    )


def estimated_tokens(text: str) -> int:
    """Tokens of a text without its tokenizer, as Qwen2 cuts it: words, single digits, marks; long words count twice."""
    return sum(1 + len(piece) // _LONG_WORD for piece in _PIECES.findall(text))


def report(cost: Cost) -> list[str]:
    """An estimate in words, a line each."""
    layout, device = cost.layout, cost.device
    kept = f"kept, encoded in {span(cost.encoding_hours)}" if cost.is_cached else "no room: encoded at every visit"
    lines = [
        f"base: {cost.shape.parameters / 1e6:,.0f} million parameters; at most {layout.max_frames} frames of "
        f"{layout.tokens_per_frame} tokens",
        f"features: {amount(cost.features_gb * 1e9)} of {cost.num_clips:,} training clips ({kept})",
    ]
    for branch in cost.branches:
        fits = "fits" if branch.fits else "does not fit"
        lines += [
            f"{branch.branch}:",
            f"  trainable parameters: {branch.trainable_parameters:,}",
            f"  memory of a worker: {branch.memory.text()} for a row of {branch.row_tokens:,} tokens; "
            f"{fits} {device.name}",
            f"  steps: {branch.num_steps:,} of {branch.step_flops / 1e12:,.0f} TFLOP, "
            f"{branch.num_epochs:.3g} epochs of {branch.num_clips:,} clips",
            f"  time: {span(branch.hours)} on {branch.num_workers} x {device.name}",
        ]
    lines += [
        f"in all: {span(cost.hours)} on {cost.num_devices} x {device.name}",
        f"Assumed: {UTILISATION[0]:.0%} to {UTILISATION[1]:.0%} of {device.peak_flops / 1e12:.0f} TFLOP/s in bf16, "
        "clips of full length, estimated lengths of texts. Not counted: decoding, validation, evaluation, starts.",
    ]
    return lines


def span(hours: tuple[float, float]) -> str:
    """Hours, or minutes where they are few."""
    low, high = hours
    if high < 1 / 60:
        return "less than a minute"
    return f"{low:.0f} to {high:.0f} h" if low >= 3 else f"{60 * low:.0f} to {60 * high:.0f} min"

"""What a branch will need of a device's memory, before its first step: counted from shapes, without a model.

Counted is what the backward pass keeps of a packed row, tensor by tensor, beside weights, optimizer and logits; a test
compares the count with what autograd keeps in fp32 without dropout. Not counted are the scores that `vlm.attention`
writes out for short bf16 rows on a CPU. A plan that does not fit names the setting that makes it fit.
"""

from dataclasses import dataclass
from typing import Any

from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.tasks import Branch
from hazardline.train.config import TrainConfig
from hazardline.train.model_shape import ModelShape, lora_parameters

_FP32 = 4
_NF4_BITS = 4.127
"""Bits a weight in NF4 with double quantisation: 4, 8 for a block of 64 weights, 32 for 256 blocks."""
_ALLOCATOR_SHARE = 0.08
"""Of a GPU's memory that is lost to fragments and to the libraries themselves."""
_REMEDIES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("gradient_checkpointing: true", {"gradient_checkpointing": True}),
    ("clips_per_row: 1", {"clips_per_row": 1}),
    ("gradient_checkpointing: true and clips_per_row: 1", {"gradient_checkpointing": True, "clips_per_row": 1}),
    (
        "gradient_checkpointing: true, clips_per_row: 1 and quantisation: nf4",
        {"gradient_checkpointing": True, "clips_per_row": 1, "quantisation": "nf4"},
    ),
)


@dataclass(frozen=True)
class RowSize:
    """The largest row of one clip."""

    prefix_tokens: int
    turn_tokens: int
    """Of all questions and answers."""
    answer_tokens: int

    @property
    def tokens(self) -> int:
        """Of the whole row."""
        return self.prefix_tokens + self.turn_tokens


class MemoryPlan(Document):
    """Predicted bytes on one worker's device."""

    weights: int
    """Frozen ones."""
    trained: int
    """Trained weights in fp32 with gradients and moments."""
    activations: int
    """What the backward pass keeps of the decoder layers."""
    logits: int
    """The largest piece of them with its gradient."""

    @property
    def total(self) -> int:
        """All parts."""
        return self.weights + self.trained + self.activations + self.logits

    def text(self) -> str:
        """In words."""
        parts = {
            "frozen weights": self.weights,
            "trained weights and moments": self.trained,
            "activations": self.activations,
            "logits": self.logits,
        }
        listed = ", ".join(f"{name} {amount(size)}" for name, size in parts.items())
        return f"{amount(self.total)} ({listed})"


def plan_memory(
    shape: ModelShape, config: TrainConfig, branch: Branch, row: RowSize, is_half: bool, logits_per_piece: int
) -> MemoryPlan:
    """Predict the peak of a step.

    Args:
        shape: of the base.
        config: the section.
        branch: whose LoRA settings count.
        row: the largest clip with its questions.
        is_half: whether frozen weights are kept in bf16 (on CUDA).
        logits_per_piece: most logits that are held at once.
    """
    width = 2 if config.precision == "bf16" else _FP32
    return MemoryPlan(
        weights=_frozen(shape, config, 2 if is_half else _FP32),
        trained=_trained(shape, config, branch),
        activations=config.clips_per_row * _kept(shape, config, branch, row, width),
        logits=2 * _FP32 * min(logits_per_piece, config.clips_per_row * row.answer_tokens * shape.vocab),
    )


def _frozen(shape: ModelShape, config: TrainConfig, width: int) -> int:
    embeddings = shape.vocab * shape.hidden * (1 if shape.is_tied else 2)
    others = embeddings + shape.vision.parameters + shape.projector_parameters
    linear = shape.linear_parameters * (_NF4_BITS / 8 if config.quantisation == "nf4" else width)
    divided = config.num_workers if config.parallelism == "zero3" else 1
    return round((linear + others * width) / divided)


def _trained(shape: ModelShape, config: TrainConfig, branch: Branch) -> int:
    lora = config.branch_lora(branch)
    count = lora_parameters(shape, lora.rank, lora.targets)
    count += shape.projector_parameters if config.train_projector else 0
    moments = 2 * (1 if config.optimizer == "adamw_8bit" else _FP32)
    if config.parallelism != "replicas":
        moments = -(-moments // config.num_workers)
    return count * (2 * _FP32 + moments)


def _kept(shape: ModelShape, config: TrainConfig, branch: Branch, row: RowSize, width: int) -> int:
    """Bytes of a clip's row that autograd keeps; the last layer runs in full for the answers alone."""
    lora = config.branch_lora(branch)
    token = _kept_by_a_layer(shape, lora.rank, lora.targets, lora.dropout > 0, width)
    mask = row.turn_tokens * row.tokens * width
    layer = row.tokens * token + mask
    last = row.tokens * (shape.hidden * (_FP32 + width) + 2 * shape.kv_width * width) + row.answer_tokens * token
    if config.gradient_checkpointing:
        return round((shape.layers - 1) * row.tokens * shape.hidden * width + layer + last)
    return round((shape.layers - 1) * layer + last)


def _kept_by_a_layer(shape: ModelShape, rank: int, targets: tuple[str, ...], has_dropout: bool, width: int) -> float:
    """Bytes a token: inputs of the norms (fp32), queries, keys, values and their mixture, and the MLP's products."""
    sizes = shape.linear_sizes
    kept = 2 * shape.hidden * _FP32
    kept += width * (2 * shape.hidden + 2 * shape.kv_width + 3 * shape.mlp)
    inputs = {"q_proj": 0, "k_proj": 0, "v_proj": 0, "o_proj": 1, "gate_proj": 2, "up_proj": 2, "down_proj": 3}
    for group in {inputs[name] for name in targets}:
        name = next(name for name in targets if inputs[name] == group)
        kept += width * sizes[name][0]
    kept += width * rank * len(targets)
    if has_dropout:
        kept += sum((width + width) * sizes[name][0] for name in targets)
    return kept


def room_of(device_bytes: int) -> int:
    """What a plan may take of a device."""
    return round(device_bytes * (1 - _ALLOCATOR_SHARE))


def check_memory(
    shape: ModelShape,
    config: TrainConfig,
    branch: Branch,
    row: RowSize,
    device_bytes: int,
    is_half: bool,
    logits_per_piece: int,
) -> MemoryPlan:
    """Refuse a plan that does not fit a device.

    Raises:
        UserError: with the prediction and the first setting that would make it fit.
    """
    room = room_of(device_bytes)
    found = plan_memory(shape, config, branch, row, is_half, logits_per_piece)
    if found.total <= room:
        return found
    for text, change in _REMEDIES:
        other = plan_memory(shape, config.model_copy(update=change), branch, row, is_half, logits_per_piece)
        if other.total <= room:
            remedy = f"set {text}, which needs {amount(other.total)}"
            break
    else:
        remedy = "no setting makes it fit: take a larger device, a smaller base or shorter clips (layout max_frames)"
    raise UserError(
        f"train: the {branch} branch would need {found.text()} for a row of {row.tokens} tokens, and the device has "
        f"{amount(device_bytes)}, of which {amount(room)} can be used; {remedy}"
    )


def amount(size_bytes: float) -> str:
    """Bytes in words."""
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"

"""From torch modules to ONNX files: the same weights give the same bytes."""

import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from hazardline.export.graphs import DecoderGraph, VisionGraph, lora_names, lora_weights, projector_of
from hazardline.files import write_atomic
from hazardline.vlm.layout import Layout

OPSET = 18
"""Old enough for every provider; newer attention and normalisation operators were slower on the CPU."""
MAX_INLINE_BYTES = 1 << 30
"""A larger graph keeps its weights in a `.data` file beside it (protobuf ends at 2 GiB)."""
_TRACED_RANK = 3


def vision_to_onnx(model: nn.Module, layout: Layout) -> onnx.ModelProto:
    """The vision encoder: `patches` -> `features`, any number of frames."""
    rows, columns = layout.grid
    patches = torch.zeros(3, rows * columns, layout.patch_size)
    frames = torch.export.Dim("frames", min=1)
    return _export(VisionGraph(model, layout), (patches,), ["patches"], ["features"], ({0: frames},))


def projector_to_onnx(model: nn.Module, branch: str, layout: Layout, width: int) -> onnx.ModelProto:
    """The projector of a branch: `features` -> `embeddings`, any number of frames.

    Args:
        model: PEFT model.
        branch: name.
        layout: features of a frame.
        width: vision hidden size.
    """
    features = torch.zeros(3, layout.features_per_frame, width)
    frames = torch.export.Dim("frames", min=1)
    return _export(projector_of(model, branch), (features,), ["features"], ["embeddings"], ({0: frames},))


def decoder_to_onnx(model: nn.Module, branch: str) -> onnx.ModelProto:
    """The decoder; the branch only lends the shapes of its LoRA weights, whose rank stays open.

    One rank for all of them, or one for every name of a linear layer where the branch adapts but some: ONNX Runtime
    takes axes of one name for equally long.

    Inputs and outputs are those of `DecoderGraph.forward`: `inputs_embeds`, `position_ids`, `visible`,
    `logit_positions`, `past.N` and the LoRA weights; `logits` and `present.N`.
    """
    graph = DecoderGraph(model)
    num_new, num_past, num_caches = 5, 3, 2 * graph.num_layers
    names = lora_names(graph.num_layers)
    lora, ranks = _lora_examples(names, lora_weights(model, branch))
    past = [torch.zeros(1, graph.num_kv_heads, num_past, graph.head_dim) for _ in range(num_caches)]
    arguments = (
        torch.zeros(1, num_new, graph.hidden_size),
        torch.arange(num_past, num_past + num_new).repeat(graph.position_axes, 1),
        torch.ones(num_new, num_past + num_new, dtype=torch.bool),
        torch.tensor([2, 4]),
        past,
        lora,
    )
    tokens, cached = torch.export.Dim("tokens", min=1), torch.export.Dim("past", min=0)
    outputs = torch.export.Dim("outputs", min=1)
    shapes = (
        {1: tokens},
        {1: tokens},
        {0: tokens, 1: torch.export.Dim.DYNAMIC},
        {0: outputs},
        [{2: cached} for _ in past],
        [{1 if name.endswith("A") else 0: rank} for name, rank in zip(names, ranks, strict=True)],
    )
    inputs = ["inputs_embeds", "position_ids", "visible", "logit_positions"]
    inputs += [*(f"past.{number}" for number in range(num_caches)), *names]
    return _export(graph, arguments, inputs, ["logits", *(f"present.{n}" for n in range(num_caches))], shapes)


def _lora_examples(names: Sequence[str], weights: Mapping[str, Tensor]) -> tuple[list[Tensor], list[Any]]:
    """LoRA weights to trace with, none of rank 0 (the exporter would take it for a constant), and their open ranks."""
    if all(weights[name].numel() for name in names):
        return [weights[name] for name in names], [torch.export.Dim("rank", min=0)] * len(names)
    linears = [name.split(".")[2] for name in names]
    ranks = {linear: torch.export.Dim(f"rank_{linear}", min=0) for linear in linears}
    shapes = [tuple(size or _TRACED_RANK for size in weights[name].shape) for name in names]
    return [torch.zeros(shape) for shape in shapes], [ranks[linear] for linear in linears]


def save(model: onnx.ModelProto, path: Path, max_inline_bytes: int = MAX_INLINE_BYTES) -> None:
    """Write a model atomically; the weights of a large one go into `<name>.data` beside it."""
    if model.ByteSize() <= max_inline_bytes:
        write_atomic(path, model.SerializeToString(deterministic=True))
        return
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    onnx.save_model(copy, str(path), save_as_external_data=True, location=f"{path.name}.data", size_threshold=1024)


def _export(
    module: nn.Module, arguments: tuple[Any, ...], inputs: Sequence[str], outputs: Sequence[str], shapes: Any
) -> onnx.ModelProto:
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            module.eval(),
            arguments,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=shapes,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return _without_traces(program.model_proto)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress lines, and its warnings about names of equal axes, from the user."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.filterwarnings("ignore", message=".*The axis name:.*will not be used", category=UserWarning)
            yield
    finally:
        logger.setLevel(before)


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove what the exporter notes for debugging: stack traces with paths of this machine, docs, inner shapes."""
    del model.metadata_props[:]
    model.doc_string = ""
    graph = model.graph
    del graph.metadata_props[:]
    del graph.value_info[:]
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    return model

"""From torch modules to ONNX files: the same weights give the same bytes."""

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from hazardline.export.graphs import DecoderGraph, ProjectorGraph, VisionGraph, lora_names, lora_weights
from hazardline.files import write_atomic
from hazardline.vlm.layout import Layout

OPSET = 18
"""Old enough for every provider; newer attention and normalisation operators were slower on the CPU."""
MAX_INLINE_BYTES = 1 << 30
"""A larger graph keeps its weights in a `.data` file beside it (protobuf ends at 2 GiB)."""


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
        layout: tokens of a frame.
        width: vision hidden size.
    """
    features = torch.zeros(3, layout.features_per_frame, width)
    frames = torch.export.Dim("frames", min=1)
    return _export(ProjectorGraph(model, branch), (features,), ["features"], ["embeddings"], ({0: frames},))


def decoder_to_onnx(model: nn.Module, branch: str) -> onnx.ModelProto:
    """The decoder; the branch only lends the shapes of its LoRA weights, whose rank stays open.

    Inputs and outputs are those of `DecoderGraph.forward`: `inputs_embeds`, `position_ids`, `visible`,
    `logit_positions`, `past.N` and the LoRA weights; `logits` and `present.N`.
    """
    graph = DecoderGraph(model)
    num_new, num_past, num_caches = 5, 3, 2 * graph.num_layers
    names = lora_names(graph.num_layers)
    weights = lora_weights(model, branch)
    past = [torch.zeros(1, graph.num_kv_heads, num_past, graph.head_dim) for _ in range(num_caches)]
    arguments = (
        torch.zeros(1, num_new, graph.hidden_size),
        torch.arange(num_past, num_past + num_new)[None],
        torch.ones(num_new, num_past + num_new, dtype=torch.bool),
        torch.tensor([2, 4]),
        past,
        [weights[name] for name in names],
    )
    tokens, cached = torch.export.Dim("tokens", min=1), torch.export.Dim("past", min=0)
    outputs, rank = torch.export.Dim("outputs", min=1), torch.export.Dim("rank", min=0)
    shapes = (
        {1: tokens},
        {1: tokens},
        {0: tokens, 1: torch.export.Dim.DYNAMIC},
        {0: outputs},
        [{2: cached} for _ in past],
        [{1 if name.endswith("A") else 0: rank} for name in names],
    )
    inputs = ["inputs_embeds", "position_ids", "visible", "logit_positions"]
    inputs += [*(f"past.{number}" for number in range(num_caches)), *names]
    return _export(graph, arguments, inputs, ["logits", *(f"present.{n}" for n in range(num_caches))], shapes)


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

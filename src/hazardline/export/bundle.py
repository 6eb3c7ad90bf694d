"""The bundle folder: what a model becomes on disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from torch import Tensor

from hazardline.device import manifest as names
from hazardline.device.bundle import MANIFEST_NAME, files_below
from hazardline.device.manifest import (
    BranchSource,
    BundleEntry,
    BundleManifest,
    Prompts,
    Quantisation,
    RuntimePins,
)
from hazardline.errors import UserError
from hazardline.export import to_onnx
from hazardline.export.adapters import write_adapter
from hazardline.export.graphs import lora_weights
from hazardline.export.quantise import quantise, with_optional_lora
from hazardline.files import digest_json, sha256_file, sha256_tree, write_atomic
from hazardline.progress import Reporter
from hazardline.tasks import Branch
from hazardline.train.base import base_digest
from hazardline.train.features import array_bytes
from hazardline.vlm.family import family_of
from hazardline.vlm.layout import LAYOUT_NAME, Layout
from hazardline.vlm.model import core_model
from hazardline.vlm.places import position_axes
from hazardline.vlm.text import TOKENIZER_NAME

VERSION_DIGITS = 12


@dataclass(frozen=True)
class Source:
    """Where a bundle comes from."""

    name: str
    base: Path
    adapters: Mapping[Branch, Path]
    data_digest: str
    prompts: Prompts


@dataclass(frozen=True)
class Graphs:
    """A model as float ONNX graphs and arrays."""

    vision: onnx.ModelProto
    projectors: dict[Branch, onnx.ModelProto]
    decoder: onnx.ModelProto
    lora: dict[Branch, dict[str, Tensor]]
    embeddings: npt.NDArray[np.float32]


def make_graphs(model: Any, source: Source, reporter: Reporter) -> Graphs:
    """Trace a PEFT model with the branches of a source.

    Raises:
        UserError: the layout counts positions otherwise than the model.
    """
    layout = Layout.read(source.base / LAYOUT_NAME)
    core = core_model(model)
    if position_axes(layout) != family_of(core).position_axes:
        raise UserError(
            f"{source.base / LAYOUT_NAME}: positions are {layout.positions}, which is not how a "
            f"{core.config.model_type} counts them; correct the layout"
        )
    branches = list(source.adapters)
    reporter.phase("trace", 2 + len(branches))
    vision = to_onnx.vision_to_onnx(model, layout)
    reporter.advance()
    width = vision.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    projectors = {}
    for branch in branches:
        projectors[branch] = to_onnx.projector_to_onnx(model, branch, layout, width)
        reporter.advance()
    decoder = to_onnx.decoder_to_onnx(model, branches[0])
    reporter.advance()
    embeddings = core.model.language_model.embed_tokens.weight.detach().float().numpy()
    return Graphs(vision, projectors, decoder, {b: lora_weights(model, b) for b in branches}, embeddings)


def write_parts(folder: Path, graphs: Graphs, source: Source, quantisation: Quantisation | None) -> None:
    """Write every file that a device reads but the manifest and the golden clips."""
    decoder = quantise(graphs.decoder, quantisation) if quantisation else graphs.decoder
    to_onnx.save(with_optional_lora(decoder), folder / names.DECODER_NAME)
    to_onnx.save(graphs.vision, folder / names.VISION_NAME)
    for branch, projector in graphs.projectors.items():
        to_onnx.save(projector, folder / names.projector_name(branch))
        write_adapter(folder / names.adapter_name(branch), graphs.lora[branch])
    dtype = np.dtype(quantisation.embedding_dtype if quantisation else "float32")
    write_atomic(folder / names.EMBEDDINGS_NAME, array_bytes(graphs.embeddings.astype(dtype)))
    write_atomic(folder / TOKENIZER_NAME, (source.base / TOKENIZER_NAME).read_bytes())
    Layout.read(source.base / LAYOUT_NAME).write(folder / LAYOUT_NAME)
    source.prompts.write(folder / names.PROMPTS_NAME)


def write_manifest(
    folder: Path, source: Source, quantisation: Quantisation | None, parity: Mapping[str, float]
) -> BundleManifest:
    """Write `manifest.json` over what the folder holds; the last thing that is written."""
    files = tuple(
        BundleEntry(path=path, sha256=sha256_file(folder / path), size_bytes=(folder / path).stat().st_size)
        for path in files_below(folder)
        if path != MANIFEST_NAME
    )
    digests = {entry.path: entry.sha256 for entry in files}
    found = BundleManifest(
        name=source.name,
        version=digest_json([entry.data() for entry in files])[:VERSION_DIGITS],
        base_digest=base_digest(source.base),
        branches={
            branch: BranchSource(
                adapter_digest=sha256_tree(adapter),
                lora_digest=digests[names.adapter_name(branch)],
                projector_digest=digests[names.projector_name(branch)],
            )
            for branch, adapter in source.adapters.items()
        },
        data_digest=source.data_digest,
        layout_digest=Layout.read(folder / LAYOUT_NAME).digest(),
        prompt_version=source.prompts.version,
        quantisation=quantisation,
        runtime=RuntimePins(onnxruntime=onnxruntime.__version__, opset=to_onnx.OPSET),
        parity=dict(parity),
        files=files,
    )
    found.write(folder / MANIFEST_NAME)
    return found

"""What a bundle says of itself (`manifest.json`, `prompts.json`, `golden/golden.json`) and the names of its files.

Export writes it, a device reads it. No torch.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from hazardline.documents import Document
from hazardline.release.document import RelativePath, Sha256, Size
from hazardline.suites import CRASHCHAT
from hazardline.tasks import Branch, Task

VISION_NAME = "vision.onnx"
DECODER_NAME = "decoder.onnx"
EMBEDDINGS_NAME = "embeddings.npy"
PROMPTS_NAME = "prompts.json"
GOLDEN_NAME = "golden/golden.json"


def projector_name(branch: Branch) -> str:
    """File of a branch's projector."""
    return f"projector_{branch}.onnx"


def adapter_name(branch: Branch) -> str:
    """File of a branch's LoRA weights."""
    return f"{branch}.onnx_adapter"


class BundleEntry(Document):
    """One file of a bundle."""

    path: RelativePath
    sha256: Sha256
    size_bytes: Size


class BranchSource(Document):
    """What a branch was exported from."""

    adapter_digest: Sha256
    """Of the PEFT folder: LoRA and projector."""
    lora_digest: Sha256
    """Of the exported LoRA file."""
    projector_digest: Sha256
    """Of the exported projector file."""


class Quantisation(Document):
    """How the decoder's base weights are stored."""

    method: Literal["MatMulNBits"] = "MatMulNBits"
    bits: Literal[4, 8]
    block_size: int
    accuracy_level: int
    """0: computes in fp32; 4: activations are rounded to int8 as well."""
    embedding_dtype: Literal["float16", "float32"]


class RuntimePins(Document):
    """What the bundle was made and tested with."""

    onnxruntime: str
    opset: int
    provider: str = "CPUExecutionProvider"


class BundleManifest(Document):
    """`manifest.json`: where a bundle comes from, how it was proved, and every file but this one."""

    schema_version: Literal["bundle@1"] = "bundle@1"
    name: str
    version: str
    """First twelve hex digits of the digest over the files: equal contents, equal version."""
    base_digest: Sha256
    branches: dict[Branch, BranchSource]
    data_digest: Sha256
    """Of the test set that the quality gate used."""
    layout_digest: Sha256
    prompt_version: str
    quantisation: Quantisation | None
    """None for a float bundle."""
    runtime: RuntimePins
    parity: dict[str, float]
    """The numbers of both gates, as in the export stage's `parity.json`."""
    files: Annotated[tuple[BundleEntry, ...], Field(min_length=1)]


class Prompts(Document):
    """`prompts.json`: the questions, how long an answer may be, and what form it has.

    Keys that came later are left out where they say nothing, so that devices of before read a bundle without them.
    """

    version: str
    questions: dict[Task, str]
    """Of the tasks that are asked alike of every clip: those that a device asks by itself."""
    max_new_tokens: dict[Task, Annotated[int, Field(ge=1)]]
    schemas: dict[Task, dict[str, Any]] = Field(default_factory=dict, exclude_if=lambda schemas: not schemas)
    """JSON schema of tasks whose answers are decoded under one."""


class GoldenClip(Document):
    """A clip with the answers that the exporter's machine got from the same files."""

    path: RelativePath
    """Below the bundle."""
    is_crash: bool
    """What the reference says: a crash, or in an image a risk."""
    answers: dict[Task, str]
    """Tasks that were asked; those of the second pass only where the key task's answer was Yes."""


class GoldenSet(Document):
    """`golden/golden.json`: what a device must answer to prove that it runs the bundle as the exporter did."""

    version: Literal["golden@1"] = "golden@1"
    min_equal_share: Annotated[float, Field(ge=0, le=1)]
    """Other processors round differently: this share of all answers must be equal, all of the key task must be."""
    key_task: Task = Field(default=CRASHCHAT.key_task, exclude_if=lambda task: task == CRASHCHAT.key_task)
    clips: Annotated[tuple[GoldenClip, ...], Field(min_length=1)]

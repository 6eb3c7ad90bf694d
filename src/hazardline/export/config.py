"""Settings of the export stage."""

from typing import Annotated, Literal

from pydantic import Field

from hazardline.bases.address import BaseAddress
from hazardline.documents import Document
from hazardline.evaluate.config import AnswerLimits
from hazardline.suites import CRASHCHAT, HAZARDNET

Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


MAX_DROP: dict[str, dict[str, float]] = {
    CRASHCHAT.name: {
        "recognition_macro_f1": 0.03,
        "recognition_binary_f1": 0.03,
        "near_miss_auc": 0.02,
        "crash_miou": 0.02,
        "crash_ap50": 0.05,
        "pre_crash_score": 0.03,
        "description_family_accuracy": 0.03,
    },
    HAZARDNET.name: {
        "risk_macro_f1": 0.03,
        "agent_macro_f1": 0.05,
        "action_macro_f1": 0.05,
        "scene_macro_f1": 0.03,
        "classification_macro_f1": 0.03,
        "qa_accuracy": 0.03,
    },
}
"""What quantising may cost, by suite, where a recipe says nothing else."""


class StructuralLimits(Document):
    """What the float export must show against PyTorch."""

    tolerance: Annotated[float, Field(gt=0)] = 1e-4
    """Largest difference allowed, as a share of the largest absolute value that PyTorch gives for the same part."""
    num_clips: Count = 6
    """Validation clips that both run, half of them with a crash, or a risk."""


class QualityLimits(Document):
    """What the quantised bundle must show against the float model on the test set."""

    max_mean_kl: NotNegative = 0.005
    """Mean Kullback-Leibler divergence of the next-token distributions along the reference answers, in nats."""
    min_top1_agreement: Share = 0.97
    """Share of reference answer tokens at which both find the same token most likely."""
    max_drop: Annotated[dict[str, NotNegative], Field(min_length=1)] | None = None
    """Most that a metric may lose, over the whole test set; the paired interval is reported with it. None: `MAX_DROP`
    of the suite."""
    num_forced_clips: Count = 96
    """Test clips for divergence and agreement, evenly spread over the test set. All clips are answered."""
    min_slice_clips: Annotated[int, Field(ge=2)] = 10
    """A smaller part of the test set is no slice."""


class GoldenConfig(Document):
    """The clips that travel with a bundle, with the answers that a device must get."""

    num_clips: Count = 4
    """Half of them with the answer Yes, if there are so many; the surest answers, since other processors round
    differently."""
    num_candidates: Count = 16
    """Validation clips that are looked at for them, half of them with a crash, or a risk."""
    min_equal_share: Share = 0.8
    """Share of all answers that a device must get; those to the suite's key task must all be equal."""


class ExportConfig(Document):
    """How the bundle is made and proved."""

    name: Annotated[str, Field(min_length=1, max_length=100)] = "crashchat-pocket"
    """What the bundle calls itself."""
    base: BaseAddress = "pocket"
    """`pocket`, `pocket-image`, a folder, `s3://bucket/prefix` or `hub:owner/name@commit`; the same in all stages."""
    decoder_bits: Literal[4, 8] = 8
    """Of a weight of the language model. Measured on the pocket base: 8 bits diverge by .0001 nats and agree on .997 of
    the tokens, 4 bits by .007 and on .943, which the quality gate refuses."""
    block_size: Literal[16, 32, 64, 128] = 32
    """Weights that share a scale."""
    accuracy_level: Literal[0, 4] = 4
    """4 also rounds activations to 8 bits while they are multiplied (fast); 0 multiplies in fp32."""
    embedding_dtype: Literal["float16", "float32"] = "float16"
    """Of the token embeddings."""
    max_new_tokens: AnswerLimits = AnswerLimits()
    """Most new tokens of an answer; as in evaluate, or the two do not compare."""
    structural: StructuralLimits = StructuralLimits()
    quality: QualityLimits = QualityLimits()
    golden: GoldenConfig = GoldenConfig()
    num_workers: Count = 2
    """Processes that answer the test set, one thread each."""
    num_resamples: Annotated[int, Field(ge=100)] = 1000
    """Of the paired bootstrap."""
    seed: Annotated[int, Field(ge=0)] = 0

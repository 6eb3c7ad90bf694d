"""Settings of the train stage."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hazardline.bases.address import BaseAddress
from hazardline.documents import Document
from hazardline.suites import TRAINED_IN_ANY
from hazardline.tasks import Branch, Task
from hazardline.vlm.settings import LINEAR_LAYERS, LinearLayer, Quantisation

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Schedule = Literal["cosine", "linear"]


class LoraConfig(Document):
    """The adapter on linear layers of the language model."""

    rank: Count = 16
    alpha: Count = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    targets: Annotated[tuple[LinearLayer, ...], Field(min_length=1)] = LINEAR_LAYERS
    """Linear layers of every decoder layer that are adapted (HazardNet: `q_proj` and `v_proj`)."""


class AugmentationConfig(Document):
    """How a training clip may differ from visit to visit. Targets are derived anew; validation sees plain clips."""

    phase: bool = True
    """Sample the model's frames from another first frame of the motion rate."""
    mirror: bool = True
    """Mirrored frames, with `left` and `right` swapped in the answers; together with `phase`, every other phase."""
    crop_probability: Share = 0.8
    """Share of visits that lose whole frames at the beginning and at the end, never the crash itself."""
    max_crop_start_s: NotNegative = 3.6
    max_crop_end_s: NotNegative = 2.8
    min_length_s: Positive = 3.0
    """A crop that would leave less is not made."""
    late_start_probability: Share = 0.35
    """Share of crops of a crash that may begin after its first sign; the pre-crash question is not asked then."""


class BranchConfig(Document):
    """What one branch does otherwise; a field that is left out is as in the section around it."""

    num_steps: Count | None = None
    num_epochs: Positive | None = None
    learning_rate: Positive | None = None
    clips_per_step: Count | None = None
    task_weights: dict[Task, NotNegative] | None = None
    lora: LoraConfig | None = None

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.num_steps is not None and self.num_epochs is not None:
            raise ValueError("give num_steps or num_epochs, not both")
        return self


class EarlyStoppingConfig(Document):
    """End a branch whose validation loss (mean over tasks) no longer falls; its best weights are the adapter.

    CrashChat's rule: every measurement that is not better than the best by more than `threshold` counts, and
    `patience` of them in a row end the branch.
    """

    patience: Count = 3
    threshold: NotNegative = 0.001


DEFAULT_EPOCHS = 12.0


class TrainConfig(Document):
    """How the two branches are fine-tuned on the frozen base."""

    base: BaseAddress = "pocket"
    """`pocket`, `pocket-image`, a folder, `s3://bucket/prefix` or `hub:owner/name@commit`; the same in all stages."""
    branches: dict[Branch, BranchConfig] = Field(
        default={"linguistic": BranchConfig(), "perception": BranchConfig()}, min_length=1
    )
    """Which branches are trained, side by side."""
    lora: LoraConfig = LoraConfig()
    num_steps: Count | None = None
    """Optimizer steps of each branch; the alternative to `num_epochs`."""
    num_epochs: Positive | None = None
    """Visits of every clip, 12 where neither is given; steps = epochs x clips of the branch / clips_per_step."""
    clips_per_step: Count = 4
    """Clips of one optimizer step, all their questions with them, over all workers."""
    clips_per_row: Count = 1
    """Clips that a worker runs in one pass. More fill a GPU better where clips are short, and take more memory."""
    attention: Literal["auto", "sdpa", "flex"] = "auto"
    """Back end of attention: `auto` takes FlexAttention on CUDA and `scaled_dot_product_attention` elsewhere."""
    gradient_checkpointing: bool = False
    """Compute the decoder layers again in the backward pass instead of keeping what they computed."""
    train_projector: bool = True
    """Train the projector beside LoRA (CrashChat does, HazardNet does not)."""
    quantisation: Quantisation = "none"
    """`nf4`: QLoRA, the frozen language model in four bits with double quantisation. Needs the `gpu` extra."""
    optimizer: Literal["adamw", "adamw_8bit"] = "adamw"
    """`adamw_8bit`: bitsandbytes keeps the moments in eight bits. Needs the `gpu` extra."""
    parallelism: Literal["replicas", "zero1", "zero2", "zero3"] = "replicas"
    """What workers divide: clips alone, or with DeepSpeed also optimizer state (1), gradients (2), all weights (3)."""
    learning_rate: Positive = 2e-3
    schedule: Schedule = "cosine"
    """How the learning rate falls after the warm-up."""
    final_rate_share: Share = 0.03
    """The schedule ends at this share of the learning rate."""
    warmup_steps: Annotated[int, Field(ge=0)] = 30
    """Steps in which the learning rate rises, where `warmup_share` is absent."""
    warmup_share: Share | None = None
    """Instead of `warmup_steps`: share of a branch's steps, rounded up (Hugging Face's `warmup_ratio`)."""
    weight_decay: NotNegative = 0.05
    max_gradient_norm: Positive = 1.0
    task_weights: dict[Task, NotNegative] = Field(default={"crash_recognition": 4.0})
    """Weight of a task's answers in the loss (`turns`); a task that is not named has 1."""
    negative_answer_weight: Positive = 1.0
    """Factor on the weight (`turns`) of the fixed answers to a clip without a crash, the `No` of recognition apart."""
    loss: Literal["turns", "tokens"] = "turns"
    """`turns`: weighted mean over answers, each the mean over its tokens. `tokens`: mean over all answer tokens."""
    time_token_share: Annotated[float, Field(ge=0, lt=1)] = 0.85
    """Share of a localization answer's weight on its times; the rest is spread over all tokens. 0: no difference."""
    time_target_sigma_steps: Positive | None = 0.8
    """Width of the ordinal soft targets in time tokens; null for plain cross-entropy. Needs one token a time."""
    projector_noise_std: NotNegative = 0.1
    """Noise on the projector's first layer in training."""
    augmentation: AugmentationConfig = AugmentationConfig()
    precision: Literal["bf16", "fp32"] = "bf16"
    """`bf16`: autocast around weights in fp32."""
    eval_every_steps: Count = 200
    """Validation losses by task are measured this often, and at the end."""
    max_validation_clips: Annotated[int, Field(ge=0)] = 64
    """Validation clips that are measured (chosen by a digest of their ids); 0 for none."""
    checkpoint_every_steps: Count = 100
    checkpoints: str | None = None
    """Folder or `s3://bucket/prefix` that outlives a machine; null for a folder below HAZARDLINE_HOME, or
    below HAZARDLINE_STORE_MIRROR where that is set."""
    keep_checkpoints: Count = 2
    """Newest checkpoints that are kept while a branch trains; with `early_stopping` the best one as well."""
    early_stopping: EarlyStoppingConfig | None = None
    """Absent: a branch takes all its steps, and its last weights are the adapter."""
    max_failures: Annotated[int, Field(ge=0)] = 3
    """Lost workers that a branch survives; it goes on from its last checkpoint."""
    num_workers: Count = 1
    """Ray workers of each branch; the clips of a step are divided among them."""
    threads_per_worker: Count = 1
    feature_cache_gb: NotNegative | None = 20.0
    """Most that kept features take below HAZARDLINE_HOME (10^9 bytes); null for no limit, 0 to keep none.

    What has no room is encoded when it is visited, once for all its questions.
    """
    encoder_processes: Count = 2
    """Processes that encode the clips once, one thread each, in turn on the GPUs of the machine."""
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.num_steps is not None and self.num_epochs is not None:
            raise ValueError("give num_steps or num_epochs, not both")
        if self.parallelism == "zero3" and self.quantisation != "none":
            raise ValueError("parallelism: zero3 divides frozen weights, which nf4 cannot; choose zero1 or zero2")
        if self.parallelism != "replicas" and self.optimizer != "adamw":
            raise ValueError("optimizer: adamw_8bit needs parallelism replicas; ZeRO divides the moments already")
        for name, branch in self.branches.items():
            odd = sorted(set(branch.task_weights or {}) - set(TRAINED_IN_ANY[name]))
            if odd:
                raise ValueError(f"branches.{name}.task_weights: the branch is not trained on {', '.join(odd)}")
            weights = [self.weights_of(name).get(task, 1.0) for task in TRAINED_IN_ANY[name]]
            if not any(weights):
                raise ValueError(f"branches.{name}: all task weights are 0")
            if self.branch_clips_per_step(name) < self.num_workers:
                raise ValueError(f"branches.{name}: clips_per_step is below num_workers")
        return self

    def weights_of(self, branch: Branch) -> dict[Task, float]:
        """Task weights of a branch."""
        own = self.branches[branch].task_weights
        return self.task_weights if own is None else own

    def branch_clips_per_step(self, branch: Branch) -> int:
        """Clips of one optimizer step of a branch."""
        return self.branches[branch].clips_per_step or self.clips_per_step

    def branch_learning_rate(self, branch: Branch) -> float:
        """Peak learning rate of a branch."""
        return self.branches[branch].learning_rate or self.learning_rate

    def warmup_of(self, num_steps: int) -> int:
        """Warm-up steps of a branch of so many steps."""
        return self.warmup_steps if self.warmup_share is None else math.ceil(self.warmup_share * num_steps)

    def branch_lora(self, branch: Branch) -> LoraConfig:
        """LoRA settings of a branch."""
        return self.branches[branch].lora or self.lora

    def steps_of(self, branch: Branch, num_clips: int) -> int:
        """Optimizer steps of a branch over so many clips."""
        own = self.branches[branch]
        if own.num_steps is not None:
            return own.num_steps
        if own.num_epochs is None and self.num_steps is not None:
            return self.num_steps
        epochs = own.num_epochs or self.num_epochs or DEFAULT_EPOCHS
        return max(1, round(epochs * num_clips / self.branch_clips_per_step(branch)))

"""Settings of the evaluate stage."""

from typing import Annotated

from pydantic import Field

from hazardline.bases.address import BaseAddress
from hazardline.documents import Document


class AnswerLimits(Document):
    """Most new tokens of an answer, by task. A longer answer is cut there."""

    crash_recognition: Annotated[int, Field(ge=1)] = 4
    crash_description: Annotated[int, Field(ge=1)] = 32
    cause_reasoning: Annotated[int, Field(ge=1)] = 48
    prevention_reasoning: Annotated[int, Field(ge=1)] = 96
    crash_localization: Annotated[int, Field(ge=1)] = 12
    pre_crash_localization: Annotated[int, Field(ge=1)] = 8
    object_detection: Annotated[int, Field(ge=1)] = 32
    spatial_relationships: Annotated[int, Field(ge=1)] = 32
    traffic_rules: Annotated[int, Field(ge=1)] = 32
    dynamic_elements: Annotated[int, Field(ge=1)] = 32
    scene_prediction: Annotated[int, Field(ge=1)] = 32
    weather_visibility: Annotated[int, Field(ge=1)] = 32
    road_infrastructure: Annotated[int, Field(ge=1)] = 32
    scene_classification: Annotated[int, Field(ge=1)] = 96
    """The longest classification has 50 tokens of the pocket image base's, and more in shorter pieces; one that is cut
    does not parse, though it was decoded under the schema."""


class CeilingConfig(Document):
    """The probe on the frozen encoder's features (a diagnosis)."""

    epochs: Annotated[int, Field(ge=1)] = 24
    hidden_size: Annotated[int, Field(ge=1)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 1.5e-3
    batch_size: Annotated[int, Field(ge=1)] = 16
    feature_noise: Annotated[float, Field(ge=0)] = 0.1
    """Standard deviation of the noise added to standardised features in training."""


class EvaluateConfig(Document):
    """How the test set is answered and scored."""

    base: BaseAddress = "pocket"
    """`pocket`, `pocket-image`, a folder, `s3://bucket/prefix` or `hub:owner/name@commit`; the same in all stages."""
    num_workers: Annotated[int, Field(ge=1)] = 2
    """Processes that answer clips, one thread each."""
    max_new_tokens: AnswerLimits = AnswerLimits()
    num_resamples: Annotated[int, Field(ge=100)] = 1000
    """Resamples of the bootstrap over clips, or over groups of images."""
    ceiling: bool = True
    """Whether to train the probe on the training clips' frozen features (CrashChat; images have none)."""
    ceiling_probe: CeilingConfig = CeilingConfig()
    num_filmstrips: Annotated[int, Field(ge=0)] = 4
    """Best and worst clips, or images right and wrong, shown in the report, this many of each."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the bootstrap and of the probe."""

"""When new data is worth a training run: the trigger's policy."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hazardline.datasets.document import DatasetName
from hazardline.documents import Document

DriftName = Literal[
    "label",
    "scenario",
    "weather",
    "light",
    "scene",
    "source",
    "codec",
    "accident_type",
    "duration_s",
    "fps",
    "frame_px",
    "bit_rate",
    "motion_mean",
    "colour",
    "motion",
    "encoder",
]
"""What is compared: columns of the scenes, numbers of the files, and vectors of the pictures."""
DRIFT_NAMES: tuple[DriftName, ...] = DriftName.__args__  # type: ignore[attr-defined]

Share = Annotated[float, Field(gt=0, lt=1, strict=False)]


class DriftLimits(Document):
    """Effects from which a difference matters, however certain it is."""

    total_variation: Share = 0.1
    """Shares of categories: the part of the clips that would have to be of another category."""
    ks_distance: Share = 0.15
    """Numbers: the largest difference of the two distribution functions."""
    energy_coefficient: Share = 0.02
    """Vectors: energy distance as a part of the mean distance between the two sets; 0 where they are alike."""
    auc: Annotated[float, Field(gt=0.5, lt=1)] = 0.65
    """Vectors: how well a classifier tells new from reference; its whole interval must lie above."""


class TriggerConfig(Document):
    """The policy: a YAML file of these keys, or options of the command."""

    version: Literal["trigger_policy@1"] = "trigger_policy@1"
    min_new_clips: Annotated[int, Field(ge=1)] = 500
    """So many usable clips with bytes that the reference does not have are reason enough."""
    min_new_crashes: Annotated[int, Field(ge=1)] = 50
    """So many of them labelled `crash` are reason enough."""
    min_relabelled: Annotated[int, Field(ge=1)] = 200
    """So many clips of the reference with another annotation are reason enough."""
    drift_on: tuple[DriftName, ...] = DRIFT_NAMES
    """Drift in one of these is reason enough; the others are measured and shown."""
    limits: DriftLimits = DriftLimits()
    alpha: Annotated[float, Field(gt=0, le=0.2)] = 0.05
    """Chance of any false alarm of the permutation tests together (Holm)."""
    min_units: Annotated[int, Field(ge=10)] = 30
    """With fewer independent units (recordings, pairs, channels) on either side drift is not measured."""
    max_clips: Annotated[int, Field(ge=100, le=50_000)] = 5_000
    """Clips of each side that are compared; more are sampled."""
    max_vector_clips: Annotated[int, Field(ge=50, le=2_000)] = 1_000
    """Of these, clips of each side whose vectors are compared."""
    num_permutations: Annotated[int, Field(ge=199)] = 1_999
    seed: int = 0
    """Of the sample, the permutations and the classifiers."""
    already_trained: tuple[Annotated[str, Field(pattern="^[0-9a-f]{64}$")], ...] = ()
    """Digests of sets of new clips on which a training ran already, whatever became of its model."""

    @model_validator(mode="after")
    def _can_find_anything(self) -> Self:
        needed = round(len(DRIFT_NAMES) / self.alpha)
        if self.num_permutations < needed:
            raise ValueError(
                f"num_permutations: {self.num_permutations} cannot reach alpha {self.alpha} in "
                f"{len(DRIFT_NAMES)} tests after Holm's correction; give at least {needed}"
            )
        return self


class NewdataConfig(Document):
    """What the stage is told; it comes out of the recipe's section `retrain`."""

    dataset: DatasetName
    """Name under which versions of the data set follow one another."""
    trigger: TriggerConfig = TriggerConfig()

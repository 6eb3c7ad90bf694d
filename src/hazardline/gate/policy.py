"""What a policy file may ask of a candidate.

Of every metric that a rule names, more is better, but for `maximum`, of whose metric less is: a policy that takes one
the wrong way round is refused. A name that no evaluation has is no error of the policy; the rule then refuses every
candidate, and says why.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from hazardline.documents import Document, read_yaml
from hazardline.errors import UserError
from hazardline.evaluate.bootstrap import ALL_CLIP_METRICS
from hazardline.split.findings import Severity

_CHECKOUT = Path(__file__).parents[3]
"""The source checkout, where the library is installed from one."""

Name = Annotated[str, Field(min_length=1)]


class TestClipsRule(Document):
    """The test set must have at least so many clips: below, no interval means much."""

    kind: Literal["test_clips"]
    minimum: Annotated[int, Field(ge=1)]


class MinimumRule(Document):
    """The candidate's metric must reach a bar."""

    kind: Literal["minimum"]
    metric: Name
    minimum: float


class MaximumRule(Document):
    """The candidate's metric, of which less is better, must not be above a bar."""

    kind: Literal["maximum"]
    metric: Name
    maximum: float


class MarginRule(Document):
    """The candidate must be above the best constant answers, or above the base model, by a margin."""

    kind: Literal["margin"]
    metric: Name
    over: Literal["constant", "base"]
    margin: Annotated[float, Field(ge=0)] = 0.0
    """Least difference of the two values. With 0 the candidate must still be strictly above."""
    disjoint_intervals: bool = False
    """Whether the lower end of the candidate's 95 % interval must also be above the upper end of the other's."""


class NoRegressionRule(Document):
    """The candidate must not fall behind the champion: a paired bootstrap of the difference over the same clips."""

    kind: Literal["no_regression"]
    metric: Name
    bound: Literal["low", "high"] = "low"
    """`low`: the worst plausible difference must be tolerable. `high`: only a certain regression is refused."""
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    """How far below zero the bound of the difference (candidate minus champion) may lie."""


class WorstSliceRule(Document):
    """No part of the test set along a dimension may fall below a bar."""

    kind: Literal["worst_slice"]
    metric: Name
    dimension: Name
    minimum: float
    min_clips: Annotated[int, Field(ge=1)]
    """A slice with fewer clips cannot be judged."""
    too_few: Literal["refuse", "skip"] = "refuse"
    """What a slice with too few clips does: it refuses the candidate, or it is named and left out."""
    required_values: tuple[str, ...] = ()
    """Values of the dimension that must be among the slices."""


class LeakageRule(Document):
    """The audit of the split must not have found anything graver: scores on data that leaks mean nothing."""

    kind: Literal["leakage"]
    max_severity: Severity


Rule = Annotated[
    TestClipsRule | MinimumRule | MaximumRule | MarginRule | NoRegressionRule | WorstSliceRule | LeakageRule,
    Field(discriminator="kind"),
]


class GatePolicy(Document):
    """A policy file in `mlflow/gates/`. A candidate passes if it passes every rule."""

    version: Literal["gate_policy@1"]
    name: Name
    num_resamples: Annotated[int, Field(ge=100)] = 2000
    """Resamples of the paired bootstrap."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the paired bootstrap."""
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]


def locate_policy(path: str) -> Path:
    """The policy file of a path in a recipe.

    Raises:
        UserError: there is no such file; the message names every place that was tried.
    """
    places = [Path(path).absolute()] if Path(path).is_absolute() else [Path.cwd() / path, _CHECKOUT / path]
    for place in places:
        if place.is_file():
            return place
    tried = " or ".join(str(place) for place in dict.fromkeys(places))
    raise UserError(f"gate.policy: no policy file at {tried}; expected a YAML file such as those in mlflow/gates/")


def read_policy(path: str) -> GatePolicy:
    """Read and validate a policy file.

    Raises:
        UserError: the file is missing, is no YAML, has a wrong field, or takes a metric the wrong way round.
    """
    place = locate_policy(path)
    policy = GatePolicy.parse(read_yaml(place), str(place))
    for number, rule in enumerate(policy.rules):
        metric = getattr(rule, "metric", "")
        if metric not in ALL_CLIP_METRICS:
            continue
        lower_is_better = ALL_CLIP_METRICS[metric].lower_is_better
        if lower_is_better and rule.kind != "maximum":
            raise UserError(
                f"{place}: rules.{number}.metric: of {metric} less is better; name a metric where more is better, or "
                "give it a rule of kind maximum"
            )
        if not lower_is_better and rule.kind == "maximum":
            raise UserError(
                f"{place}: rules.{number}.metric: of {metric} more is better; give it a rule of kind minimum"
            )
    return policy

"""Every kind of rule opens and closes the gate, and what is missing closes it."""

from typing import Any

import pytest

from hazardline.evaluate.document import Estimate, Evaluation, SliceEstimate
from hazardline.gate.decide import Champion, decide
from hazardline.gate.document import Decision, Reason
from hazardline.gate.policy import GatePolicy, read_policy
from hazardline.split.findings import Severity
from tests.gate.evaluations import GOOD, SLICES, estimate, evaluation, identity, leakage

POCKET = "mlflow/gates/crashchat_pocket.yaml"


def judge(rule: dict[str, Any], candidate: Evaluation | None = None, champion: Champion | None = None) -> Reason:
    policy = GatePolicy.parse({"version": "gate_policy@1", "name": "one@1", "rules": [rule]}, "test")
    decision = decide(policy, candidate or evaluation(), champion)
    (reason,) = decision.reasons
    assert decision.passed is reason.passed
    return reason


def with_metric(model: str, metric: str, found: Estimate | None) -> Evaluation:
    metrics = {name: dict(values) for name, values in GOOD.items()}
    metrics[model].pop(metric, None)
    if found is not None:
        metrics[model][metric] = found
    return evaluation(metrics=metrics)


def sliced(value: str, score: float, n: int) -> SliceEstimate:
    return SliceEstimate(dimension="weather", value=value, metric="recognition_macro_f1", estimate=estimate(score, n=n))


MINIMUM = {"kind": "minimum", "metric": "near_miss_auc", "minimum": 0.75}
MARGIN = {"kind": "margin", "metric": "crash_miou", "over": "constant", "margin": 0.12, "disjoint_intervals": True}
SLICE = {
    "kind": "worst_slice",
    "metric": "recognition_macro_f1",
    "dimension": "weather",
    "minimum": 0.6,
    "min_clips": 20,
}
REGRESSION = {"kind": "no_regression", "metric": "recognition_macro_f1", "bound": "low", "tolerance": 0.05}


def test_the_pocket_policy_opens_for_a_candidate_that_reaches_every_bar() -> None:
    decision = decide(read_policy(POCKET), evaluation(), None)
    assert decision.passed, [reason.sentence for reason in decision.reasons if not reason.passed]
    assert decision.champion_version is None
    assert Decision.parse_json(decision.model_dump_json(), "test") == decision


@pytest.mark.parametrize(
    "metric, value",
    [
        ("recognition_macro_f1", 0.69),
        ("near_miss_auc", 0.74),
        ("crash_miou", 0.37),
        ("pre_crash_score", 0.30),
        ("description_family_accuracy", 0.20),
    ],
)
def test_the_pocket_policy_closes_at_each_bar(metric: str, value: float) -> None:
    candidate = with_metric("candidate", metric, estimate(value, half=0.001))
    decision = decide(read_policy(POCKET), candidate, None)
    refused = [reason for reason in decision.reasons if not reason.passed]
    assert not decision.passed
    assert {getattr(reason.rule, "metric", None) for reason in refused} == {metric}


def test_too_small_a_test_set_is_refused() -> None:
    rule = {"kind": "test_clips", "minimum": 400}
    assert judge(rule).passed
    assert not judge(rule, evaluation(num_test_clips=399)).passed


def test_a_maximum_is_for_a_metric_of_which_less_is_better() -> None:
    rule = {"kind": "maximum", "metric": "parse_failure_rate", "maximum": 0.02}
    at_the_bar, above = (with_metric("candidate", "parse_failure_rate", estimate(rate)) for rate in (0.02, 0.021))
    assert judge(rule, at_the_bar).passed
    refused = judge(rule, above)
    assert not refused.passed and "0.021 [" in refused.sentence and "at most 0.020 allowed" in refused.sentence
    assert not judge(rule).passed, "a metric that was not measured refuses"


IMAGES = "mlflow/gates/hazardnet_pocket.yaml"
FIELDS = ("risk_macro_f1", "agent_macro_f1", "action_macro_f1", "scene_macro_f1", "classification_macro_f1")


def image_evaluation(**candidate: float) -> Evaluation:
    """An image model that passes the pocket policy, some of its scores exchanged."""
    values = {**dict.fromkeys(FIELDS, 0.75), "qa_accuracy": 0.8, "parse_failure_rate": 0.0, **candidate}
    models = {"candidate": values, "base": {}, "constant": {}}
    for other in ("base", "constant"):
        models[other] = {**dict.fromkeys(FIELDS, 0.3), "qa_accuracy": 0.6}
    metrics = {model: {name: estimate(value) for name, value in found.items()} for model, found in models.items()}
    slices = [
        SliceEstimate(dimension=dimension, value=value, metric="risk_macro_f1", estimate=estimate(0.7, n=100))
        for dimension, values in {"weather": ("foggy", "rainy", "snowy", "sunny"), "light": ("day", "night")}.items()
        for value in values
    ]
    return evaluation(metrics=metrics, slices=slices)


def test_the_image_policy_opens_for_a_candidate_that_reaches_every_bar() -> None:
    decision = decide(read_policy(IMAGES), image_evaluation(), None)
    assert decision.passed, [reason.sentence for reason in decision.reasons if not reason.passed]


@pytest.mark.parametrize("metric, value", [*((name, 0.36) for name in FIELDS), ("qa_accuracy", 0.62)])
def test_the_image_policy_closes_at_each_bar(metric: str, value: float) -> None:
    decision = decide(read_policy(IMAGES), image_evaluation(**{metric: value}), None)
    refused = {getattr(reason.rule, "metric", None) for reason in decision.reasons if not reason.passed}
    assert refused == {metric}


def test_the_image_policy_closes_where_an_answer_breaks_the_schema() -> None:
    decision = decide(read_policy(IMAGES), image_evaluation(parse_failure_rate=0.003), None)
    assert [reason.rule.kind for reason in decision.reasons if not reason.passed] == ["maximum"]


def test_minimum() -> None:
    reason = judge(MINIMUM, with_metric("candidate", "near_miss_auc", estimate(0.75)))
    assert reason.passed and reason.numbers["candidate_value"] == 0.75
    assert reason.sentence == "passed: near_miss_auc 0.750 [0.710, 0.790], at least 0.750 needed"
    assert not judge(MINIMUM, with_metric("candidate", "near_miss_auc", estimate(0.7499))).passed


@pytest.mark.parametrize("rule", [MINIMUM, MARGIN, REGRESSION])
def test_a_missing_metric_is_refused_and_named(rule: dict[str, Any]) -> None:
    reason = judge(rule, with_metric("candidate", rule["metric"], None))
    assert not reason.passed
    assert f"the evaluation has no {rule['metric']} of the candidate" in reason.sentence
    assert reason.numbers == {}


def test_a_metric_of_no_clip_is_refused() -> None:
    assert not judge(MINIMUM, with_metric("candidate", "near_miss_auc", estimate(0.9, n=0))).passed


def test_margin_over_a_missing_floor_is_refused() -> None:
    reason = judge(MARGIN, with_metric("constant", "crash_miou", None))
    assert not reason.passed and "no crash_miou of the constant" in reason.sentence


@pytest.mark.parametrize(
    "value, half, passes", [(0.39, 0.04, True), (0.37, 0.02, False), (0.39, 0.095, False), (0.50, 0.2, False)]
)
def test_margin_needs_the_difference_and_intervals_apart(value: float, half: float, passes: bool) -> None:
    assert judge(MARGIN, with_metric("candidate", "crash_miou", estimate(value, half))).passed is passes


def test_margin_without_intervals_needs_only_the_difference() -> None:
    rule = {**MARGIN, "disjoint_intervals": False}
    assert judge(rule, with_metric("candidate", "crash_miou", estimate(0.50, 0.2))).passed


def test_a_margin_of_zero_still_means_above() -> None:
    rule = {"kind": "margin", "metric": "pre_crash_score", "over": "constant"}
    assert not judge(rule, with_metric("candidate", "pre_crash_score", estimate(0.30))).passed
    assert judge(rule, with_metric("candidate", "pre_crash_score", estimate(0.3001))).passed


def test_margin_over_the_base() -> None:
    rule = {**MARGIN, "over": "base"}
    assert judge(rule).passed
    assert not judge(rule, with_metric("base", "crash_miou", estimate(0.40))).passed


def champion(low: float, high: float, **changes: Any) -> Champion:
    difference = Estimate(value=(low + high) / 2, low=low, high=high, n=400)
    return Champion(3, evaluation(**changes), {"recognition_macro_f1": difference})


@pytest.mark.parametrize(
    "bound, low, high, passes",
    [
        ("low", -0.05, 0.02, True),
        ("low", -0.06, 0.02, False),
        ("high", -0.20, -0.04, True),
        ("high", -0.2, -0.06, False),
    ],
)
def test_no_regression_looks_at_the_bound_of_the_policy(bound: str, low: float, high: float, passes: bool) -> None:
    reason = judge({**REGRESSION, "bound": bound}, champion=champion(low, high))
    assert reason.passed is passes
    assert reason.numbers["difference_low"] == low
    assert "version 3" in reason.sentence


def test_without_a_champion_there_is_nothing_to_regress_from() -> None:
    reason = judge(REGRESSION)
    assert reason.passed and "no champion, nothing to regress from" in reason.sentence


def test_a_champion_on_another_test_set_is_refused() -> None:
    reason = judge(REGRESSION, champion=champion(0.1, 0.2, identity=identity("a" * 64)))
    assert not reason.passed and "measured on another test set" in reason.sentence


def test_a_comparison_that_could_not_be_made_is_refused() -> None:
    untold = Champion(3, evaluation(), {"recognition_macro_f1": "no paired difference (other clips)"})
    reason = judge(REGRESSION, champion=untold)
    assert not reason.passed and "other clips" in reason.sentence
    assert not judge(REGRESSION, champion=Champion(3, evaluation(), {})).passed


def test_worst_slice_names_the_worst() -> None:
    reason = judge(SLICE)
    assert reason.passed and "worst for foggy" in reason.sentence
    assert reason.numbers == {"foggy": 0.70, "rainy": 0.76, "snowy": 0.74, "sunny": 0.80}
    assert not judge({**SLICE, "minimum": 0.701}).passed


def test_missing_slices_are_refused() -> None:
    assert "no slices" in judge(SLICE, evaluation(slices=[])).sentence
    assert "no slices" in judge({**SLICE, "dimension": "moon"}).sentence
    reason = judge({**SLICE, "required_values": ["sunny", "hail"]})
    assert not reason.passed and "no slice for hail" in reason.sentence


def test_a_slice_with_too_few_clips_is_refused_or_left_out_as_the_policy_says() -> None:
    candidate = evaluation(slices=[*SLICES, sliced("hail", 0.1, 19)])
    refused = judge(SLICE, candidate)
    assert not refused.passed and "fewer than 20 clips: hail" in refused.sentence
    skipped = judge({**SLICE, "too_few": "skip"}, candidate)
    assert skipped.passed and "left out, fewer than 20 clips: hail" in skipped.sentence


def test_nothing_but_small_slices_is_refused_even_where_they_may_be_left_out() -> None:
    reason = judge({**SLICE, "too_few": "skip"}, evaluation(slices=[sliced("sunny", 0.9, 5)]))
    assert not reason.passed and "no slice can be judged" in reason.sentence


@pytest.mark.parametrize(
    "severity, passes", [("info", True), ("warning", True), ("serious", False), ("critical", False)]
)
def test_a_finding_that_is_too_grave_closes_the_gate_and_is_named(severity: Severity, passes: bool) -> None:
    reason = judge({"kind": "leakage", "max_severity": "warning"}, evaluation(leakage=leakage(severity)))
    assert reason.passed is passes and reason.numbers[severity] == 1
    assert ("source_against_label: Cramer's V 0.95" in reason.sentence) is not passes
    assert ("Remedy: Add some." in reason.sentence) is not passes


def test_an_evaluation_without_findings_is_refused() -> None:
    reason = judge({"kind": "leakage", "max_severity": "critical"}, evaluation(leakage=None))
    assert not reason.passed and "no findings" in reason.sentence

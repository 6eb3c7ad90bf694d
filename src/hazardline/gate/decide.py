"""The decision: a pure function of a policy, the candidate's evaluation and, where there is one, the champion's.

What is missing never passes: a metric, a slice or a comparison that cannot be made refuses the candidate, and says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hazardline.evaluate.document import Estimate, Evaluation, ModelName
from hazardline.gate.document import Decision, Reason
from hazardline.gate.policy import (
    GatePolicy,
    LeakageRule,
    MarginRule,
    MaximumRule,
    MinimumRule,
    NoRegressionRule,
    Rule,
    TestClipsRule,
    WorstSliceRule,
)
from hazardline.split.findings import SEVERITIES, rank, told


@dataclass(frozen=True)
class Champion:
    """The current champion as the gate sees it."""

    model_version: int
    evaluation: Evaluation
    differences: Mapping[str, Estimate | str]
    """By metric: candidate minus champion over the same clips; or, as text, why there is no such number."""


def decide(policy: GatePolicy, evaluation: Evaluation, champion: Champion | None) -> Decision:
    """Apply every rule of a policy; the candidate passes if all do."""
    reasons = tuple(_judge(rule, evaluation, champion) for rule in policy.rules)
    return Decision(
        passed=all(reason.passed for reason in reasons),
        policy_name=policy.name,
        policy_digest=policy.digest(),
        evaluation_digest=evaluation.digest(),
        candidate=evaluation.identity,
        champion_version=champion.model_version if champion else None,
        champion=champion.evaluation.identity if champion else None,
        reasons=reasons,
    )


def _judge(rule: Rule, evaluation: Evaluation, champion: Champion | None) -> Reason:
    match rule:
        case TestClipsRule():
            return _judge_test_clips(rule, evaluation)
        case MinimumRule():
            return _judge_minimum(rule, evaluation)
        case MaximumRule():
            return _judge_maximum(rule, evaluation)
        case MarginRule():
            return _judge_margin(rule, evaluation)
        case NoRegressionRule():
            return _judge_no_regression(rule, evaluation, champion)
        case WorstSliceRule():
            return _judge_worst_slice(rule, evaluation)
        case LeakageRule():
            return _judge_leakage(rule, evaluation)


def _refused(rule: Rule, sentence: str) -> Reason:
    return Reason(rule=rule, passed=False, sentence=f"refused: {sentence}", numbers={})


def _judged(rule: Rule, passed: bool, sentence: str, numbers: dict[str, float]) -> Reason:
    return Reason(
        rule=rule, passed=passed, sentence=f"{'passed' if passed else 'refused'}: {sentence}", numbers=numbers
    )


def _text(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _numbers(name: str, estimate: Estimate) -> dict[str, float]:
    found = {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": float(estimate.n)}
    return {f"{name}_{key}": number for key, number in found.items()}


def _metric(evaluation: Evaluation, model: ModelName, metric: str) -> Estimate | str:
    """The estimate, or a sentence that says what is missing."""
    found = evaluation.metrics.get(model, {}).get(metric)
    if found is None:
        known = ", ".join(sorted(evaluation.metrics.get(model, {}))) or "none"
        return f"the evaluation has no {metric} of the {model} (its metrics: {known})"
    return found if found.n > 0 else f"{metric} of the {model} is measured on no clip at all"


def _judge_test_clips(rule: TestClipsRule, evaluation: Evaluation) -> Reason:
    count = evaluation.num_test_clips
    sentence = f"{count} test clips, at least {rule.minimum} needed"
    return _judged(rule, count >= rule.minimum, sentence, {"test_clips": float(count)})


def _judge_minimum(rule: MinimumRule, evaluation: Evaluation) -> Reason:
    found = _metric(evaluation, "candidate", rule.metric)
    if isinstance(found, str):
        return _refused(rule, found)
    sentence = f"{rule.metric} {_text(found)}, at least {rule.minimum:.3f} needed"
    return _judged(rule, found.value >= rule.minimum, sentence, _numbers("candidate", found))


def _judge_maximum(rule: MaximumRule, evaluation: Evaluation) -> Reason:
    found = _metric(evaluation, "candidate", rule.metric)
    if isinstance(found, str):
        return _refused(rule, found)
    sentence = f"{rule.metric} {_text(found)}, at most {rule.maximum:.3f} allowed"
    return _judged(rule, found.value <= rule.maximum, sentence, _numbers("candidate", found))


def _judge_margin(rule: MarginRule, evaluation: Evaluation) -> Reason:
    candidate = _metric(evaluation, "candidate", rule.metric)
    other = _metric(evaluation, rule.over, rule.metric)
    if isinstance(candidate, str):
        return _refused(rule, candidate)
    if isinstance(other, str):
        return _refused(rule, other)
    difference = candidate.value - other.value
    is_above = difference > 0 and difference >= rule.margin
    is_apart = candidate.low > other.high
    needed = f"more than {rule.margin:.3f}" if rule.margin == 0 else f"at least {rule.margin:.3f}"
    sentence = (
        f"{rule.metric} {_text(candidate)} against {_text(other)} of the {rule.over}: "
        f"{difference:+.3f}, {needed} needed"
    )
    if rule.disjoint_intervals:
        sentence += f", and intervals apart: they {'are' if is_apart else 'overlap'}"
    numbers = _numbers("candidate", candidate) | _numbers(rule.over, other) | {"difference": difference}
    return _judged(rule, is_above and (is_apart or not rule.disjoint_intervals), sentence, numbers)


def _judge_no_regression(rule: NoRegressionRule, evaluation: Evaluation, champion: Champion | None) -> Reason:
    found = _metric(evaluation, "candidate", rule.metric)
    if isinstance(found, str):
        return _refused(rule, found)
    if champion is None:
        sentence = f"{rule.metric}: no champion, nothing to regress from"
        return _judged(rule, True, sentence, _numbers("candidate", found))
    theirs, ours = champion.evaluation.identity.test_data_digest, evaluation.identity.test_data_digest
    if theirs != ours:
        sentence = (
            f"{rule.metric}: the champion (version {champion.model_version}) was measured on another test set "
            f"({theirs[:12]}, the candidate on {ours[:12]}); evaluate the champion on this test set"
        )
        return _refused(rule, sentence)
    difference = champion.differences.get(rule.metric, "the two were not compared")
    if isinstance(difference, str):
        return _refused(rule, f"{rule.metric} against version {champion.model_version}: {difference}")
    bound = difference.low if rule.bound == "low" else difference.high
    sentence = (
        f"{rule.metric} differs from version {champion.model_version} by {difference.value:+.3f} "
        f"[{difference.low:+.3f}, {difference.high:+.3f}] over {difference.n} clips; the {rule.bound} end must be "
        f"at least {-rule.tolerance:+.3f}"
    )
    return _judged(rule, bound >= -rule.tolerance, sentence, _numbers("difference", difference))


def _judge_worst_slice(rule: WorstSliceRule, evaluation: Evaluation) -> Reason:
    slices = {
        part.value: part.estimate
        for part in evaluation.slices
        if part.dimension == rule.dimension and part.metric == rule.metric
    }
    if not slices:
        return _refused(rule, f"the evaluation has no slices of {rule.metric} by {rule.dimension}")
    missing = sorted(set(rule.required_values) - set(slices))
    few = sorted(value for value, estimate in slices.items() if estimate.n < rule.min_clips)
    judged = {value: estimate for value, estimate in sorted(slices.items()) if value not in few}
    few_text = f"fewer than {rule.min_clips} clips: {', '.join(few)}"
    if missing:
        return _refused(rule, f"{rule.metric} by {rule.dimension}: no slice for {', '.join(missing)}")
    if few and rule.too_few == "refuse":
        return _refused(rule, f"{rule.metric} by {rule.dimension}: {few_text}")
    if not judged:
        return _refused(rule, f"{rule.metric} by {rule.dimension}: no slice can be judged ({few_text})")
    worst = min(judged, key=lambda value: judged[value].value)
    sentence = (
        f"{rule.metric} by {rule.dimension} is worst for {worst}: {_text(judged[worst])} of {judged[worst].n} clips, "
        f"at least {rule.minimum:.3f} needed" + (f" (left out, {few_text})" if few else "")
    )
    numbers = {value: estimate.value for value, estimate in judged.items()}
    return _judged(rule, judged[worst].value >= rule.minimum, sentence, numbers)


def _judge_leakage(rule: LeakageRule, evaluation: Evaluation) -> Reason:
    note = evaluation.leakage
    if note is None:
        return _refused(rule, "the evaluation carries no findings of the split's leakage audit; run split again")
    grave = [finding for finding in note.findings if rank(finding.severity) > rank(rule.max_severity)]
    numbers: dict[str, float] = {
        name: float(sum(finding.severity == name for finding in note.findings)) for name in SEVERITIES
    }
    counted = ", ".join(f"{numbers[name]:.0f} {name}" for name in reversed(SEVERITIES))
    sentence = f"findings of the leakage audit: {counted}; at most {rule.max_severity} is allowed"
    if grave:
        sentence += "; " + " ".join(told(finding) for finding in grave)
    return _judged(rule, not grave, sentence, numbers)

"""The gate stage: reads the evaluation, writes the decision. A closed gate is an answer, not an error."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hazardline.errors import UserError
from hazardline.evaluate.bootstrap import paired_difference
from hazardline.evaluate.document import EVALUATION_NAME, Estimate, Evaluation
from hazardline.gate.config import GateConfig
from hazardline.gate.decide import Champion, decide
from hazardline.gate.document import CHAMPION_NAME, DECISION_NAME, ChampionNote
from hazardline.gate.policy import GatePolicy, NoRegressionRule, read_policy
from hazardline.progress import Reporter
from hazardline.tables import CLIP_SCORES, read_table


def run(config: GateConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    """Judge the candidate in `inputs["evaluate"]`, where given against the champion in `inputs["champion"]`.

    Returns:
        `passed`, the policy, the champion's version, and every reason as `{kind, metric, passed, sentence}`.

    Raises:
        UserError: the policy or an input cannot be read.
    """
    policy = read_policy(config.policy)
    evaluation = Evaluation.read(inputs["evaluate"] / EVALUATION_NAME)
    champion = _read_champion(policy, evaluation, inputs["evaluate"], inputs.get("champion"))
    decision = decide(policy, evaluation, champion)
    decision.write(out / DECISION_NAME)
    for reason in decision.reasons:
        if not reason.passed:
            reporter.note(reason.sentence)
    reporter.note(f"the gate is {'open' if decision.passed else 'closed'} ({policy.name})")
    return {
        "passed": decision.passed,
        "policy": {"name": policy.name, "digest": decision.policy_digest},
        "champion_version": decision.champion_version,
        "reasons": [
            {
                "kind": reason.rule.kind,
                "metric": getattr(reason.rule, "metric", None),
                "passed": reason.passed,
                "sentence": reason.sentence,
            }
            for reason in decision.reasons
        ],
    }


def _read_champion(
    policy: GatePolicy, evaluation: Evaluation, candidate_folder: Path, folder: Path | None
) -> Champion | None:
    if folder is None:
        return None
    note = ChampionNote.read(folder / CHAMPION_NAME)
    if note.model_version is None:
        return None
    champion = Evaluation.read(folder / EVALUATION_NAME)
    differences: dict[str, Estimate | str] = {}
    if champion.identity.test_data_digest == evaluation.identity.test_data_digest:
        differences = _differences(policy, candidate_folder, folder, evaluation.groups)
    return Champion(note.model_version, champion, differences)


def _differences(
    policy: GatePolicy, candidate_folder: Path, champion_folder: Path, groups: Mapping[str, str]
) -> dict[str, Estimate | str]:
    """Candidate minus champion of every metric that the policy guards, or why it cannot be told."""
    ours = _candidate_scores(candidate_folder)
    theirs = _candidate_scores(champion_folder)
    found: dict[str, Estimate | str] = {}
    for metric in {rule.metric: None for rule in policy.rules if isinstance(rule, NoRegressionRule)}:
        try:
            found[metric] = paired_difference(ours, theirs, metric, policy.num_resamples, policy.seed, groups)
        except (UserError, ValueError) as error:
            found[metric] = f"no paired difference ({error})"
    return found


def _candidate_scores(folder: Path) -> list[dict[str, Any]]:
    """The scores per clip of the model that was the candidate of that evaluation."""
    return [row for row in read_table(CLIP_SCORES, folder) if row["model"] == "candidate"]

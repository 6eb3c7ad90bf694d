"""What a pipeline's user interface shows of a decision: its reasons as Markdown, its outcome as numbers."""

from pathlib import Path

from hazardline.files import write_atomic
from hazardline.gate.document import DECISION_NAME, Decision
from hazardline.markdown import as_table


def show(folder: Path, summary: Path) -> dict[str, float]:
    """Write a decision as Markdown.

    Args:
        folder: what the gate stage wrote.
        summary: where the Markdown goes.

    Returns:
        `passed` (1 or 0), `rules` and `rules_failed`.
    """
    decision = Decision.read(folder / DECISION_NAME)
    write_atomic(summary, summary_text(decision).encode())
    failed = sum(not reason.passed for reason in decision.reasons)
    return {"passed": float(decision.passed), "rules": len(decision.reasons), "rules_failed": failed}


def summary_text(decision: Decision) -> str:
    """The decision, whom it was taken against, and every rule with its numbers; failed rules first."""
    champion = decision.champion_version
    against = f"the champion was version {champion}" if champion is not None else "there was no champion"
    reasons = sorted(decision.reasons, key=lambda reason: reason.passed)
    rows = (
        [
            "passed" if reason.passed else "failed",
            reason.rule.kind,
            reason.sentence,
            ", ".join(f"{name} {value:.4g}" for name, value in reason.numbers.items()),
        ]
        for reason in reasons
    )
    head = f"# The gate is {'open' if decision.passed else 'closed'}\n\nPolicy `{decision.policy_name}`; {against}.\n\n"
    return head + as_table(["rule", "kind", "what came of it", "numbers"], rows)

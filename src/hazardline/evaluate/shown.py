"""What a pipeline's user interface shows of an evaluation, beside the report: a summary, scores, a confusion matrix."""

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hazardline.evaluate.document import EVALUATION_NAME, REPORT_NAME, Estimate, Evaluation, main_metrics
from hazardline.files import write_atomic
from hazardline.hazardnet import CLASSIFICATION, parse_classification
from hazardline.markdown import as_table
from hazardline.split.findings import at_least
from hazardline.suites import Suite, suite_of
from hazardline.tables import PREDICTIONS, read_table
from hazardline.tasks import parse_recognition

YES, NO, NOTHING = "Yes", "No", "no answer"


@dataclass(frozen=True)
class Shown:
    """What is shown as numbers."""

    scores: dict[str, float]
    """The candidate's main metrics, and their intervals' ends under `<metric>_low` and `_high`."""
    classes: list[str]
    """What the key question can be answered with; rows of the matrix are the truth, columns the candidate's answer."""
    matrix: list[list[int]]


def show(folder: Path, report: Path, summary: Path) -> Shown:
    """Copy an evaluation's report, write its summary as Markdown, and return its numbers.

    Args:
        folder: what the evaluate stage wrote.
        report: where the HTML report goes.
        summary: where the Markdown goes.
    """
    evaluation = Evaluation.read(folder / EVALUATION_NAME)
    suite = suite_of(evaluation.identity.prompt_version)
    rows = [row for row in read_table(PREDICTIONS, folder) if row["model"] == "candidate"]
    classes, matrix = confusion(suite, rows)
    shutil.copyfile(folder / REPORT_NAME, report)
    write_atomic(summary, summary_text(evaluation).encode())
    return Shown(main_scores(evaluation), classes, matrix)


def summary_text(evaluation: Evaluation) -> str:
    """The main scores of all models with their intervals, and what they are scores of."""
    models = list(evaluation.metrics)
    names = main_metrics(evaluation.metrics.get("candidate", {}))
    scores = as_table(
        ["metric", *models],
        ([name, *(_cell(evaluation.metrics[model].get(name)) for model in models)] for name in names),
    )
    identity = evaluation.identity
    digests = {"base": identity.base_digest, "test data": identity.test_data_digest, "code": identity.code_commit}
    digests |= {f"adapter {name}": digest for name, digest in identity.adapters_digest.items()}
    parts = [
        "# Evaluation",
        f"{evaluation.num_test_clips} test clips, prompts `{identity.prompt_version}`; 95 % intervals in brackets.",
        scores,
        _leakage(evaluation),
        as_table(["digest of", "first 12 digits"], ([name, digest[:12]] for name, digest in digests.items())),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def main_scores(evaluation: Evaluation) -> dict[str, float]:
    """The candidate's main metrics with the ends of their intervals."""
    found = evaluation.metrics.get("candidate", {})
    scores: dict[str, float] = {"test_clips": evaluation.num_test_clips}
    for name in main_metrics(found):
        if name in found:
            scores |= {name: found[name].value, f"{name}_low": found[name].low, f"{name}_high": found[name].high}
    return scores


def confusion(suite: Suite, rows: Iterable[Mapping[str, Any]]) -> tuple[list[str], list[list[int]]]:
    """True against given answers to the suite's key question, over rows of one model's predictions.

    An answer that says neither yes nor no is a class of its own, where there is one.
    """
    counts = Counter(
        (_said(suite, row["reference"]), _said(suite, row["prediction"]))
        for row in rows
        if row["task"] == suite.key_task
    )
    classes = [YES, NO, *([NOTHING] if any(NOTHING in pair for pair in counts) else [])]
    return classes, [[counts[true, given] for given in classes] for true in classes]


def _said(suite: Suite, answer: str) -> str:
    parsed = parse_classification(answer) if suite.key_task == CLASSIFICATION else parse_recognition(answer)
    if parsed is None:
        return NOTHING
    return YES if suite.says_yes(answer) else NO


def _cell(found: Estimate | None) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})" if found is not None else "-"


def _leakage(evaluation: Evaluation) -> str:
    if evaluation.leakage is None:
        return ""
    told = at_least(evaluation.leakage.findings, "warning")
    if not told:
        return "The split's audit found nothing that takes from these scores."
    return "What the split's audit found:\n\n" + as_table(
        ["severity", "finding", "what was measured"], ([item.severity, item.name, item.sentence] for item in told)
    )

"""What the leakage audit finds: a severity, the numbers, and what to do about it."""

from collections.abc import Iterable, Mapping
from typing import Literal

from hazardline.documents import Document

Severity = Literal["info", "warning", "serious", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "serious", "critical")

FindingName = Literal[
    "source_against_label",
    "technical_features",
    "cheap_features",
    "test_near_train",
    "near_duplicates",
    "label_noise",
    "class_balance",
    "strata_without_test",
    "published_split",
    "too_few_clips",
    "one_label",
]


class Finding(Document):
    """One thing that was looked at. `info`: nothing to mend; `critical`: no score on this data means anything."""

    name: FindingName
    severity: Severity
    sentence: str
    """What was measured, and what came out."""
    is_measured: bool
    """False where there is too little to say anything: that is not the same as nothing found."""
    effect: float | None
    """The number that decides; the sentence says which it is."""
    low: float | None
    """95 % interval of it, by bootstrap over groups."""
    high: float | None
    numbers: dict[str, float]
    """Counts, and further numbers by name."""
    remedy: str
    """What to do, in one sentence; empty where there is nothing to do."""


def rank(severity: Severity) -> int:
    """0 for info to 3 for critical."""
    return SEVERITIES.index(severity)


def worst(severities: Iterable[Severity]) -> Severity:
    """The gravest; info where there is none."""
    return max(severities, key=rank, default="info")


def at_least(findings: Iterable[Finding], severity: Severity) -> list[Finding]:
    """The findings of that severity or a graver one, the gravest first."""
    grave = [finding for finding in findings if rank(finding.severity) >= rank(severity)]
    return sorted(grave, key=lambda finding: -rank(finding.severity))


def told(finding: Finding) -> str:
    """One line: `critical: source_against_label: ... Remedy: ...`."""
    remedy = f" Remedy: {finding.remedy}" if finding.remedy else ""
    return f"{finding.severity}: {finding.name}: {finding.sentence}{remedy}"


def refusal(findings: Iterable[Finding], severity: Severity) -> str:
    """Why a split is refused: every finding that is too grave, with its remedy."""
    grave = at_least(findings, severity)
    lines = "\n  ".join(told(finding) for finding in grave)
    return (
        f"split: the audit refuses this data set ({len(grave)} findings of severity {severity} or graver, "
        f"refuse_severity):\n  {lines}"
    )


def found(
    name: FindingName,
    severity: Severity,
    sentence: str,
    numbers: Mapping[str, float],
    remedy: str = "",
    estimate: tuple[float | None, float | None, float | None] = (None, None, None),
) -> Finding:
    """A finding that was measured; the remedy of an `info` is left out."""
    return Finding(
        name=name,
        severity=severity,
        sentence=sentence,
        is_measured=True,
        effect=_rounded(estimate[0]),
        low=_rounded(estimate[1]),
        high=_rounded(estimate[2]),
        numbers={key: round(float(value), 4) for key, value in numbers.items()},
        remedy="" if severity == "info" else remedy,
    )


def not_measured(name: FindingName, severity: Severity, sentence: str, numbers: Mapping[str, float]) -> Finding:
    """A finding that there is too little data for."""
    return Finding(
        name=name,
        severity=severity,
        sentence=f"Not measured: {sentence}",
        is_measured=False,
        effect=None,
        low=None,
        high=None,
        numbers=dict(numbers),
        remedy="Bring more clips; until then nothing is known, which is not the same as nothing found.",
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None or value != value else round(value, 4)

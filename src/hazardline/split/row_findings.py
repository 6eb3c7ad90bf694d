"""From the audit's rows to findings: what the classifiers say, and where they could not be asked."""

from collections.abc import Sequence

from hazardline.split.findings import Finding, Severity, found, not_measured, worst
from hazardline.split.leakage import MIN_CLIPS, NUM_FOLDS, FeatureName, LeakageRow

NEARLY_PERFECT = 0.95
SEES_THE_EVENT: frozenset[FeatureName] = frozenset({"clip_colour", "motion_energy"})
"""A collision moves and brakes: what these say of the label is no proof of a leak."""
_REMEDY_TECHNICAL = (
    "Re-encode every clip alike (hazardline countermeasure normalise), ingest that folder, and look at this again."
)
_REMEDY_CHEAP = "Balance the clips of each label in these features, or leave out the source that differs."


def row_findings(rows: Sequence[LeakageRow], limit_auc: float) -> list[Finding]:
    """Findings on technical features together, on cheap features one by one, and on what was not measured."""
    measured = [row for row in rows if row.verdict != "not_measured"]
    findings = [_technical([row for row in measured if row.feature == "technical"], limit_auc)] if measured else []
    findings += _cheap([row for row in measured if row.feature != "technical"], limit_auc)
    too_few = [row for row in rows if row.verdict == "not_measured" and row.feature == "technical"]
    if too_few:
        findings.append(_too_few(too_few, bool(measured)))
    return findings


def severity_of(row: LeakageRow, limit_auc: float) -> Severity:
    """By the low end of the interval."""
    if row.low is None or row.low <= limit_auc:
        return "info"
    if row.feature in SEES_THE_EVENT:
        return "warning"
    return "critical" if row.low > NEARLY_PERFECT else "serious"


def _strongest(rows: Sequence[LeakageRow]) -> LeakageRow:
    return max(rows, key=lambda row: row.low or 0.0)


def _shown(row: LeakageRow) -> str:
    return f"{row.feature} {row.comparison} AUC {row.auc} [{row.low}, {row.high}]"


def _counts(row: LeakageRow) -> dict[str, float]:
    return {"num_crash": row.num_crash, "num_other": row.num_other, "num_groups": row.num_groups}


def _technical(rows: Sequence[LeakageRow], limit_auc: float) -> Finding:
    row = _strongest(rows)
    sentence = (
        f"{_shown(row)}: one classifier over codec, frame size, rate, length, file size, bit rate and the first "
        f"frame's colour, held out by group; the limit is {limit_auc}."
    )
    severity = worst(severity_of(row, limit_auc) for row in rows)
    return found(
        "technical_features", severity, sentence, _counts(row), _REMEDY_TECHNICAL, (row.auc, row.low, row.high)
    )


def _cheap(rows: Sequence[LeakageRow], limit_auc: float) -> list[Finding]:
    leaking = [row for row in rows if row.verdict == "leaks"]
    if not leaking:
        if not rows:
            return []
        row = _strongest(rows)
        sentence = f"None of {len(rows)} rows leaks the label (limit {limit_auc}); the strongest is {_shown(row)}."
        return [found("cheap_features", "info", sentence, _counts(row), "", (row.auc, row.low, row.high))]
    findings = []
    for feature in dict.fromkeys(row.feature for row in leaking):
        row = _strongest([row for row in leaking if row.feature == feature])
        remedy = _REMEDY_CHEAP if feature in {*SEES_THE_EVENT, "first_frame_colour"} else _REMEDY_TECHNICAL
        sentence = f"{_shown(row)}: this alone tells the label; the limit is {limit_auc}."
        estimate = row.auc, row.low, row.high
        findings.append(found("cheap_features", severity_of(row, limit_auc), sentence, _counts(row), remedy, estimate))
    return findings


def _too_few(rows: Sequence[LeakageRow], is_partial: bool) -> Finding:
    listed = "; ".join(f"{row.comparison} ({row.num_crash} and {row.num_other} clips)" for row in rows)
    sentence = f"{listed}: to audit one takes {MIN_CLIPS} clips in {NUM_FOLDS} groups of each side."
    severity: Severity = "warning" if is_partial else "serious"
    return not_measured("too_few_clips", severity, sentence, {"num_comparisons": float(len(rows))})

"""Evaluations of made-up models that answer made-up clips: real documents and tables, known numbers."""

from typing import Any

from hazardline.evaluate.document import Estimate, Evaluation, Identity, LeakageNote, SliceEstimate
from hazardline.split.findings import Severity, found

NUM_CLIPS = 60


def estimate(value: float, half: float = 0.04, n: int = 400) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half, n=n)


def identity(test_data_digest: str = "d" * 64) -> Identity:
    return Identity(
        base_digest="b" * 64,
        adapters_digest={"linguistic": "1" * 64, "perception": "2" * 64},
        test_data_digest=test_data_digest,
        layout_digest="e" * 64,
        prompt_version="crashchat-short@1",
        code_commit="0" * 40,
    )


GOOD: dict[str, dict[str, Estimate]] = {
    "candidate": {
        "recognition_macro_f1": estimate(0.78),
        "near_miss_auc": estimate(0.81),
        "crash_miou": estimate(0.45),
        "pre_crash_score": estimate(0.40),
        "description_family_accuracy": estimate(0.62),
    },
    "constant": {
        "recognition_macro_f1": estimate(0.34),
        "crash_miou": estimate(0.26),
        "pre_crash_score": estimate(0.30),
        "description_family_accuracy": estimate(0.20),
    },
    "base": {"recognition_macro_f1": estimate(0.41), "crash_miou": estimate(0.05)},
}

SLICES = [
    *(
        SliceEstimate(dimension="weather", value=value, metric="recognition_macro_f1", estimate=estimate(score, n=80))
        for value, score in [("sunny", 0.80), ("rainy", 0.76), ("snowy", 0.74), ("foggy", 0.70)]
    ),
    *(
        SliceEstimate(dimension="light", value=value, metric="recognition_macro_f1", estimate=estimate(score, n=150))
        for value, score in [("day", 0.80), ("night", 0.72)]
    ),
    *(
        SliceEstimate(dimension="negatives", value=kind, metric="recognition_macro_f1", estimate=estimate(score, n=300))
        for kind, score in [("crash and near miss", 0.70), ("crash and normal", 0.85)]
    ),
    SliceEstimate(dimension="scenario", value="rear_end", metric="recognition_accuracy", estimate=estimate(0.75, n=50)),
    SliceEstimate(dimension="scenario", value="head_on", metric="recognition_accuracy", estimate=estimate(0.30, n=12)),
]


def leakage(severity: Severity) -> LeakageNote:
    finding = found("source_against_label", severity, "Cramer's V 0.95 [0.93, 0.97].", {"num_clips": 400}, "Add some.")
    return LeakageNote(audit_digest="f" * 64, findings=[finding])


def evaluation(**changes: Any) -> Evaluation:
    """A candidate that passes the pocket policy, with some fields changed."""
    fields: dict[str, Any] = {
        "identity": identity(),
        "num_test_clips": 400,
        "counts": {"clips": 400},
        "metrics": GOOD,
        "slices": SLICES,
        "leakage": leakage("warning"),
    }
    return Evaluation(**(fields | changes))


def clip_scores(num_wrong: int, metric: str = "recognition_macro_f1", clips: int = NUM_CLIPS) -> list[dict[str, Any]]:
    """Recognition of clips, every second of them a crash, the first `num_wrong` answered wrongly."""
    rows = []
    for number in range(clips):
        target = float(number % 2)
        value = 1.0 - target if number < num_wrong else target
        row = {"clip_id": f"clip_{number:03}", "metric": metric, "target": target, "value": value}
        rows.append(row | {"model": "candidate"})
        rows.append(row | {"model": "base", "value": 0.0})
    return rows

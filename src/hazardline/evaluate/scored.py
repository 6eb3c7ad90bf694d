"""The names of the metrics (a contract with the gate and the summary) and how each is computed from its clip scores.

A row of the clip scores table belongs to one model, one clip and one metric name. The corpus scores BLEU and sacreBLEU
have no value of a clip and so no rows there; they are computed from counts (`hazardline.evaluate.text`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from hazardline.evaluate import scores
from hazardline.evaluate.scores import WeightedScore
from hazardline.tasks import Task

TEXTS: dict[str, Task] = {
    "description": "crash_description",
    "cause": "cause_reasoning",
    "prevention": "prevention_reasoning",
}
"""The text tasks by the short name that their metrics carry."""


@dataclass(frozen=True)
class MetricInfo:
    """How a metric is computed and what it means."""

    score: WeightedScore
    is_stratified: bool
    """Whether the bootstrap keeps the number of clips of each target (two-class metrics)."""
    explanation: str
    lower_is_better: bool = False


_ALL = "All test clips."
_CRASH = "Crashes only."


def _recognition() -> dict[str, MetricInfo]:
    return {
        "recognition_macro_f1": MetricInfo(
            scores.macro_f1, True, f"{_ALL} Mean of the F1 of crash and of no crash; unparsable is wrong."
        ),
        "recognition_binary_f1": MetricInfo(
            scores.binary_f1, True, f"{_ALL} F1 of the class crash; unparsable is wrong."
        ),
        "recognition_accuracy": MetricInfo(
            scores.accuracy, False, f"{_ALL} Share of right Yes and No; unparsable is wrong."
        ),
        "near_miss_auc": MetricInfo(
            scores.roc_auc,
            True,
            "Chance that a crash gets higher log-odds of Yes than a near miss; .5 is guessing.",
        ),
        "normal_auc": MetricInfo(scores.roc_auc, True, "The same, crash against normal driving; .5 is guessing."),
    }


def _times() -> dict[str, MetricInfo]:
    routed = "Crashes only, asked only where recognition said Yes; a missed crash counts 0."
    pre_crash = "CrashChat's score of the pre-crash moment: 1 up to 0.5 s early, falling to 0 at the crash, else 0."
    found = {
        "crash_miou": MetricInfo(
            scores.mean, False, f"{_CRASH} Mean overlap (IoU) of the predicted with the true crash interval."
        ),
        "crash_miou_two_pass": MetricInfo(scores.mean, False, f"{routed} Mean IoU end to end."),
        "pre_crash_score": MetricInfo(scores.mean, False, f"{_CRASH} {pre_crash}"),
        "pre_crash_score_two_pass": MetricInfo(scores.mean, False, f"{routed} {pre_crash}"),
        "tta_abs_error_s": MetricInfo(
            scores.mean,
            False,
            f"{_CRASH} Mean error of the time from the pre-crash moment to the crash, seconds; lower is better.",
            lower_is_better=True,
        ),
    }
    for name, threshold in scores.IOU_THRESHOLDS.items():
        found[name] = MetricInfo(scores.mean, False, f"{_CRASH} Share of crashes with an IoU of {threshold} or more.")
    return found


def _texts() -> dict[str, MetricInfo]:
    found = {
        "description_family_accuracy": MetricInfo(
            scores.mean, False, f"{_CRASH} Share of descriptions that tell the right kind of accident."
        )
    }
    for text in TEXTS:
        found[f"{text}_canonical_macro_f1"] = MetricInfo(
            scores.class_macro_f1, False, f"{_ALL} Mean F1 over the distinct right answers; wording must match one."
        )
        for name in ("rouge1", "rouge2", "rougeL"):
            label = name.replace("rouge", "ROUGE-")
            found[f"{text}_{name}"] = MetricInfo(scores.mean, False, f"{_ALL} {label} F-measure, stemmed.")
        found[f"{text}_positive_rougeL"] = MetricInfo(scores.mean, False, f"{_CRASH} ROUGE-L F-measure, stemmed.")
    return found


CLIP_METRICS: dict[str, MetricInfo] = {**_recognition(), **_times(), **_texts()}
"""The metrics that are computed from clip scores."""

CORPUS_METRICS: dict[str, str] = {
    name: explanation
    for text in TEXTS
    for name, explanation in (
        (f"{text}_bleu4", f"{_ALL} Corpus BLEU-4 as in CrashChat (NLTK, smoothing method 1)."),
        (f"{text}_sacrebleu", f"{_ALL} sacreBLEU, divided by 100."),
        (f"{text}_positive_bleu4", f"{_CRASH} Corpus BLEU-4 as in CrashChat (NLTK, smoothing method 1)."),
    )
}
"""The metrics of a whole corpus of texts, with their explanation."""

METRIC_NAMES: tuple[str, ...] = (*CLIP_METRICS, *CORPUS_METRICS)


def explanation(name: str) -> str:
    """One sentence that says what a metric measures, and on which clips."""
    return CLIP_METRICS[name].explanation if name in CLIP_METRICS else CORPUS_METRICS[name]


Resampled = Callable[[scores.Array], scores.Array]
"""Bootstrap weights (r, n) -> (r,)."""

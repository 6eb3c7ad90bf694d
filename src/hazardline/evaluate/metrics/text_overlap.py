"""Overlap of free text with its reference: BLEU-4, ROUGE and sacreBLEU."""

from collections.abc import Sequence

import evaluate

from hazardline.evaluate import text
from hazardline.evaluate.metrics.base import LocalMetric, text_info


class TextOverlapMetric(LocalMetric):
    """CrashChat's corpus BLEU-4 and ROUGE, and sacreBLEU, from 0 to 1; an empty answer counts as an empty answer."""

    def _info(self) -> evaluate.MetricInfo:
        return text_info(
            "Corpus BLEU-4 (NLTK, tokens separated by blanks, smoothing method 1), ROUGE-1/2/L F-measure (stemmed) and "
            "sacreBLEU divided by 100.",
            "predictions: texts; references: one text each.",
            {"predictions": "string", "references": "string"},
        )

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        bleu = text.bleu_counts(predictions, references).sum(axis=0, keepdims=True)
        sacrebleu = text.sacrebleu_counts(predictions, references).sum(axis=0, keepdims=True)
        rouge = text.rouge(predictions, references)
        return {
            "bleu4": float(text.bleu4(bleu)[0]),
            **{name: float(values.mean()) for name, values in rouge.items()},
            "sacrebleu": float(text.sacrebleu(sacrebleu)[0]),
            "num_empty": sum(not answer.strip() for answer in predictions),
        }

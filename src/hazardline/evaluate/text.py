"""Overlap of texts, from 0 to 1: BLEU-4 as CrashChat computes it (NLTK), ROUGE-1/2/L (stemmed), sacreBLEU.

The two BLEUs are scores of a corpus, not means over clips. Each clip therefore gets a row of counts, a bootstrap
resample adds the rows up, and the score is computed from the sums: exactly what the libraries do with the same texts.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from hazardline.evaluate.scores import Array

MAX_ORDER = 4
ROUGE_TYPES = ("rouge1", "rouge2", "rougeL")
_METHOD_1_EPSILON = 0.1  # NLTK's SmoothingFunction default


def bleu_counts(predictions: Sequence[str], references: Sequence[str]) -> Array:
    """Counts of NLTK's corpus BLEU, a clip a row: matches of order 1-4, n-grams of order 1-4, both lengths.

    Tokens are separated by blanks, as in CrashChat's script. An empty answer counts as an empty answer.
    """
    from nltk.translate.bleu_score import closest_ref_length, modified_precision

    rows = np.zeros((len(predictions), 2 * MAX_ORDER + 2))
    for row, prediction, reference in zip(rows, predictions, references, strict=True):
        tokens, true_tokens = prediction.split(), reference.split()
        for order in range(1, MAX_ORDER + 1):
            precision = modified_precision([true_tokens], tokens, order)
            row[order - 1] = precision.numerator
            row[MAX_ORDER + order - 1] = precision.denominator
        row[-2:] = len(tokens), closest_ref_length([true_tokens], len(tokens))
    return rows


def bleu4(counts: Array) -> Array:
    """NLTK's corpus BLEU-4 with smoothing method 1 from summed counts: (r, 10) -> (r,)."""
    matches, total = counts[:, :MAX_ORDER], counts[:, MAX_ORDER : 2 * MAX_ORDER]
    smoothed = np.where(matches == 0, _METHOD_1_EPSILON, matches) / np.maximum(total, 1)
    length, true_length = counts[:, -2], counts[:, -1]
    penalty = np.where(length > true_length, 1.0, np.exp(np.minimum(0.0, 1.0 - true_length / np.maximum(length, 1))))
    score = penalty * np.exp(np.log(smoothed).mean(axis=1))
    return np.asarray(np.where(matches[:, 0] == 0, 0.0, score))


@cache
def _sacrebleu() -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU()


def sacrebleu_signature() -> str:
    """SacreBLEU's own statement of tokenizer, case, smoothing and version; known after the first score."""
    metric = _sacrebleu()
    metric.corpus_score(["a"], [["a"]])
    return str(metric.get_signature())


def sacrebleu_counts(predictions: Sequence[str], references: Sequence[str]) -> Array:
    """Counts of sacreBLEU (13a tokenizer), a clip a row: both lengths, matches and n-grams of order 1-4."""
    rows = _sacrebleu()._extract_corpus_statistics(list(predictions), [list(references)])
    return np.asarray(rows, dtype=np.float64)


def sacrebleu(counts: Array) -> Array:
    """SacreBLEU from summed counts, divided by 100: (r, 10) -> (r,)."""
    metric = _sacrebleu()
    sums = counts.astype(np.int64).tolist()
    return np.array([metric._compute_score_from_stats(row).score / 100.0 for row in sums])


@cache
def _rouge_scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(ROUGE_TYPES), use_stemmer=True)


@cache
def _rouge_pair(reference: str, prediction: str) -> tuple[float, ...]:
    scores = _rouge_scorer().score(reference, prediction)
    return tuple(float(scores[name].fmeasure) for name in ROUGE_TYPES)


def rouge(predictions: Sequence[str], references: Sequence[str]) -> dict[str, Array]:
    """ROUGE F-measures of each clip, with Porter stemming: name -> (n,)."""
    pairs = zip(references, predictions, strict=True)
    rows = np.array([_rouge_pair(reference, prediction) for reference, prediction in pairs])
    return {name: rows[:, column] for column, name in enumerate(ROUGE_TYPES)} if len(rows) else {}


def normalised(text: str) -> str:
    """A text as it is compared with canonical answers: lower case, single blanks, no outer blanks or full stop."""
    return " ".join(text.lower().split()).rstrip(". ")

import numpy as np
import pytest
from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import corpus_bleu as sacre_corpus_bleu

from hazardline.evaluate import text

REFERENCES = [
    "ego-car hits a pedestrian on the crossing.",
    "The driver followed the car ahead too closely and braked late.",
    "No accident, no cause.",
    "Drivers should slow down. They should keep a safe distance.",
    "car hits a truck.",
]
PREDICTIONS = [
    "ego-car hits a cyclist on the crossing.",
    "The driver of the car ahead braked late.",
    "No accident, no cause.",
    "",
    "truck a hits car.",
]


def nltk_bleu(predictions, references):
    return corpus_bleu(
        [[reference.split()] for reference in references],
        [prediction.split() for prediction in predictions],
        smoothing_function=SmoothingFunction().method1,
    )


def summed(counts):
    return counts.sum(axis=0, keepdims=True)


@pytest.mark.parametrize("rows", [[0], [1], [4], [0, 1, 2, 3, 4], [3], [3, 4]])
def test_bleu4_is_nltks(rows):
    predictions, references = [PREDICTIONS[row] for row in rows], [REFERENCES[row] for row in rows]
    found = text.bleu4(summed(text.bleu_counts(predictions, references)))[0]
    assert found == pytest.approx(nltk_bleu(predictions, references), abs=1e-12)


def test_bleu4_by_hand():
    """3 of 4 words, 1 of 3 pairs, no triple of 2, no quadruple of 1; smoothing 0.1; no brevity penalty."""
    found = text.bleu4(summed(text.bleu_counts(["a b x d"], ["a b c d"])))[0]
    assert found == pytest.approx((3 / 4 * 1 / 3 * 0.1 / 2 * 0.1 / 1) ** 0.25)


def test_an_empty_answer_lowers_bleu_by_its_length():
    with_empty = text.bleu4(summed(text.bleu_counts(["a b c d", ""], ["a b c d", "a b c d"])))[0]
    assert with_empty == pytest.approx(nltk_bleu(["a b c d", ""], ["a b c d", "a b c d"]))
    # NLTK counts one missing n-gram of each order for the empty answer, and the brevity penalty of half the length
    assert with_empty == pytest.approx(np.exp(1 - 8 / 4) * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)


def test_a_right_answer_of_two_words_does_not_reach_bleu_1():
    """NLTK counts one missing n-gram of every order that a text is too short for; so does CrashChat's table."""
    assert text.bleu4(summed(text.bleu_counts(["no collision."], ["no collision."])))[0] == pytest.approx(0.1**0.5)


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4], [0, 1], [2]])
def test_sacrebleu_is_sacrebleus(rows):
    predictions, references = [PREDICTIONS[row] for row in rows], [REFERENCES[row] for row in rows]
    found = text.sacrebleu(summed(text.sacrebleu_counts(predictions, references)))[0]
    assert found == pytest.approx(sacre_corpus_bleu(predictions, [references]).score / 100)
    assert "tok:13a" in text.sacrebleu_signature()


def test_rouge_is_rouge_scores_with_stemming():
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    found = text.rouge(PREDICTIONS, REFERENCES)
    for name in text.ROUGE_TYPES:
        expected = [
            scorer.score(reference, prediction)[name].fmeasure
            for prediction, reference in zip(PREDICTIONS, REFERENCES, strict=True)
        ]
        assert np.allclose(found[name], expected)
    assert text.rouge(["cars crossing"], ["car crosses"])["rouge1"][0] == pytest.approx(1.0)
    assert found["rougeL"][3] == 0.0


def test_normalised_texts_ignore_case_blanks_and_a_final_stop():
    assert text.normalised("  Ego-car  hits a CAR. ") == text.normalised("ego-car hits a car") == "ego-car hits a car"

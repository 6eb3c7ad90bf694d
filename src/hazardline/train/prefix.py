"""A clip and its questions as token ids: what all samples of the clip have in common stands once.

Most tokens of a sample are its clip's, and a clip is asked five questions (CrashChat 5.23, HazardQA 5). A usual trainer
runs the language model over them once a question; here they run once a clip (docs/adr/0003).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from hazardline.vlm.media import Grid


@dataclass(frozen=True)
class Turn:
    """One question and its answer as token ids.

    Attributes:
        question: ids.
        answer: ids with the end token.
        weight: of the turn in `AnswerLosses.mean_over_turns`.
        token_weights: of the answer's tokens within the turn (default: equal); they are normalised to sum 1.
    """

    question: list[int]
    answer: list[int]
    weight: float = 1.0
    token_weights: tuple[float, ...] | None = None


@dataclass(frozen=True)
class ClipRow:
    """A clip (or an image) with its turns.

    Attributes:
        features: output of the frozen encoder for every placeholder of the prefix in order, (..., width).
        prefix: token ids with placeholders for the vision tokens.
        turns: at least one.
        grids: patches of each image or video of the prefix, where the model counts positions by them (M-RoPE).
    """

    features: Tensor
    prefix: list[int]
    turns: list[Turn] = field(default_factory=list)
    grids: tuple[Grid, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One question with its clip and its answer, tokenised as a whole.

    Attributes:
        ids: the whole conversation with placeholders for the vision tokens.
        answer_start: place of the first token of the answer; the answer goes on to the end.
    """

    ids: list[int]
    answer_start: int


def share_prefix(samples: Sequence[Sample]) -> tuple[list[int], list[Turn]]:
    """Divide the samples of one clip into what they have in common and the rest of each.

    The common part is the longest common run of *tokens* and not the text of the clip: a tokenizer may merge over the
    border. It ends before the first token that predicts an answer, because that token is another one in every sample.

    Raises:
        ValueError: there is no sample, or one has no answer or nothing before it.
    """
    if not samples or any(not 0 < sample.answer_start < len(sample.ids) for sample in samples):
        raise ValueError("expected at least one sample, each with a prompt and an answer")
    longest = min(sample.answer_start for sample in samples) - 1
    first = samples[0].ids
    length = 0
    while length < longest and all(sample.ids[length] == first[length] for sample in samples):
        length += 1
    turns = [Turn(sample.ids[length : sample.answer_start], sample.ids[sample.answer_start :]) for sample in samples]
    return first[:length], turns

"""Greedy answers to several questions about one clip on one prefix cache.

Questions and answers stand one behind another in the same cache, and a mask lets each see the prefix and itself. So
nothing is padded, the prefix is never copied, and the tokens are those of a separate call for each question.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hazardline.constrained import Constraint
from hazardline.device.decoder import Bools, Cache, Decoder, Floats, Ints

PREFILL_CHUNK = 512
"""Tokens of a prefix that run at once: bounds the memory of the attention scores."""

Embed = Callable[[Sequence[int]], Floats]
"""Token ids to embeddings (tokens, hidden size)."""


@dataclass(frozen=True)
class Generated:
    """One answer.

    Attributes:
        ids: tokens without the end token.
        first_logits: of its first token, (vocabulary,), whatever it was constrained to.
        margin: smallest lead of a chosen token over the next that was allowed; infinite where none ever was, None
            without a constraint.
    """

    ids: list[int]
    first_logits: Floats
    margin: float | None = None


def prefill(
    decoder: Decoder, branch: str | None, embeddings: Floats, positions: Ints, chunk: int = PREFILL_CHUNK
) -> Cache:
    """The cache of a prefix.

    Args:
        decoder: the decoder.
        branch: whose LoRA weights.
        embeddings: (tokens, hidden size).
        positions: (position axes, tokens), see `hazardline.vlm.places`.
        chunk: tokens that run at once.
    """
    cache = decoder.empty
    for start in range(0, len(embeddings), chunk):
        places = np.arange(start, min(start + chunk, len(embeddings)))
        visible = np.arange(places[-1] + 1)[None] <= places[:, None]
        _, cache = decoder.run(branch, embeddings[places], positions[:, places], visible, [len(places) - 1], cache)
    return cache


class _Suffixes:
    """Several token rows behind one prefix: who owns each cached token, and where each row stands."""

    def __init__(self, prefix: Cache) -> None:
        self.cache = prefix
        self._prefix = prefix
        self._owners = np.zeros(0, dtype=np.int64)
        self._lengths: dict[int, int] = {}

    def extend(self, rows: Sequence[tuple[int, Sequence[int]]]) -> tuple[list[int], Ints, Bools]:
        """Place new tokens of some rows; returns their ids, positions (1, tokens), and what each may see."""
        ids: list[int] = []
        positions: list[int] = []
        owners: list[int] = []
        for row, tokens in rows:
            begin = self._prefix.next_position + self._lengths.get(row, 0)
            ids += tokens
            positions += range(begin, begin + len(tokens))
            owners += [row] * len(tokens)
            self._lengths[row] = self._lengths.get(row, 0) + len(tokens)
        old = len(self._owners)
        self._owners = np.concatenate([self._owners, np.asarray(owners, dtype=np.int64)])
        own = self._owners[old:, None] == self._owners[None]
        own &= np.arange(len(self._owners))[None] <= np.arange(old, len(self._owners))[:, None]
        visible = np.concatenate([np.ones((len(ids), self._prefix.length), dtype=bool), own], axis=1)
        return ids, np.asarray(positions, dtype=np.int64)[None], visible


class _Choice:
    """Greedy choice of the tokens of one answer, under its constraint if it has one."""

    def __init__(self, constraint: Constraint | None) -> None:
        self._constraint = constraint
        self.margin = None if constraint is None else float("inf")

    def of(self, logits: Floats) -> int:
        """The next token, from logits (vocabulary,)."""
        if self._constraint is None or self.margin is None:
            return int(logits.argmax())
        allowed = np.flatnonzero(self._constraint.allowed())
        scores = logits[allowed]
        best = int(scores.argmax())
        if len(scores) > 1:
            self.margin = min(self.margin, float(scores[best] - np.delete(scores, best).max()))
        token = int(allowed[best])
        self._constraint.accept(token)
        return token


def generate(
    decoder: Decoder,
    branch: str | None,
    prefix: Cache,
    embed: Embed,
    questions: Sequence[Sequence[int]],
    max_new_tokens: Sequence[int],
    end_id: int,
    constraints: Sequence[Constraint | None] = (),
) -> list[Generated]:
    """Answer questions behind a prefix greedily, as `hazardline.vlm.generate` does.

    Args:
        decoder: the decoder.
        branch: whose LoRA weights; the prefix must have been made with the same.
        prefix: cache of the clip's prefix; it stays as it is.
        embed: token ids to embeddings.
        questions: ids of each question, none empty.
        max_new_tokens: limit for each answer.
        end_id: id that ends an answer.
        constraints: what each answer is decoded under, None for nothing; empty where none is. Used up.
    """
    if not questions:
        return []
    choices = [_Choice(constraint) for constraint in constraints or [None] * len(questions)]
    rows = _Suffixes(prefix)
    answers: list[list[int]] = [[] for _ in questions]
    new: list[tuple[int, Sequence[int]]] = list(enumerate(questions))
    first: Floats | None = None
    step = 0
    while new:
        ids, positions, visible = rows.extend(new)
        last = np.cumsum([len(tokens) for _, tokens in new]) - 1
        logits, rows.cache = decoder.run(branch, embed(ids), positions, visible, last.tolist(), rows.cache)
        first = logits if first is None else first
        chosen = [choices[row].of(scores) for (row, _), scores in zip(new, logits, strict=True)]
        step += 1
        again: list[tuple[int, Sequence[int]]] = []
        for (row, _), token in zip(new, chosen, strict=True):
            if token == end_id:
                continue
            answers[row].append(token)
            if step < max_new_tokens[row]:
                again.append((row, [token]))
        new = again
    assert first is not None
    return [Generated(answer, first[row], choices[row].margin) for row, answer in enumerate(answers)]


def forced_logits(
    decoder: Decoder,
    branch: str | None,
    prefix: Cache,
    embed: Embed,
    turns: Sequence[tuple[Sequence[int], Sequence[int]]],
) -> list[npt.NDArray[np.float32]]:
    """Logits (answer tokens, vocabulary) that predict each token of given answers (teacher forcing).

    Args:
        decoder: the decoder.
        branch: whose LoRA weights.
        prefix: cache of the clip's prefix.
        embed: token ids to embeddings.
        turns: ids of each question and of its answer, the answer with its end token.
    """
    rows = _Suffixes(prefix)
    ids, positions, visible = rows.extend([(row, [*question, *answer]) for row, (question, answer) in enumerate(turns)])
    wanted: list[int] = []
    start = 0
    for question, answer in turns:
        begin = start + len(question) - 1
        wanted += range(begin, begin + len(answer))
        start += len(question) + len(answer)
    logits, _ = decoder.run(branch, embed(ids), positions, visible, wanted, prefix)
    ends = np.cumsum([len(answer) for _, answer in turns])
    return np.split(logits, ends[:-1])

"""Greedy answers to several questions about one clip on one prefix cache.

Questions and answers stand one behind another in the same cache, and a mask lets each see the prefix and itself. So
nothing is padded, the prefix is never copied, and the tokens are those of a separate call for each question.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hazardline.device.decoder import Bools, Cache, Decoder, Floats, Ints

PREFILL_CHUNK = 512
"""Tokens of a prefix that run at once: bounds the memory of the attention scores."""

Embed = Callable[[Sequence[int]], Floats]
"""Token ids to embeddings (tokens, hidden size)."""


@dataclass(frozen=True)
class Generated:
    """Token ids of one answer without the end token, and the logits (vocabulary,) of its first token."""

    ids: list[int]
    first_logits: Floats


def prefill(decoder: Decoder, branch: str | None, embeddings: Floats, chunk: int = PREFILL_CHUNK) -> Cache:
    """The cache of a prefix (tokens, hidden size)."""
    cache = decoder.empty
    for start in range(0, len(embeddings), chunk):
        part = embeddings[start : start + chunk]
        positions = np.arange(start, start + len(part), dtype=np.int64)
        visible = np.arange(start + len(part))[None] <= positions[:, None]
        _, cache = decoder.run(branch, part, positions, visible, [len(part) - 1], cache)
    return cache


class _Suffixes:
    """Several token rows behind one prefix: who owns each cached token, and where each row stands."""

    def __init__(self, prefix: Cache) -> None:
        self.cache = prefix
        self._prefix_length = prefix.length
        self._owners = np.zeros(0, dtype=np.int64)
        self._lengths: dict[int, int] = {}

    def extend(self, rows: Sequence[tuple[int, Sequence[int]]]) -> tuple[list[int], Ints, Bools]:
        """Place new tokens of some rows; returns their ids, positions, and what each may see."""
        ids: list[int] = []
        positions: list[int] = []
        owners: list[int] = []
        for row, tokens in rows:
            begin = self._prefix_length + self._lengths.get(row, 0)
            ids += tokens
            positions += range(begin, begin + len(tokens))
            owners += [row] * len(tokens)
            self._lengths[row] = self._lengths.get(row, 0) + len(tokens)
        old = len(self._owners)
        self._owners = np.concatenate([self._owners, np.asarray(owners, dtype=np.int64)])
        own = self._owners[old:, None] == self._owners[None]
        own &= np.arange(len(self._owners))[None] <= np.arange(old, len(self._owners))[:, None]
        visible = np.concatenate([np.ones((len(ids), self._prefix_length), dtype=bool), own], axis=1)
        return ids, np.asarray(positions, dtype=np.int64), visible


def generate(
    decoder: Decoder,
    branch: str | None,
    prefix: Cache,
    embed: Embed,
    questions: Sequence[Sequence[int]],
    max_new_tokens: Sequence[int],
    end_id: int,
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
    """
    if not questions:
        return []
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
        chosen = logits.argmax(axis=-1).tolist()
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
    return [Generated(answer, first[row]) for row, answer in enumerate(answers)]


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

"""Greedy answers to several questions about one clip, its prefix computed once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from hazardline.constrained import Constraint
from hazardline.vlm.family import family_of
from hazardline.vlm.media import Grid
from hazardline.vlm.model import core_model, embed, text_attention


@dataclass(frozen=True)
class Generated:
    """Token ids of one answer without the end token, and the logits (vocabulary,) of its first token."""

    ids: list[int]
    first_logits: Tensor


@torch.inference_mode()
def answer(
    model: nn.Module,
    prefix: list[int],
    features: Tensor,
    questions: Sequence[list[int]],
    max_new_tokens: Sequence[int],
    end_id: int,
    grids: Sequence[Grid] = (),
    constraints: Sequence[Constraint | None] = (),
) -> list[Generated]:
    """Answer questions about one clip greedily; the same tokens as a separate `generate` call for each question.

    The prefix cache is repeated over the questions, which are decoded as one left-padded batch.

    Args:
        model: base or PEFT model in evaluation mode, the wanted branch active.
        prefix: ids of the clip's prefix.
        features: encoder output (frames, tokens, vision hidden size).
        questions: ids of each question.
        max_new_tokens: limit for each answer.
        end_id: id that ends an answer.
        grids: patches of each image or video of the prefix, where the model counts positions by them (M-RoPE).
        constraints: what each answer is decoded under, None for nothing; empty where none is. Used up.
    """
    if not questions:
        return []
    core = core_model(model)
    language = core.model.language_model
    with text_attention(model, "sdpa"):
        cache = DynamicCache(config=language.config)
        embeddings = embed(model, torch.tensor(prefix), features)
        longest = max(len(question) for question in questions)
        # a question's own tokens do not matter: text is counted one by one from where the prefix lets it begin
        native = family_of(core).positions(core, [*prefix, *max(questions, key=len)], grids)
        language(
            inputs_embeds=embeddings[None],
            position_ids=native[..., : len(prefix)],
            past_key_values=cache,
            use_cache=True,
        )
        count = len(questions)
        cache.batch_repeat_interleave(count)
        pads = [longest - len(question) for question in questions]
        ids = torch.tensor([[end_id] * pad + question for pad, question in zip(pads, questions, strict=True)])
        visible = torch.ones(count, len(prefix) + longest, dtype=torch.long)
        for row, pad in enumerate(pads):
            visible[row, len(prefix) : len(prefix) + pad] = 0
        positions = (torch.arange(longest)[None] - torch.tensor(pads)[:, None]).clamp(min=0)
        positions = positions + native[..., len(prefix)].reshape(-1)[0]
        held = constraints or [None] * count
        return _decode(core, cache, ids, visible, positions, list(max_new_tokens), end_id, held)


def _decode(
    core: nn.Module,
    cache: DynamicCache,
    ids: Tensor,
    visible: Tensor,
    positions: Tensor,
    limits: list[int],
    end_id: int,
    constraints: Sequence[Constraint | None],
) -> list[Generated]:
    answers: list[list[int]] = [[] for _ in limits]
    open_rows = set(range(len(limits)))
    first: Tensor | None = None
    for step in range(max(limits)):
        hidden = core.model.language_model(  # type: ignore[union-attr, operator]
            input_ids=ids,
            attention_mask=visible,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
        logits: Tensor = core.lm_head(hidden)  # type: ignore[operator]
        if first is None:
            first = logits.float()
        chosen = logits.argmax(dim=-1)
        for row in list(open_rows):
            constraint = constraints[row]
            if constraint is not None:
                chosen[row] = _best_allowed(logits[row], constraint)
            token = int(chosen[row])
            if token != end_id:
                answers[row].append(token)
            if token == end_id or step + 1 == limits[row]:
                open_rows.discard(row)
        if not open_rows:
            break
        ids = chosen[:, None]
        positions = positions[:, -1:] + 1
        visible = torch.cat([visible, visible.new_ones(len(limits), 1)], dim=1)
    assert first is not None
    return [Generated(answer, first[row]) for row, answer in enumerate(answers)]


def _best_allowed(logits: Tensor, constraint: Constraint) -> Tensor:
    """The likeliest token that a constraint allows; the constraint goes on by it."""
    allowed = torch.from_numpy(constraint.allowed()).to(logits.device)
    best = logits.masked_fill(~allowed, float("-inf")).argmax()
    constraint.accept(int(best))
    return best

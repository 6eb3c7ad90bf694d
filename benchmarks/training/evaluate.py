"""Answers to six questions about one clip: a shared prefix against one `generate` call a question, tokens compared."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.training.document import Row, row
from benchmarks.training.synthetic import END_ID, Family, SyntheticClip, encode, pocket_base, synthetic_clip
from hazardline.vlm.family import family_of
from hazardline.vlm.generate import answer

NEW_TOKENS = 16
_SPREAD = 0.06
"""Standard deviation of the weights: with the usual .02 the likeliest token is almost a tie everywhere."""


def evaluate_row(family: Family, num_tokens: int, num_questions: int, repeats: int) -> Row:
    """Processor seconds for all answers of a clip, encoder included on both sides."""
    model = _decisive(pocket_base(family)).eval()
    clip = synthetic_clip(model, num_tokens, num_questions)
    ways: dict[str, Callable[[], list[list[int]]]] = {
        "separate": lambda: separate_answers(model, clip),
        "shared": lambda: shared_answers(model, clip),
        "shared_cached": lambda: shared_answers(model, clip, clip.row.features),
    }
    answers = {name: way() for name, way in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.process_time()
            way()
            times[name].append(time.process_time() - start)
    suffix = "" if family == "qwen2_vl" else "_videollama3"
    return row(
        f"evaluate_k{num_questions}_p{num_tokens}{suffix}",
        median(times["shared"]),
        median(times["separate"]),
        "s",
        f"one `generate` call a question from pixels, {family}, {NEW_TOKENS} tokens an answer; ours encodes once",
        tokens_identical=all(found == answers["separate"] for found in answers.values()),
        ratio_with_cached_features=round(median(times["separate"]) / median(times["shared_cached"]), 3),
        seconds={name: [round(value, 4) for value in values] for name, values in times.items()},
    )


@torch.inference_mode()
def separate_answers(model: Any, clip: SyntheticClip) -> list[list[int]]:
    """Transformers' own `generate`, a call for every question."""
    found = []
    for turn in clip.row.turns:
        inputs = family_of(model).native_inputs(model, [*clip.row.prefix, *turn.question], clip.media)
        ids: Tensor = model.generate(
            **inputs,
            attention_mask=torch.ones_like(inputs["input_ids"]),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
        )
        new = ids[0, inputs["input_ids"].shape[1] :].tolist()
        found.append([token for token in new if token != END_ID])
    return found


@torch.inference_mode()
def shared_answers(model: Any, clip: SyntheticClip, features: Tensor | None = None) -> list[list[int]]:
    """Ours; the clip is encoded unless its features are given."""
    row = clip.row
    questions = [turn.question for turn in row.turns]
    states = encode(model, clip.media) if features is None else features
    answers = answer(model, row.prefix, states, questions, [NEW_TOKENS] * len(questions), END_ID, row.grids)
    return [one.ids for one in answers]


def _decisive(model: Any) -> Any:
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(_SPREAD * torch.randn(parameter.shape, generator=generator))
    return model

"""The structural gate: the float export computes what PyTorch computes, on real clips through every branch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hazardline.device.answer import forced_logits
from hazardline.device.runtime import Bundle, SeenClip
from hazardline.errors import UserError
from hazardline.evaluate.testset import Clip
from hazardline.export.config import StructuralLimits
from hazardline.export.document import PartDifference, Structural
from hazardline.progress import Reporter
from hazardline.tasks import Branch
from hazardline.vlm.family import family_of
from hazardline.vlm.generate import answer
from hazardline.vlm.media import Grid
from hazardline.vlm.model import core_model, embed, encode, projector, text_attention, use_branch
from hazardline.vlm.pixels import read_patches

Array = npt.NDArray[Any]
_LARGEST = float(np.finfo(np.float32).max)
_SMALLEST = float(np.finfo(np.float32).tiny)


@dataclass
class _Differences:
    """Largest difference and largest reference value of every part, in the order of their first appearance."""

    found: dict[str, tuple[float, float]] = field(default_factory=dict)

    def add(self, part: str, exported: Array, reference: Array) -> None:
        if exported.shape != reference.shape:
            raise UserError(f"export: {part} has the shape {exported.shape}, PyTorch {reference.shape}")
        difference = float(np.abs(exported - reference).max())
        before = self.found.get(part, (0.0, 0.0))
        # NaN must not pass: it compares as neither larger nor smaller.
        worst = float("inf") if np.isnan(difference) else max(before[0], difference)
        self.found[part] = (worst, max(before[1], float(np.abs(reference).max())))

    def parts(self) -> list[PartDifference]:
        return [
            PartDifference(
                part=part,
                max_abs_difference=min(difference, _LARGEST),
                scale=scale,
                relative=min(difference / max(scale, _SMALLEST), _LARGEST),
            )
            for part, (difference, scale) in self.found.items()
        ]


@dataclass(frozen=True)
class _Shown:
    """A clip before the PyTorch model, the wanted branch active."""

    model: Any
    prefix: list[int]
    features: Tensor
    grids: tuple[Grid, ...]

    def logits(self, suffix: list[int]) -> Tensor:
        """PyTorch's logits after every token of a suffix: (suffix tokens, vocabulary), computed without a cache."""
        core = core_model(self.model)
        language = core.model.language_model
        before = embed(self.model, torch.tensor(self.prefix), self.features)
        embeddings = torch.cat([before, language.embed_tokens(torch.tensor(suffix))])
        positions = family_of(core).positions(core, [*self.prefix, *suffix], self.grids)
        with text_attention(self.model, "sdpa"):
            hidden = language(inputs_embeds=embeddings[None], position_ids=positions, use_cache=False).last_hidden_state
        found: Tensor = core.lm_head(hidden[0, len(self.prefix) :])
        return found

    def is_tie(self, question: list[int], both: list[list[int]], tolerance: float) -> bool:
        """Whether two answers part where PyTorch's logits of the two tokens are within the tolerance of each other."""
        length = next(
            (place for place, pair in enumerate(zip(*both, strict=False)) if pair[0] != pair[1]),
            min(map(len, both)) - 1,
        )
        logits = self.logits([*question, *both[0][:length]])[-1]
        first, second = (logits[ids[length]] for ids in both)
        return bool((first - second).abs() <= 2 * tolerance * logits.abs().max())


@dataclass
class _Comparison:
    """PyTorch and a float bundle side by side, and what was found so far."""

    model: Any
    bundle: Bundle
    tolerance: float
    differences: _Differences = field(default_factory=_Differences)
    num_answers: int = 0
    num_equal: int = 0
    num_ties: int = 0
    odd_answers: list[str] = field(default_factory=list)

    @torch.inference_mode()
    def add(self, clip: Clip) -> None:
        """Compare on one clip."""
        layout = self.bundle.prompter.layout
        patches, times_s = read_patches(clip.video, layout)
        features = encode(self.model, torch.from_numpy(patches), layout.grid, layout.merge)
        exported = self.bundle.encode(patches)
        self.differences.add("vision encoder", exported, features.numpy())
        for branch in self.bundle.manifest.branches:
            with use_branch(self.model, branch):
                projected = projector(self.model)(features).numpy()
                given = self.bundle.project(branch, features.numpy())
                self.differences.add(f"projector {branch}", given, projected)
                self._add_branch(clip, branch, features, SeenClip(times_s, exported))

    def _add_branch(self, clip: Clip, branch: Branch, features: Tensor, seen: SeenClip) -> None:
        prompter, prompts = self.bundle.prompter, self.bundle.prompts
        shown = _Shown(self.model, prompter.prefix(seen.times_s), features, prompter.layout.grids(len(seen.times_s)))
        read = self.bundle.read(branch, seen)
        texts = {**prompts.questions, **clip.questions}
        tasks = [task for task in self.bundle.suite.trained_on[branch] if task in texts]
        questions = {task: prompter.question(texts[task]) for task in tasks}
        turns = [(questions[task], prompter.answer(clip.references[task])) for task in tasks if task in clip.references]
        forced = forced_logits(self.bundle.decoder, branch, read.prefix, self.bundle.embed, turns) if turns else []
        for (question, reply), logits in zip(turns, forced, strict=True):
            expected = shown.logits([*question, *reply])[len(question) - 1 : -1]
            self.differences.add(f"decoder {branch}", logits, expected.numpy())
        answers = answer(
            self.model,
            shown.prefix,
            features,
            list(questions.values()),
            [prompts.max_new_tokens[task] for task in tasks],
            prompter.end_id,
            shown.grids,
            self.bundle.constraints(tasks),
        )
        given = self.bundle.ask(read, tasks, texts)
        for task, reference in zip(tasks, answers, strict=True):
            self.num_answers += 1
            if given[task].ids == reference.ids:
                self.num_equal += 1
                continue
            both = [[*ids, prompter.end_id] for ids in (reference.ids, given[task].ids)]
            if shown.is_tie(questions[task], both, self.tolerance):
                self.num_ties += 1
            else:
                self.odd_answers.append(f"{branch}, {task} of {clip.clip_id}")


def check_structure(
    model: Any, bundle: Bundle, clips: Sequence[Clip], limits: StructuralLimits, reporter: Reporter
) -> Structural:
    """Run clips through PyTorch and through a float bundle.

    Args:
        model: PEFT model with the bundle's branches, in evaluation mode, fp32.
        bundle: the same model without quantisation.
        clips: with their reference answers, which are the sequences that the logits are compared on.
        limits: tolerance.
        reporter: progress.

    Raises:
        UserError: a part differs by more than the tolerance, or an answer has other tokens; it names the numbers.
    """
    comparison = _Comparison(model, bundle, limits.tolerance)
    reporter.phase("structural gate", len(clips))
    for clip in clips:
        comparison.add(clip)
        reporter.advance()
    found = Structural(
        tolerance=limits.tolerance,
        num_clips=len(clips),
        parts=comparison.differences.parts(),
        num_answers=comparison.num_answers,
        num_equal_answers=comparison.num_equal,
        num_ties=comparison.num_ties,
    )
    problems = [
        f"{part.part} differs by {part.max_abs_difference:.3g} at a scale of {part.scale:.3g}, "
        f"{part.relative:.1e} of it; allowed are {limits.tolerance:.0e}"
        for part in found.parts
        if not part.relative <= limits.tolerance
    ]
    if comparison.odd_answers:
        problems.append(f"other tokens in greedy answers ({'; '.join(comparison.odd_answers[:3])})")
    if problems:
        raise UserError(
            f"export: the structural gate is closed: {'; '.join(problems)}. The exported graphs do not compute what "
            "PyTorch computes: check the versions of torch, onnx and onnxruntime, and the files of the bundle"
        )
    return found

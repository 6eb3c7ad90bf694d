"""A small line up to evaluation. Its branches know their training clips by heart: confident answers, no random ties."""

from collections.abc import Sequence
from pathlib import Path

import torch

from hazardline.evaluate.answers import Answer, ModelAnswers, prediction_rows, says_yes
from hazardline.evaluate.config import AnswerLimits
from hazardline.evaluate.document import EVALUATION_NAME, Evaluation
from hazardline.evaluate.estimates import Scorer
from hazardline.evaluate.identity import identify
from hazardline.evaluate.scoring import Canon
from hazardline.evaluate.testset import Clip, Splits, read_splits
from hazardline.tables import CLIP_SCORES, PREDICTIONS, write_table
from hazardline.tasks import LOCALIZATION_TASKS, PROMPTS, TASKS, TRAINED_ON, Branch, Task
from hazardline.train.packed import answer_losses, use_tree_attention
from hazardline.train.prefix import ClipRow, Turn
from hazardline.vlm.generate import answer
from hazardline.vlm.layout import LAYOUT_NAME, Layout
from hazardline.vlm.model import LoraSettings, add_branch, encode, load_base, load_branches, save_branch, use_branch
from hazardline.vlm.pixels import read_patches
from hazardline.vlm.text import Prompter
from tests.evaluate.world import write_line

PROMPT_VERSION = "crashchat-short@1"
NUM_VIDEOS = 4
SPLITS = ("train",) * 4 + ("validation",) * 4 + ("test",) * 16
RANKS: dict[Branch, int] = {"linguistic": 8, "perception": 2}
NUM_STEPS = 160
LEARNING_RATE = 1e-2


def write_export_line(root: Path) -> dict[str, Path]:
    """Inputs of the export stage, and under `base` the checkpoint; the same few videos are in every split."""
    inputs = write_line(root, SPLITS, NUM_VIDEOS)
    sharpen(inputs["base"])
    splits = read_splits(inputs)
    for branch in RANKS:
        learn_by_heart(inputs["base"], splits.train, branch, inputs["train"] / branch)
    inputs["evaluate"] = root / "evaluate"
    write_evaluation(inputs["base"], inputs["train"], splits, inputs["evaluate"])
    return inputs


def sharpen(base: Path) -> None:
    """Let logits be as large as those of a trained model; fresh weights cannot tell tokens apart whatever is tuned."""
    model = load_base(base)
    model.model.language_model.norm.weight.data.mul_(10.0)
    model.save_pretrained(base)


def questions(prompter: Prompter, tasks: Sequence[Task]) -> dict[Task, list[int]]:
    return {task: prompter.question(PROMPTS[PROMPT_VERSION].questions[task]) for task in tasks}


def encoded(model: torch.nn.Module, video: Path, layout: Layout) -> tuple[torch.Tensor, list[float]]:
    patches, times_s = read_patches(video, layout)
    with torch.no_grad():
        return encode(model, torch.from_numpy(patches), layout.grid, layout.merge), times_s


def learn_by_heart(base: Path, clips: Sequence[Clip], branch: Branch, folder: Path) -> None:
    """Tune a branch until it answers its few clips from memory, and write it as PEFT does."""
    prompter, layout, plain = Prompter.load(base), Layout.read(base / LAYOUT_NAME), load_base(base)
    asked = questions(prompter, TRAINED_ON[branch])
    rows = []
    for clip in clips:
        features, times_s = encoded(plain, clip.video, layout)
        turns = [
            Turn(asked[task], prompter.answer(clip.references[task]), 4.0 if task == "crash_recognition" else 1.0)
            for task in asked
            if task in clip.references
        ]
        rows += [ClipRow(features, prompter.prefix(times_s), turns)] if turns else []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        settings = LoraSettings(rank=RANKS[branch], alpha=2 * RANKS[branch], dropout=0.0)
        model = add_branch(plain, branch, settings)
        use_tree_attention(model)
        weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=LEARNING_RATE, weight_decay=0.0)
        for step in range(NUM_STEPS):
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / NUM_STEPS)
            optimizer.zero_grad()
            loss = answer_losses(model, rows).mean_over_turns()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
    assert float(loss.detach()) < 0.4, "the tiny branch did not learn its clips"
    save_branch(model, branch, folder)


def write_evaluation(base: Path, train: Path, splits: Splits, folder: Path) -> None:
    """The tables and the document of the evaluate stage for the candidate, from PyTorch's own answers."""
    adapters: dict[Branch, Path] = {branch: train / branch for branch in RANKS}
    model = load_branches(base, {str(branch): path for branch, path in adapters.items()})
    prompter, layout = Prompter.load(base), Layout.read(base / LAYOUT_NAME)
    by_video = {
        video: _answer_all(model, prompter, *encoded(model, video, layout))
        for video in sorted({clip.video for clip in splits.test})
    }
    answers: ModelAnswers = {}
    for clip in splits.test:
        given = by_video[clip.video]
        kept = [t for t in TASKS if t not in LOCALIZATION_TASKS or says_yes(given) or t in clip.references]
        answers[clip.clip_id] = {task: given[task] for task in kept}
    canon = Canon.build(splits.train, [*splits.validation, *splits.test])
    scored = Scorer(splits.test, canon, 100, 0).score("candidate", lambda metric: answers)
    write_table(PREDICTIONS, folder, prediction_rows("candidate", splits.test, answers))
    write_table(CLIP_SCORES, folder, scored.rows)
    Evaluation(
        identity=identify(base, adapters, splits),
        num_test_clips=len(splits.test),
        counts={},
        metrics={"candidate": scored.estimates},
        slices=[],
    ).write(folder / EVALUATION_NAME)


def _answer_all(
    model: torch.nn.Module, prompter: Prompter, features: torch.Tensor, times_s: list[float]
) -> dict[Task, Answer]:
    found: dict[Task, Answer] = {}
    prefix = prompter.prefix(times_s)
    passes: dict[Branch, tuple[Task, ...]] = {
        "linguistic": tuple(task for task in TASKS if task not in LOCALIZATION_TASKS),
        "perception": LOCALIZATION_TASKS,
    }
    for branch, tasks in passes.items():
        with use_branch(model, branch):
            asked = list(questions(prompter, tasks).values())
            limits = [getattr(AnswerLimits(), task) for task in tasks]
            generated = answer(model, prefix, features, asked, limits, prompter.end_id)
        for task, item in zip(tasks, generated, strict=True):
            score = float(item.first_logits[prompter.yes_id] - item.first_logits[prompter.no_id])
            found[task] = Answer(prompter.decode(item.ids), score=score if task == "crash_recognition" else None)
    return found

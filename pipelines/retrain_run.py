"""A scheduled run on this machine: the retraining pipeline with KFP's local runner, and what people see of it."""

import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from hazardline.files import write_atomic
from hazardline.notify.config import NoticeConfig
from hazardline.notify.notice import TASK as NOTIFY
from hazardline.notify.notice import deliver, notice_of, webhook_secret
from hazardline.recipe import Recipe
from hazardline.retrain.conclusion import CONCLUSION_NAME, Conclusion, as_markdown
from hazardline.retrain.notes import find_conclusion
from hazardline.stages import RETRAINING

from pipelines.local_run import Outcome, RunFolder, Work, new_run_folder, run_locally
from pipelines.outcome import show_failure, show_success, write_run_summary
from pipelines.retrain import notice_config, retrain, retraining_arguments

SUMMARY_NAME = "conclusion.md"
_FAILED = "FAILED"


def retrain_locally(recipe: Recipe, recipe_file: Path, console: Console) -> int:
    """Run the retraining pipeline of a recipe; returns the exit status.

    Raises:
        UserError: the recipe cannot be retrained on a schedule, or names a webhook and there is no secret.
    """
    arguments, notice = retraining_arguments(recipe), notice_config(recipe)
    if notice.url is not None:
        webhook_secret()
    folder = new_run_folder(recipe, recipe_file)
    console.print(f"run {folder.run_id}: {recipe.purpose}", highlight=False)
    work = Work(retrain(run_id=folder.run_id), arguments, _in_order(recipe))
    try:
        outcome = run_locally(work, folder, console)
    except SystemExit:
        _tell_failure(notice, folder)
        raise
    conclusion = find_conclusion(folder.run_id)
    if outcome.status and not outcome.told:
        _tell_failure(notice, folder)
    if conclusion is not None:
        _show(recipe, conclusion, outcome, folder, console)
    if outcome.status:
        show_failure(outcome, folder, Console(stderr=True))
    return outcome.status


def _in_order(recipe: Recipe) -> tuple[str, ...]:
    """Tasks as they are shown."""
    newdata, reevaluate = (stage.name for stage in RETRAINING)
    names = [stage.name for stage in recipe.stages()]
    names.insert(names.index("ingest") + 1, newdata)
    names.insert(names.index("gate"), reevaluate)
    return (*names, "conclude", NOTIFY)


def _tell_failure(config: NoticeConfig, folder: RunFolder) -> None:
    """Tell of a run whose exit handler did not come to that."""
    said = deliver(config, notice_of(config, folder.run_id, _FAILED, "", folder.events))
    print(f"{NOTIFY}: {said}", file=sys.stderr)


def _show(recipe: Recipe, conclusion: Conclusion, outcome: Outcome, folder: RunFolder, console: Console) -> None:
    """Leave the conclusion in the run's folder and say it; where something was trained, show all that `run` shows."""
    conclusion.write(folder.path / CONCLUSION_NAME)
    write_atomic(folder.path / SUMMARY_NAME, as_markdown(conclusion).encode())
    if not outcome.status and "register" in outcome.records:
        show_success(write_run_summary(recipe, outcome, folder), outcome, folder, console)
    for sentence in conclusion.trigger:
        console.print(f"- {escape(sentence)}", highlight=False, soft_wrap=True)
    console.print(
        f"[bold]Retraining:[/] {conclusion.outcome.replace('_', ' ')}; {escape(conclusion.sentence)}",
        highlight=False,
        soft_wrap=True,
    )

"""`python -m pipelines`: run a recipe on this machine, compile it, send it to a cluster, have it run at given times."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from hazardline.errors import UserError
from hazardline.recipe import load_recipe
from hazardline.stage_events import USER_ERROR_STATUS

from components.images import PIPELINE
from pipelines import images
from pipelines.cluster_commands import (
    RecipeArgument,
    compile_recipe,
    listen_to_mlflow,
    schedule_recipe,
    submit_recipe,
)

app = typer.Typer(
    name="python -m pipelines",
    help="The whole line as a Kubeflow pipeline.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
app.command("compile")(compile_recipe)
app.command("submit")(submit_recipe)
app.command("schedule")(schedule_recipe)
app.command("listen")(listen_to_mlflow)
app.add_typer(images.app, name="images")


class Runner(StrEnum):
    """What a task of a local run is."""

    PROCESS = "process"
    DOCKER = "docker"


@app.command("run")
def run(
    recipe: RecipeArgument,
    runner: Annotated[Runner, typer.Option(help="Run each task in a process, or in a container.")] = Runner.PROCESS,
    image: Annotated[str, typer.Option(help="The containers' image, as Docker knows it.")] = f"{PIPELINE}:latest",
    volume: Annotated[
        list[Path] | None, typer.Option(help="Folder that containers see besides the home folder; may be repeated.")
    ] = None,
) -> None:
    """Run the line on this machine; stages whose output is in the store are reused."""
    from pipelines.containers import Containers
    from pipelines.fine_tune import right_here
    from pipelines.local_run import line_of, new_run_folder, run_locally
    from pipelines.outcome import show_failure, show_success, write_run_summary

    loaded = load_recipe(recipe)
    folder = new_run_folder(loaded, recipe)
    console = Console(file=sys.stdout)
    console.print(f"run {folder.run_id}: {loaded.purpose}", highlight=False)
    containers = Containers(image, tuple(volume or ())) if runner is Runner.DOCKER else None
    outcome = run_locally(line_of(loaded, containers or right_here), folder, console, containers)
    if outcome.status:
        show_failure(outcome, folder, Console(stderr=True))
        raise typer.Exit(outcome.status)
    summary = write_run_summary(loaded, outcome, folder)
    show_success(summary, outcome, folder, console)


@app.command("retrain")
def retrain(recipe: RecipeArgument) -> None:
    """Look at today's footage, and where it is worth it train, compare with the champion, promote or not, and tell."""
    from pipelines.retrain_run import retrain_locally

    raise typer.Exit(retrain_locally(load_recipe(recipe), recipe, Console(file=sys.stdout)))


@app.command("release")
def release(recipe: RecipeArgument) -> None:
    """Take the champion of a recipe's model to the devices, where a person has promoted it after its run."""
    from pipelines.local_run import Work, new_run_folder, run_locally
    from pipelines.outcome import show_failure, show_release
    from pipelines.release import TASKS, release_arguments, release_champion

    loaded = load_recipe(recipe)
    folder, console = new_run_folder(loaded, recipe), Console(file=sys.stdout)
    outcome = run_locally(Work(release_champion(), release_arguments(loaded), TASKS), folder, console)
    if outcome.status:
        show_failure(outcome, folder, Console(stderr=True))
        raise typer.Exit(outcome.status)
    show_release(outcome, console)


def main() -> NoReturn:
    """Run the command line. An error that the user can mend is one line on stderr and status 2."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        app()
    except UserError as error:
        print(f"pipelines: {error}", file=sys.stderr)
        sys.exit(USER_ERROR_STATUS)
    sys.exit(0)


if __name__ == "__main__":
    main()

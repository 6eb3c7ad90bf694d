"""`python -m pipelines`: run a recipe on this machine, compile it, or send it to a cluster."""

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from hazardline import environment
from hazardline.errors import UserError
from hazardline.recipe import load_recipe
from hazardline.stage_runner import USER_ERROR_STATUS

app = typer.Typer(
    name="python -m pipelines",
    help="The whole line as a Kubeflow pipeline.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
RecipeArgument = Annotated[Path, typer.Argument(help="The recipe, for example recipes/crashchat_pocket.yaml.")]


@app.command("run")
def run(recipe: RecipeArgument) -> None:
    """Run the line on this machine; stages whose output is in the store are reused."""
    from pipelines.local_run import new_run_folder, run_locally
    from pipelines.outcome import show_failure, show_success, write_run_summary

    loaded = load_recipe(recipe)
    folder = new_run_folder(loaded, recipe)
    console = Console(file=sys.stdout)
    console.print(f"run {folder.run_id}: {loaded.purpose}", highlight=False)
    outcome = run_locally(loaded, folder, console)
    if outcome.status:
        show_failure(outcome, folder, Console(stderr=True))
        raise typer.Exit(outcome.status)
    summary = write_run_summary(loaded, outcome, folder)
    show_success(summary, outcome, folder, console)


@app.command("compile")
def compile_recipe(
    recipe: RecipeArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write (.yaml).")] = None,
) -> None:
    """Write the versioned pipeline YAML that a Kubeflow Pipelines user interface takes."""
    from pipelines.package import pipeline_version, write_package

    loaded = load_recipe(recipe)
    path = out or environment.home() / "pipelines" / f"{loaded.name}-{pipeline_version(loaded)}.yaml"
    if path.suffix != ".yaml":
        raise UserError(f"--out {path}: expected a name that ends in .yaml")
    write_package(loaded, path)
    typer.echo(f"wrote {path}")


@app.command("submit")
def submit_recipe(
    recipe: RecipeArgument,
    host: Annotated[str, typer.Option(help="Address of the Kubeflow Pipelines API.")],
    experiment: Annotated[str, typer.Option(help="The experiment that the run belongs to.")] = "hazardline",
    namespace: Annotated[str, typer.Option(help="Namespace in the cluster.")] = "kubeflow",
) -> None:
    """Start a run on a cluster. A bearer token is taken from HAZARDLINE_KFP_TOKEN."""
    from pipelines.submission import submit

    loaded = load_recipe(recipe)
    work = environment.home() / "pipelines"
    made = submit(loaded, host, experiment, namespace, environment.kfp_token(), work)
    typer.echo(f"run {made.run_id} was started: {made.url}")


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

"""The command `hazardline`: any stage by hand, recipes checked, contact sheets, a device, the register.

Only what every call needs is imported here; a stage is imported when it is run.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from hazardline.cli import (
    countermeasure_commands,
    device_commands,
    register_commands,
    release_commands,
    review_commands,
    services_commands,
)
from hazardline.cli.by_hand import run_stage_by_hand
from hazardline.cli.cost_command import show_cost
from hazardline.cli.ingest_command import ingest
from hazardline.cli.layout_command import write_layout
from hazardline.cli.newdata_command import decide_on_new_data
from hazardline.cli.options import InputOption, OutOption, RecipeOption
from hazardline.errors import UserError
from hazardline.stage_events import USER_ERROR_STATUS
from hazardline.stages import STAGES, Stage

app = typer.Typer(
    name="hazardline",
    help="From crash clips to a signed model on a device. `make run` runs the whole line; here is every part by hand.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
recipe_app = typer.Typer(help="Recipes.", no_args_is_help=True)


def main() -> NoReturn:
    """Run the command line. An error that the user can mend is one line on stderr and status 2."""
    try:
        app()
    except UserError as error:
        print(f"hazardline: {error}", file=sys.stderr)
        sys.exit(USER_ERROR_STATUS)
    sys.exit(0)


def simulate(
    out: OutOption = None,
    recipe: RecipeOption = None,
    num_pairs: Annotated[int | None, typer.Option(help="Crash clips, each with its near-miss twin.")] = None,
    num_normal: Annotated[int | None, typer.Option(help="Clips of ordinary driving.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same bytes.")] = None,
    num_workers: Annotated[int | None, typer.Option(help="Processes; they do not change the clips.")] = None,
) -> None:
    """Make clips with exact ground truth, in the native layout."""
    changes = {"num_pairs": num_pairs, "num_normal": num_normal, "seed": seed, "num_workers": num_workers}
    run_stage_by_hand("simulate", recipe, [], out, changes)


@app.command("contact-sheet")
def contact_sheet(
    root: Annotated[Path, typer.Argument(help="A folder in the native layout.")],
    png: Annotated[Path, typer.Argument(help="The picture to write.")],
) -> None:
    """Draw clips of a folder with their boxes and times into one picture."""
    from hazardline.simulate.contact_sheet import contact_sheet as draw

    draw(root, png)
    typer.echo(f"wrote {png}")


@recipe_app.command("check")
def check(file: Annotated[Path, typer.Argument(help="The recipe.")]) -> None:
    """Say whether a recipe is right, or one line for everything that is wrong with it."""
    from hazardline.recipe import load_recipe

    recipe = load_recipe(file)
    names = ", ".join(stage.name for stage in recipe.stages())
    typer.echo(f"{file}: a recipe for {names}; digest {recipe.digest()[:12]}")


@app.command("ui")
def open_ui(port: Annotated[int, typer.Option(help="Port on this machine.")] = 5000) -> None:
    """Serve the MLflow user interface over what runs have logged, until interrupted."""
    from hazardline.cli.ui import serve

    serve(port)


def _stage_command(stage: Stage) -> Callable[..., None]:
    """A command that runs a stage with the options that all stages have."""

    def command(out: OutOption = None, recipe: RecipeOption = None, inputs: InputOption = None) -> None:
        run_stage_by_hand(stage.name, recipe, inputs or [], out, {})

    return command


def _add_commands() -> None:
    special: dict[str, Callable[..., None]] = {"simulate": simulate, "ingest": ingest}
    groups = {"register": register_commands.app, "release": release_commands.app, "device": device_commands.app}
    for stage in STAGES:
        if stage.name in groups:
            app.add_typer(groups[stage.name], name=stage.name, help=stage.description)
        else:
            function = special.get(stage.name) or _stage_command(stage)
            app.command(stage.name, help=stage.description)(function)
    app.add_typer(recipe_app, name="recipe")
    app.add_typer(review_commands.app, name="review")
    app.add_typer(services_commands.app, name="services", help="MLflow, PostgreSQL and S3 of a team, on one machine.")
    app.command("cost")(show_cost)
    app.add_typer(countermeasure_commands.app, name="countermeasure", help="What to do about a data set that leaks.")
    app.command("newdata")(decide_on_new_data)
    app.command("layout")(write_layout)


_add_commands()

"""`hazardline release`: the stage by hand, and what a publisher does between releases."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from hazardline.cli.options import InputOption, OutOption, RecipeOption

if TYPE_CHECKING:
    from hazardline.release.config import ReleaseConfig
    from hazardline.release.publish import Publisher

app = typer.Typer()


@app.callback(invoke_without_command=True)
def release(
    context: typer.Context, out: OutOption = None, recipe: RecipeOption = None, inputs: InputOption = None
) -> None:
    """Sign the exported bundle and publish it, if the gate let the candidate through."""
    if context.invoked_subcommand is None:
        from hazardline.cli.by_hand import run_stage_by_hand

        run_stage_by_hand("release", recipe, inputs or [], out, {})


@app.command("init")
def prepare_repository(recipe: RecipeOption = None) -> None:
    """Make the signing keys that are missing and a repository that knows the model, without a release."""
    from hazardline.release.publish import prepare

    config = _config(recipe)
    publisher = _publisher(config)
    prepare(publisher, config.model)
    typer.echo(f"{publisher.destination.address()}: knows the model {config.model}; keys: {publisher.keys.folder}")


@app.command("rollback")
def roll_back_release(
    version: Annotated[int, typer.Argument(help="The release that devices shall go back to.")],
    why: Annotated[str, typer.Option("--why", help="The reason; devices get to read it.")],
    recipe: RecipeOption = None,
) -> None:
    """Let the channel point to an older release, with the signed word that devices may go back."""
    from hazardline.release.publish import roll_back

    config = _config(recipe)
    pointer = roll_back(_publisher(config), config.model, config.channel, version, why)
    typer.echo(f"{pointer.model}: channel {pointer.channel} leads to release {pointer.version}")


@app.command("renew")
def renew_signatures(recipe: RecipeOption = None) -> None:
    """Sign again what expires; without it devices refuse to update when the timestamp is a week old."""
    from hazardline.release.publish import renew

    publisher = _publisher(_config(recipe))
    left = renew(publisher)
    typer.echo(f"{publisher.destination.address()}: signed again")
    for role, end in left.items():
        typer.echo(f"{role} expires on {end:%Y-%m-%d}, and its key is not here: renew where it is", err=True)


@app.command("rotate")
def rotate_signing_keys(
    keys: Annotated[list[str], typer.Argument(help="root-1, targets, snapshot, timestamp, model-NAME ...")],
    recipe: RecipeOption = None,
) -> None:
    """Exchange signing keys; devices follow at their next update."""
    from hazardline.release.rotate import rotate_key

    publisher = _publisher(_config(recipe))
    for name in keys:
        rotate_key(publisher, name)
        typer.echo(f"{name}: exchanged")


def _config(recipe: RecipeOption) -> "ReleaseConfig":
    from hazardline.cli.by_hand import read_section
    from hazardline.release.config import ReleaseConfig
    from hazardline.stages import stage_named

    config = read_section(stage_named("release"), recipe, {})
    assert isinstance(config, ReleaseConfig)
    return config


def _publisher(config: "ReleaseConfig") -> "Publisher":
    from hazardline.release.destination import open_destination
    from hazardline.release.keys import KeyFolder
    from hazardline.release.publish import Publisher

    destination = open_destination(config.destination_address(), config.public_url)
    return Publisher(destination, KeyFolder(config.keys_folder()), config.expiry, datetime.now(UTC))

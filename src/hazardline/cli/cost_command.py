"""`hazardline cost`: what a recipe's training will take, before anything is fetched or started."""

from pathlib import Path
from typing import Annotated

import typer

from hazardline.errors import UserError


def show_cost(
    file: Annotated[Path, typer.Argument(help="The recipe.")],
    device: Annotated[str, typer.Option(help="a100-40gb, a100-80gb or h100-80gb.")] = "a100-80gb",
    clips: Annotated[int | None, typer.Option(min=1, help="Training clips; the paper's number by default.")] = None,
) -> None:
    """Say what a recipe trains, whether it fits a device, and how many hours it will take there."""
    from hazardline.recipe import load_recipe
    from hazardline.train.cost import DEVICES, estimate, report

    if device not in DEVICES:
        raise UserError(f"--device {device}: no such device; expected one of {', '.join(DEVICES)}")
    for line in report(estimate(load_recipe(file), DEVICES[device], clips)):
        typer.echo(line)

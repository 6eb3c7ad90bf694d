"""What every stage's command takes."""

from pathlib import Path
from typing import Annotated

import typer

RecipeOption = Annotated[
    Path | None, typer.Option("--recipe", help="Take the stage's section from this recipe; else its defaults.")
]
InputOption = Annotated[
    list[str] | None, typer.Option("--input", help="STAGE=DIR: the output folder of an upstream stage. Repeatable.")
]
OutOption = Annotated[Path | None, typer.Option("--out", help="Folder to write: a new one or an empty one.")]

"""`hazardline ingest`: one data set into tables, or a look at the store that versions are kept in."""

from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from hazardline import environment
from hazardline.cli.by_hand import run_stage_by_hand
from hazardline.cli.display import DisplayReporter, ProgressDisplay
from hazardline.cli.options import InputOption, OutOption, RecipeOption

DAMAGED_STATUS = 1


def ingest(
    out: OutOption = None,
    source: Annotated[str | None, typer.Option(help="Layout of the data set; README.md names them.")] = None,
    root: Annotated[str | None, typer.Option(help="Folder of the data set, or s3://bucket/prefix.")] = None,
    recipe: RecipeOption = None,
    inputs: InputOption = None,
    verify: Annotated[bool, typer.Option("--verify", help="Check the store of versions, and do nothing else.")] = False,
) -> None:
    """Read clips and annotations into a scenes table; unusable clips go to a quarantine table with the reason."""
    if verify:
        verify_store()
    run_stage_by_hand("ingest", recipe, inputs or [], out, {"source": source, "root": root})


def verify_store() -> NoReturn:
    """Print what is not as it was left; status 1 where anything is damaged."""
    from hazardline.datasets.store import DatasetStore
    from hazardline.datasets.verify import verify

    store = DatasetStore(environment.datasets_root())
    with ProgressDisplay(Console(stderr=True), ["ingest"]) as display:
        found = verify(store, DisplayReporter(display, "ingest"))
    console = Console()
    if found.observations:
        table = Table("", "where", "what", show_edge=False)
        for item in found.observations:
            place = item.place.relative_to(store.root) if item.place.is_relative_to(store.root) else item.place
            table.add_row(item.severity, str(place), item.what)
        console.print(table)
    state = "consistent" if found.is_consistent else "damaged"
    console.print(
        f"{store.root}: {state} (data sets {found.num_heads}, versions {found.num_versions}, clips of its own "
        f"{found.num_media})",
        soft_wrap=True,
    )
    raise typer.Exit(0 if found.is_consistent else DAMAGED_STATUS)

"""`hazardline layout`: simulated clips in the form of a published data set."""

from pathlib import Path
from typing import Annotated

import typer

from hazardline.errors import UserError


def write_layout(
    source: Annotated[str, typer.Argument(help="The data set, as `ingest.source` names it.")],
    clips: Annotated[Path, typer.Option("--from", help="Folder in the native layout (what simulate wrote).")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write: a new one.")],
) -> None:
    """Lay out clips as a small true copy of a published data set's form, to read with `hazardline ingest`."""
    from hazardline.files import folder_in_making
    from hazardline.simulate.layouts.registry import READ_AS, WRITERS

    if source not in WRITERS:
        raise UserError(f"layout {source}: no such layout; expected one of {', '.join(sorted(WRITERS))}")
    if not clips.is_dir():
        raise UserError(f"--from {clips}: no such folder; expected a folder in the native layout")
    if out.exists():
        raise UserError(f"--out {out}: exists already; name a new folder")
    with folder_in_making(out) as making:
        WRITERS[source](clips, making)
    name = READ_AS.get(source, source)
    typer.echo(f"wrote {out}: read it with `hazardline ingest --source {name} --root {out} --out FOLDER`")

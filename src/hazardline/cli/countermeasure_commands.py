"""`hazardline countermeasure`: what can be done about a data set that gives its labels away."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from hazardline.cli.options import InputOption, OutOption
from hazardline.errors import UserError

app = typer.Typer(no_args_is_help=True)
WorkersOption = Annotated[int, typer.Option(min=1, help="Processes; they do not change the clips.")]


@app.command("negatives")
def negatives(
    inputs: InputOption = None,
    out: OutOption = None,
    margin_s: Annotated[float, typer.Option(help="Seconds between the window's end and the first sign.")] = 1.0,
    min_length_s: Annotated[float, typer.Option(help="A shorter window is left out.")] = 2.0,
    max_length_s: Annotated[float, typer.Option(help="Of a longer one the last part is taken.")] = 10.0,
    crf: Annotated[int, typer.Option(help="Quality of the encoder, less is better.")] = 18,
    num_workers: WorkersOption = 2,
) -> None:
    """Cut ordinary driving out of crash clips, for sources that have more crashes than negatives.

    Without --out it only says how many negatives each source lacks.
    """
    from hazardline.countermeasures.negatives import NegativesConfig, census, make_negatives
    from hazardline.tables import SCENES, read_rows

    given = {"margin_s": margin_s, "min_length_s": min_length_s, "max_length_s": max_length_s, "crf": crf}
    config = NegativesConfig.parse({**given, "num_workers": num_workers}, "countermeasure negatives")
    ingest = _ingest(inputs)
    if out is None:
        for source, found in census(read_rows(SCENES, ingest, ("source", "label"))).items():
            typer.echo(
                f"{source}: {found.num_crash} crashes, {found.num_negative} negatives, {found.num_lacking} lacking"
            )
        return
    _make(make_negatives, config, ingest, out)


@app.command("normalise")
def normalise(
    inputs: InputOption = None,
    out: OutOption = None,
    width_px: Annotated[int, typer.Option(help="Even; no larger than the smallest clip.")] = 640,
    height_px: Annotated[int, typer.Option(help="Even; no larger than the smallest clip.")] = 360,
    fps: Annotated[float, typer.Option(help="No higher than the lowest rate.")] = 10.0,
    crf: Annotated[int, typer.Option(help="Quality of the encoder, less is better.")] = 23,
    length_s: Annotated[float | None, typer.Option(help="Cut every clip to this length, around its event.")] = None,
    num_workers: WorkersOption = 2,
) -> None:
    """Encode every clip alike, so that codec, size and rate do not tell the label."""
    from hazardline.countermeasures.normalise import NormaliseConfig
    from hazardline.countermeasures.normalise import normalise as run

    given = {"width_px": width_px, "height_px": height_px, "fps": fps, "crf": crf, "length_s": length_s}
    config = NormaliseConfig.parse({**given, "num_workers": num_workers}, "countermeasure normalise")
    if out is None:
        raise UserError("countermeasure normalise needs a folder to write: give --out DIR")
    _make(run, config, _ingest(inputs), out)


def _ingest(inputs: list[str] | None) -> Path:
    from hazardline.cli.by_hand import read_inputs
    from hazardline.stages import stage_named

    return read_inputs(stage_named("split"), inputs or [])["ingest"]


def _make(function: Any, config: Any, ingest: Path, out: Path) -> None:
    """Fill a new folder, which takes its name when it is whole."""
    from hazardline.files import folder_in_making
    from hazardline.progress import TextReporter

    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out}: there is something already; give a new folder or an empty one")
    if out.exists():
        out.rmdir()
    with folder_in_making(out) as making:
        report = function(config, ingest, making, TextReporter())
    typer.echo(json.dumps(report.data(), indent=2, ensure_ascii=False))

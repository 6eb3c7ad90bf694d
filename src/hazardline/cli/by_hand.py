"""Runs one stage by hand: folders in, a folder out, nothing of the store."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from hazardline.cli.display import DisplayReporter, ProgressDisplay
from hazardline.documents import Document
from hazardline.errors import RefusedOutputError, UserError
from hazardline.files import folder_in_making
from hazardline.stage_runner import refuse_making_path
from hazardline.stages import Stage, stage_named


def run_stage_by_hand(
    name: str, recipe: Path | None, inputs: Sequence[str], out: Path | None, changes: Mapping[str, Any]
) -> None:
    """Run a stage as its command does, and print its summary as JSON.

    Args:
        name: the stage.
        recipe: where its section is taken from; None for the defaults.
        inputs: texts of the form `STAGE=DIR`.
        out: folder to write.
        changes: fields of the section that the command line gives; None where it does not.

    Raises:
        UserError: something is missing or wrong, in the options or in what the stage met.
    """
    stage = stage_named(name)
    if out is None:
        raise UserError(f"{name} needs a folder to write: give --out DIR (see hazardline {name} --help)")
    config = read_section(stage, recipe, changes)
    summary = run_by_hand(stage, config, read_inputs(stage, inputs), out)
    print(json.dumps(summary, indent=2, ensure_ascii=False))


def read_section(stage: Stage, recipe: Path | None, changes: Mapping[str, Any]) -> Document:
    """A stage's section: from a recipe or from the defaults, with what the command line says in place of it.

    Raises:
        UserError: the recipe or a value is wrong.
    """
    section: Any = {}
    if recipe is not None:
        from hazardline.recipe import load_recipe

        loaded = load_recipe(recipe)
        section = json.loads(loaded.section_json(stage.name)) if stage in loaded.stages() else {}
    given = {name: value for name, value in changes.items() if value is not None}
    origin = f"{recipe}: {stage.name}" if recipe is not None else stage.name
    return stage.config_class().parse({**section, **given}, origin)


def read_inputs(stage: Stage, texts: Sequence[str]) -> dict[str, Path]:
    """The input folders from texts of the form `STAGE=DIR`.

    Raises:
        UserError: another form, an input that the stage does not read or lacks, or a folder that is not there.
    """
    inputs: dict[str, Path] = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not equals or not folder:
            raise UserError(f"--input {text}: expected STAGE=DIR, for example --input ingest=work/ingest")
        if name not in stage.inputs:
            known = ", ".join(stage.inputs) or "no input"
            raise UserError(f"--input {text}: {stage.name} does not read {name}; it reads {known}")
        if not Path(folder).is_dir():
            raise UserError(f"--input {text}: {folder} is no folder; expected the output folder of {name}")
        inputs[name] = Path(folder).absolute()
    missing = [name for name in stage.inputs if name not in inputs and name not in stage.optional_inputs]
    if missing:
        needed = " ".join(f"--input {name}=DIR" for name in missing)
        raise UserError(f"{stage.name} lacks an input; give {needed} (the folders that those stages wrote)")
    return inputs


def run_by_hand(stage: Stage, config: Document, inputs: Mapping[str, Path], out: Path) -> dict[str, Any]:
    """Run a stage into a folder that does not exist yet or is empty; returns its summary.

    Raises:
        UserError: the folder holds something, or the stage met something that the user can mend.
        RefusedOutputError: the stage refuses its own output; the folder is written all the same.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: holds something already; give a new or an empty folder")
    final = out.absolute()
    summary: dict[str, Any] = {}
    refused: RefusedOutputError | None = None
    with (
        folder_in_making(final) as making,
        ProgressDisplay(Console(file=sys.stderr), [stage.name]) as display,
    ):
        try:
            summary = stage.run_function()(config, inputs, making, DisplayReporter(display, stage.name))
        except RefusedOutputError as error:
            refused = error
        refuse_making_path(stage.name, making, summary)
        if final.exists():
            final.rmdir()
    if refused is not None:
        raise RefusedOutputError(f"{refused}\nWhat was found is in {out}; no other stage should read it.")
    return summary

"""`hazardline newdata`: what is new since a dataset version, whether it drifts, and whether to train again."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hazardline.errors import UserError
from hazardline.files import folder_in_making, write_atomic

if TYPE_CHECKING:
    from hazardline.newdata.config import TriggerConfig
    from hazardline.newdata.document import Trigger


def decide_on_new_data(
    today: Annotated[Path, typer.Option(help="Output folder of `hazardline ingest`: today's version.")],
    out: Annotated[Path, typer.Option(help="Folder to write, new or empty: trigger.json and trigger.html.")],
    reference: Annotated[
        Path | None, typer.Option(help="Output folder of ingest that was trained on last; none before the first.")
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="YAML file of the policy; else its defaults.")] = None,
    min_new_clips: Annotated[int | None, typer.Option(help="So many new clips are reason enough.")] = None,
    min_new_crashes: Annotated[int | None, typer.Option(help="So many new crashes are reason enough.")] = None,
    drift_on: Annotated[
        list[str] | None, typer.Option(help="Drift in this is reason enough; repeatable. Default: in anything.")
    ] = None,
    already_trained: Annotated[
        list[str] | None, typer.Option(help="new_digest of a trigger.json that a training ran on; repeatable.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of samples and permutations.")] = None,
    embeddings: Annotated[
        Path | None, typer.Option(help="Parquet file of today's version: clip_id, vector (of a vision encoder).")
    ] = None,
    reference_embeddings: Annotated[Path | None, typer.Option(help="The same of the reference.")] = None,
) -> None:
    """Say what is new since a dataset version, and whether to train: status 0 for yes, 10 for nothing to do."""
    from hazardline.newdata.decide import NOTHING_TO_DO_STATUS, RETRAIN_STATUS, decide
    from hazardline.newdata.sample import Embeddings

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: holds something already; give a new or an empty folder")
    if (embeddings is None) != (reference_embeddings is None) or (embeddings is not None and reference is None):
        raise UserError("--embeddings, --reference-embeddings and --reference belong together: give all three")
    changes = {
        "min_new_clips": min_new_clips,
        "min_new_crashes": min_new_crashes,
        "drift_on": drift_on or None,
        "already_trained": already_trained or None,
        "seed": seed,
    }
    pair = None
    if embeddings is not None and reference_embeddings is not None:
        pair = Embeddings(reference=reference_embeddings, today=embeddings)
    trigger = decide(reference, today, _read_policy(policy, changes), pair)
    _write(trigger, out.absolute())
    _show(trigger, Console())
    raise typer.Exit(RETRAIN_STATUS if trigger.retrain else NOTHING_TO_DO_STATUS)


def _read_policy(path: Path | None, changes: Mapping[str, Any]) -> "TriggerConfig":
    """The policy of a file or the defaults, with what the command line says in place of it."""
    from hazardline.documents import read_yaml
    from hazardline.newdata.config import TriggerConfig

    section = {} if path is None else read_yaml(path)
    if not isinstance(section, dict):
        raise UserError(f"{path}: expected keys with values, such as `min_new_clips: 200`")
    given = {name: value for name, value in changes.items() if value is not None}
    return TriggerConfig.parse({**section, **given}, "newdata" if path is None else str(path))


def _write(trigger: "Trigger", final: Path) -> None:
    from hazardline.newdata.document import PAGE_NAME, TRIGGER_NAME
    from hazardline.newdata.page import write_page

    with folder_in_making(final) as making:
        trigger.write(making / TRIGGER_NAME)
        write_atomic(making / PAGE_NAME, write_page(trigger).encode())
        if final.exists():
            final.rmdir()


def _show(trigger: "Trigger", console: Console) -> None:
    from hazardline.newdata.page import table_cells

    clips = Table("status", "clips", "labels", title="Clips", title_justify="left")
    for status, found in trigger.counts.items():
        labels = ", ".join(f"{label} {count}" for label, count in found.by_label.items())
        clips.add_row(status, str(found.num_clips), escape(labels))
    console.print(clips)
    if trigger.drift:
        names = ("what", "measure", "effect", "limit", "certainty", "verdict")
        drift = Table(*names, title="Drift against the reference", title_justify="left")
        for row in trigger.drift:
            drift.add_row(*map(escape, table_cells(row)), style="red" if row.verdict == "drift" else None)
        console.print(drift)
    for reason in trigger.reasons:
        console.print(f"{'[bold]*[/]' if reason.retrain else '-'} {escape(reason.sentence)}", highlight=False)
    console.print(f"[bold]{'train again' if trigger.retrain else 'nothing to do'}[/]")

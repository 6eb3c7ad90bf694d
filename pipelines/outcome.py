"""What the user sees at the end of a local run: one table and three lines, or why it failed."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hazardline.recipe import Recipe
from hazardline.run_summary import RunSummary, summarize
from hazardline.store import StageRecord

from pipelines.local_run import DEFECT_STATUS, Outcome, RunFolder

_NUM_FIGURES = 4


def write_run_summary(recipe: Recipe, outcome: Outcome, folder: RunFolder) -> RunSummary:
    """Write `summary.json`, and point `latest` beside the run's folder to it."""
    records = {stage.name: outcome.records[stage.name] for stage in recipe.stages() if stage.name in outcome.records}
    summary = summarize(folder.run_id, recipe.name, recipe.digest(), outcome.wall_s, records)
    summary.write(folder.summary)
    making = folder.path.parent / f".latest-{folder.run_id}"
    making.symlink_to(folder.run_id)
    making.replace(folder.path.parent / "latest")
    return summary


def show_success(summary: RunSummary, outcome: Outcome, folder: RunFolder, console: Console) -> None:
    """The table of stages, the scores, and where to go from here."""
    console.print(_stage_table(outcome.records))
    console.print(_score_table(summary))
    verdict = "open" if summary.gate.passed else "closed: " + "; ".join(summary.gate.reasons)
    console.print(
        f"gate {verdict}\n{summary.registry.name} version {summary.registry.version}, aliases: "
        f"{', '.join(summary.registry.aliases) or 'none'}\nwhole run {summary.wall_s:.0f} s, peak memory of a stage "
        f"{summary.peak_rss_mb:.0f} MB; everything in {_shown(folder.summary)}",
        highlight=False,
        soft_wrap=True,
    )
    report = outcome.records["evaluate"].output / "report.html"
    console.print(f"[bold]Report:[/] {escape(_shown(report))}", highlight=False, soft_wrap=True)
    console.print("[bold]MLflow:[/] make ui", highlight=False)
    console.print(f"[bold]Device:[/] {escape(_device_line(summary))}", highlight=False, soft_wrap=True)


def show_failure(outcome: Outcome, folder: RunFolder, console: Console) -> None:
    """The failed stage's own line, and where the log is."""
    console.print(
        f"[red]{outcome.failed_stage or 'the pipeline'} failed:[/] {escape(outcome.error or 'see the log')}",
        highlight=False,
        soft_wrap=True,
    )
    if outcome.status == DEFECT_STATUS:
        console.print("This is not an error in your input that hazardline knows; the log has the traceback.")
    console.print(f"log: {escape(_shown(folder.log))}", highlight=False, soft_wrap=True)


def _stage_table(records: Mapping[str, StageRecord]) -> Table:
    table = Table("stage", "state", "seconds", "peak MB", "key figures", title="Stages", title_justify="left")
    for name, record in records.items():
        state = f"reused (made in {record.made_wall_s:.0f} s)" if record.cached else "made"
        figures = escape(_figures(record.summary))
        table.add_row(name, state, f"{record.wall_s:.1f}", f"{record.peak_rss_mb:.0f}", figures)
    return table


def _figures(summary: Mapping[str, Any]) -> str:
    """The first numbers of a stage's summary, with their names."""
    found = [
        f"{name.removeprefix('num_')} {value:.4g}"
        if isinstance(value, float)
        else f"{name.removeprefix('num_')} {value}"
        for name, value in summary.items()
        if isinstance(value, int | float)
    ]
    return ", ".join(found[:_NUM_FIGURES])


def _score_table(summary: RunSummary) -> Table:
    models = list(summary.metrics)
    table = Table("metric", *models, title="Scores on the test split, with 95 % intervals", title_justify="left")
    names = dict.fromkeys(name for metrics in summary.metrics.values() for name in metrics)
    for name in names:
        cells = [summary.metrics[model].get(name) for model in models]
        table.add_row(
            name,
            *(f"{cell.value:.3f} [{cell.interval[0]:.3f}, {cell.interval[1]:.3f}]" if cell else "" for cell in cells),
        )
    return table


def _device_line(summary: RunSummary) -> str:
    if summary.device is None or summary.device.slot is None:
        return "was not updated: the gate is closed" if not summary.gate.passed else "has nothing to run"
    head = f"slot {summary.device.slot}, release {summary.device.version}"
    if not summary.device.answers:
        return head
    clip, answers = next(iter(summary.device.answers.items()))
    return f"{head}; {clip}: " + " / ".join(answers.values())


def _shown(path: Path) -> str:
    """A path as a user would type it: relative where it lies below the working folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative

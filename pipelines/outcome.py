"""What the user sees at the end of a local run: one table and three lines, or why it failed."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hazardline.evaluate.document import REPORT_NAME, main_metrics
from hazardline.recipe import Recipe
from hazardline.run_summary import RunSummary, summarize
from hazardline.store import StageRecord

from pipelines.local_run import DEFECT_STATUS, Outcome, RunFolder


def write_run_summary(recipe: Recipe, outcome: Outcome, folder: RunFolder) -> RunSummary:
    """Write `summary.json`, copy the report beside it, and point `latest` beside the run's folder to both."""
    records = {stage.name: outcome.records[stage.name] for stage in recipe.stages() if stage.name in outcome.records}
    summary = summarize(folder.run_id, recipe.name, recipe.digest(), outcome.wall_s, records)
    shutil.copyfile(outcome.records["evaluate"].output / REPORT_NAME, folder.report)
    summary.write(folder.summary)
    making = folder.path.parent / f".latest-{folder.run_id}"
    making.symlink_to(folder.run_id)
    making.replace(folder.path.parent / "latest")
    return summary


def show_success(summary: RunSummary, outcome: Outcome, folder: RunFolder, console: Console) -> None:
    """The table of stages, the scores, and where to go from here."""
    console.print(_stage_table(summary, outcome.records))
    console.print(_score_table(summary))
    if summary.leakage.get("findings"):
        console.print(_finding_table(summary))
    verdict = "open" if summary.gate.passed else "closed: " + "; ".join(summary.gate.reasons)
    console.print(
        f"gate {verdict}\n{summary.registry.name} version {summary.registry.version}, aliases: "
        f"{', '.join(summary.registry.aliases) or 'none'}\nwhole run {summary.wall_s:.0f} s, peak memory of a stage "
        f"{summary.peak_rss_mb:.0f} MB; everything in {_shown(folder.summary)}",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"[bold]Report:[/] {escape(_shown(folder.report))}", highlight=False, soft_wrap=True)
    console.print("[bold]MLflow:[/] make ui", highlight=False)
    console.print(f"[bold]Device:[/] {escape(_device_line(summary))}", highlight=False, soft_wrap=True)


def show_release(outcome: Outcome, console: Console) -> None:
    """What became of the champion's release, and of the device."""
    released, device = (outcome.records[task].summary for task in ("release", "device"))
    console.print(f"[bold]Release:[/] {escape(released['reason'])}", highlight=False, soft_wrap=True)
    said = device["outcome"]["reason"] if device["outcome"] else "nothing was ever released, so it has nothing to run"
    console.print(f"[bold]Device:[/] {escape(said)}", highlight=False, soft_wrap=True)


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


def _stage_table(summary: RunSummary, records: Mapping[str, StageRecord]) -> Table:
    table = Table(title="Stages", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("stage", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("seconds", justify="right")
    table.add_column("peak MB", justify="right")
    table.add_column("key figures")
    figures = _key_figures(summary, records)
    for name, record in records.items():
        state = f"reused ({record.made_wall_s:.0f} s)" if record.cached else "made"
        table.add_row(name, state, f"{record.wall_s:.1f}", f"{record.peak_rss_mb:.0f}", escape(figures.get(name, "")))
    return table


def _key_figures(summary: RunSummary, records: Mapping[str, StageRecord]) -> dict[str, str]:
    """What each stage came to, in a few words."""
    clips = summary.clips
    branches = records["train"].summary["branches"]
    figures = {
        "ingest": f"{clips.num_clips} clips, {clips.num_quarantined} in quarantine",
        "split": ", ".join(f"{name} {count}" for name, count in clips.clips_by_split.items()),
        "synthesize": f"{clips.num_qa_pairs} questions with answers",
        "train": ", ".join(f"{name} {branch['num_steps']} steps" for name, branch in branches.items()),
        "evaluate": f"{records['evaluate'].summary['num_test_clips']} test clips",
        "gate": "open" if summary.gate.passed else "closed",
        "register": f"version {summary.registry.version}: {', '.join(summary.registry.aliases) or 'no alias'}",
    }
    if "simulate" in records:
        figures["simulate"] = f"{records['simulate'].summary['clips']} clips"
    if summary.bundle is not None:
        figures["export"] = f"{summary.bundle.size_bytes / 1e6:.1f} MB in {len(summary.bundle.files) + 1} files"
    if summary.release is not None:
        figures["release"] = f"version {summary.release.version}"
    if summary.device is not None:
        figures["device"] = f"slot {summary.device.slot}, release {summary.device.version}"
    return figures


def _score_table(summary: RunSummary) -> Table:
    """The main scores; all of them are in the report and in `summary.json`. Fits a terminal of 80 columns."""
    title = "Main scores on the test split, with 95 % intervals"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("metric", no_wrap=True)
    for model in summary.metrics:
        table.add_column(model, no_wrap=True)
    for name in main_metrics(summary.metrics.get("candidate", {})):
        cells = [metrics.get(name) for metrics in summary.metrics.values()]
        table.add_row(
            name,
            *(f"{_short(cell.value)} [{', '.join(map(_short, cell.interval))}]" if cell else "-" for cell in cells),
        )
    return table


def _finding_table(summary: RunSummary) -> Table:
    """What the leakage audit found, but for what is only told; all of it is in the report."""
    findings = summary.leakage["findings"]
    told = [finding for finding in findings if finding["severity"] != "info"]
    title = f"Leakage audit: {len(told)} of {len(findings)} findings are more than information"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("severity", "finding", "what was measured"):
        table.add_column(column, no_wrap=column != "what was measured")
    for finding in told:
        table.add_row(finding["severity"], finding["name"], escape(finding["sentence"]))
    return table


def _short(value: float) -> str:
    """Two decimals of a score between -1 and 1, without the zero before the point: `.83`."""
    return f"{value:.2f}".replace("0.", ".", 1)


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

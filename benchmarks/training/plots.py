"""One page of plots from the result document: a self-contained HTML file with embedded PNG pictures."""

import base64
import html
import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.training.document import Results, Row

_OURS, _PEER, _LIMIT = "#1f77b4", "#d62728", "#7f7f7f"
_PHASES = ("decode", "encode", "language_model")
WANTED = {
    "llamafactory_k5_p1024": 6.0,
    "llamafactory_frames_k5_p1024": 4.0,
    "llamafactory_k1_p1024": 1.0,
    "memory_k5_p1024": 4.0,
    "padded_k5_p1024": 7.0,
    "padded_k6_p2048": 9.0,
    "flop_fraction_k5_p1024": 0.9,
    "evaluate_k6_p1024": 4.0,
}
"""Ratios that the issue asks for."""


def write_page(results: Path, page: Path) -> None:
    """Draw what the document holds."""
    document = Results.read(results)
    rows = {row.case: row for row in document.rows}
    peers = [row for row in document.rows if "peer_seconds" in row.detail]
    figure, axes = plt.subplots(3, 2, figsize=(13, 14), constrained_layout=True)
    _draw_ratios(axes[0, 0], document.rows)
    _draw_phases(axes[0, 1], peers)
    _draw_losses(axes[1, 0], peers)
    _draw_grid(axes[1, 1], rows, "", "Qwen2-VL")
    _draw_grid(axes[2, 0], rows, "_videollama3", "VideoLLaMA3")
    _draw_quality(axes[2, 1], rows.get("quality_k6"))
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=90)
    plt.close(figure)
    page.write_text(_html(document, base64.b64encode(picture.getvalue()).decode()))


def _draw_ratios(axes: Axes, rows: list[Row]) -> None:
    shown = [row for row in rows if row.case in WANTED or "peer_seconds" in row.detail][::-1]
    axes.barh([row.case for row in shown], [row.ratio for row in shown], color=_OURS)
    for place, row in enumerate(shown):
        axes.text(row.ratio, place, f" {row.ratio:.2f}", va="center")
        if row.case in WANTED:
            axes.plot([WANTED[row.case]] * 2, [place - 0.4, place + 0.4], color=_PEER)
    axes.set_title("How many times better (red: asked for)")
    axes.tick_params(axis="y", labelsize=8)


def _draw_phases(axes: Axes, peers: list[Row]) -> None:
    labels = [label for row in peers for label in (f"{row.case}\nours", "peer")]
    for number, phase in enumerate(_PHASES):
        parts = [row.detail[side] for row in peers for side in ("ours_seconds", "peer_seconds")]
        left = [sum(part[name] for name in _PHASES[:number]) for part in parts]
        axes.barh(range(len(parts)), [part[phase] for part in parts], left=left, label=phase.replace("_", " "))
    axes.set_yticks(range(len(labels)), labels, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("seconds of the whole run")
    axes.set_title("Where the time goes, end to end")
    if peers:
        axes.legend()


def _draw_losses(axes: Axes, peers: list[Row]) -> None:
    for row in peers:
        (line,) = axes.plot(row.detail["ours_losses"], linewidth=4, alpha=0.35)
        axes.plot(row.detail["peer_losses"], "--", color=line.get_color(), linewidth=1, label=row.case)
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("loss")
    axes.set_title("Loss curves: ours (wide), peer (dashed)")
    if peers:
        axes.legend(fontsize=7)


def _draw_grid(axes: Axes, rows: dict[str, Row], suffix: str, title: str) -> None:
    for tokens in (256, 1024, 2048):
        cases = [(k, rows.get(f"padded_k{k}_p{tokens}{suffix}")) for k in (1, 2, 5, 6)]
        found = [(k, row) for k, row in cases if row is not None]
        counts = [k for k, _ in found]
        (line,) = axes.plot(counts, [row.ratio for _, row in found], "o-", label=f"{tokens} vision tokens")
        axes.plot(counts, [row.detail["flop_limit"] for _, row in found], ":", color=line.get_color())
    axes.set_xlabel("questions of a clip")
    axes.set_title(f"One step against padded, {title} (dotted: counted)")
    axes.legend()


def _draw_quality(axes: Axes, row: Row | None) -> None:
    axes.set_title("Validation loss at equal optimizer steps (a line a seed)")
    if row is None:
        axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)
        return
    for name, colour in (("packed", _OURS), ("shuffled", _PEER)):
        for number, curve in enumerate(row.detail[f"{name}_curves"]):
            axes.plot(row.detail["steps"], curve, color=colour, label=name if number == 0 else None)
    axes.set_xlabel("optimizer step")
    axes.legend()


def _html(document: Results, picture: str) -> str:
    lines = "".join(
        f"<tr><td>{html.escape(row.case)}</td><td>{row.ours:g}</td><td>{row.peer:g}</td><td>{row.unit}</td>"
        f"<td>{row.ratio:.2f}</td><td>{WANTED.get(row.case, '')}</td><td>{html.escape(row.note)}</td></tr>"
        for row in document.rows
    )
    machine = document.machine
    return (
        "<!doctype html><meta charset=utf-8><title>Training benchmarks</title>"
        "<style>body{font:14px sans-serif;max-width:1200px;margin:2em auto}td,th{padding:2px 8px;text-align:left}"
        "img{width:100%}</style><h1>Training benchmarks</h1>"
        f"<p>{html.escape(machine.processor)}, {machine.cores} cores, one thread, load {machine.load_average}; "
        f"commit {document.commit}; {html.escape(str(document.versions))}</p>"
        f'<img alt="plots" src="data:image/png;base64,{picture}">'
        "<table><tr><th>case<th>ours<th>peer<th>unit<th>ratio<th>asked<th>against</tr>" + lines + "</table>\n"
    )

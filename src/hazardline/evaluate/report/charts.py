"""The report's plots."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hazardline.charts import COLOURS, INK, figure_of, interval, styled, svg
from hazardline.evaluate.document import Estimate, SliceEstimate
from hazardline.evaluate.scores import Interval


@styled
def metric_chart(names: Sequence[str], metrics: Mapping[str, Mapping[str, Estimate]]) -> str:
    """Every metric of every model with its interval; the constant floor is the shaded part.

    Args:
        names: metrics from top to bottom, all on a scale of 0 to 1.
        metrics: model (or `ceiling`) to metric to estimate; a missing one is left out.
    """
    figure, axes = figure_of(8.2, 0.9 + 0.34 * len(names))
    offsets = {"base": 0.26, "constant": 0.09, "candidate": -0.09, "ceiling": -0.26}
    for row, name in enumerate(reversed(names)):
        floor = metrics.get("constant", {}).get(name)
        if floor is not None:
            axes.barh(row, floor.value, height=0.8, color=COLOURS["constant"], alpha=0.18, linewidth=0)
        for model, offset in offsets.items():
            found = metrics.get(model, {}).get(name)
            if found is not None:
                interval(axes, row + offset, found.value, found.low, found.high, COLOURS[model])
    for model in offsets:
        if metrics.get(model):
            axes.plot([], [], "o-", color=COLOURS[model], label=model)
    axes.set_yticks(range(len(names)), list(reversed(names)))
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.grid(axis="x", alpha=0.2)
    figure.legend(loc="outside lower center", ncols=4)
    return svg(figure, "metrics with 95 % intervals")


@styled
def times_chart(intervals: Sequence[tuple[Interval, Interval]], points: Sequence[tuple[float, float]]) -> str:
    """Predicted against true times of the crashes: start, end and pre-crash point; later answers on the upper edge.

    Args:
        intervals: (predicted, true) crash intervals, seconds.
        points: (predicted, true) pre-crash points, seconds.
    """
    panels = {
        "crash start": [(true[0], predicted[0]) for predicted, true in intervals],
        "crash end": [(true[1], predicted[1]) for predicted, true in intervals],
        "pre-crash point": [(true, predicted) for predicted, true in points],
    }
    end = 1.25 * max([1.0, *(true for pairs in panels.values() for true, _ in pairs)])
    figure = Figure(figsize=(9.0, 3.3), layout="constrained")
    for place, (title, pairs) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, 3, place)
        axes.plot([0, end], [0, end], color=INK, alpha=0.4, linewidth=1)
        if pairs:
            true, predicted = np.array(pairs).T
            shown = np.minimum(predicted, end)
            axes.scatter(true, shown, s=10, color=COLOURS["candidate"], alpha=0.55, linewidth=0, clip_on=False)
            title = f"{title}: median |error| {np.median(np.abs(true - predicted)):.2f} s"
        axes.set(xlim=(0, end), ylim=(0, end), xlabel="true, s", aspect="equal")
        axes.set_title(title, fontsize=9)
        if place == 1:
            axes.set_ylabel("predicted, s")
    return svg(figure, "predicted against true times")


@styled
def confusion_chart(counts: Mapping[str, Mapping[str, int]]) -> str:
    """What recognition said about each label: label -> answer (Yes, No, unparsable) -> clips."""
    rows, columns = list(counts), ["Yes", "No", "unparsable"]
    shares = np.array([[counts[row].get(column, 0) for column in columns] for row in rows], dtype=float)
    totals = np.maximum(shares.sum(axis=1, keepdims=True), 1)
    figure, axes = figure_of(4.2, 0.9 + 0.55 * len(rows))
    for row, name in enumerate(rows):
        for column, answer in enumerate(columns):
            share = shares[row, column] / totals[row, 0]
            tile = _rectangle(column, row, COLOURS["candidate"], 0.08 + 0.62 * share)
            axes.add_patch(tile)
            axes.text(column, row, f"{counts[name].get(answer, 0)}\n{share:.0%}", ha="center", va="center")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), [name.replace("_", " ") for name in rows])
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5), xlabel="the candidate said")
    return svg(figure, "recognition by label")


@styled
def class_confusion_chart(field: str, columns: Sequence[str], counts: Mapping[str, Mapping[str, int]]) -> str:
    """A heat map of one field: true class (rows) -> what was said (columns) -> images; shades are shares of the row."""
    figure, axes = figure_of(1.6 + 0.95 * len(columns), 1.3 + 0.42 * len(counts))
    for row, (true, said) in enumerate(counts.items()):
        total = max(sum(said.values()), 1)
        for column, name in enumerate(columns):
            count = said.get(name, 0)
            is_right = name == true
            colour = COLOURS["candidate"] if is_right else COLOURS["base"]
            axes.add_patch(_rectangle(column, row, colour, 0.05 + 0.75 * count / total))
            if count or is_right:
                axes.text(column, row, str(count), ha="center", va="center")
    axes.set_xticks(range(len(columns)), [name.replace(" ", "\n") for name in columns])
    axes.set_yticks(range(len(counts)), list(counts))
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(counts) - 0.5, -0.5), xlabel="the candidate said")
    axes.set_title(field, fontsize=9)
    return svg(figure, f"{field}: said against true")


def _rectangle(column: int, row: int, colour: str, alpha: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, color=colour, alpha=alpha, linewidth=0)


@styled
def slice_chart(metric: str, slices: Sequence[SliceEstimate], whole: Estimate | None) -> str:
    """One metric of the candidate on every part of the test set, with the whole as a line."""
    chosen = [part for part in slices if part.metric == metric]
    labels = [f"{part.dimension}: {part.value} ({part.estimate.n})" for part in chosen]
    figure, axes = figure_of(5.6, 0.7 + 0.26 * max(len(chosen), 1))
    for row, part in enumerate(reversed(chosen)):
        interval(axes, row, part.estimate.value, part.estimate.low, part.estimate.high, COLOURS["candidate"])
    if whole is not None:
        axes.axvline(whole.value, color=INK, alpha=0.5, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(chosen)), labels[::-1])
    axes.set(xlim=(0.0, 1.0), xlabel=metric)
    axes.grid(axis="x", alpha=0.2)
    return svg(figure, f"{metric} by part of the test set")


@styled
def loss_chart(curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Losses by step: name of the curve -> (step, loss)."""
    figure, axes = figure_of(7.2, 3.0)
    for name, points in curves.items():
        steps, losses = np.array(points, dtype=float).T
        is_measured = "validation" in name
        axes.plot(steps, losses, "o--" if is_measured else "-", linewidth=1.3, markersize=3.5, label=name)
    axes.set(xlabel="step", ylabel="loss")
    axes.grid(alpha=0.2)
    figure.legend(loc="outside right upper")
    return svg(figure, "training losses")

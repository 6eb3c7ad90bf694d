"""How plots of reports are drawn: inline SVG whose ink takes the page's colour, so that it reads on any page."""

import io
import re
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {"candidate": "#2f7ed8", "base": "#b8860b", "constant": "#8a8a8a", "ceiling": "#2e9e5b"}
Drawn = ParamSpec("Drawn")
INK = "#010203"  # replaced by currentColor
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hazardline",
    "font.size": 9,
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def styled(draw: Callable[Drawn, str]) -> Callable[Drawn, str]:
    """Draw under the report's style, whatever style the process has."""

    @wraps(draw)
    def drawn(*args: Drawn.args, **kwargs: Drawn.kwargs) -> str:
        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawn


def figure_of(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    """A figure of so many inches with one pair of axes."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    return figure, figure.add_subplot()


def svg(figure: Figure, label: str) -> str:
    """The SVG element alone: no document head, metadata or namespaces, its id references intact."""
    sink = io.StringIO()
    figure.savefig(sink, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = sink.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    text = text.replace(INK, "currentColor").replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    return text


def interval(axes: Axes, place: float, value: float, low: float, high: float, colour: str) -> None:
    """A value with its interval, lying, at a height of the axes."""
    axes.plot([low, high], [place, place], color=colour, linewidth=1.6)
    axes.plot([value], [place], "o", color=colour, markersize=4)

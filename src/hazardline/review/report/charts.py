"""The page's plots."""

from collections.abc import Sequence

from hazardline.charts import COLOURS, figure_of, interval, styled, svg
from hazardline.review.review_document import Acceptance, AgreementFigure


@styled
def acceptance_chart(rows: Sequence[Acceptance]) -> str:
    """The annotator's acceptance rate by task, with Wilson's intervals."""
    shown = [row for row in rows if row.rate is not None]
    figure, axes = figure_of(7.4, 0.8 + 0.34 * max(len(shown), 1))
    for place, row in enumerate(reversed(shown)):
        assert row.rate is not None and row.low is not None and row.high is not None
        interval(axes, place, row.rate, row.low, row.high, COLOURS["candidate"])
    labels = [
        f"{row.task.replace('_', ' ')} ({row.num_accepted} of {row.num_accepted + row.num_refused})" for row in shown
    ]
    axes.set_yticks(range(len(shown)), labels[::-1])
    axes.set(xlim=(0.0, 1.0), ylim=(-0.6, max(len(shown), 1) - 0.4), xlabel="accepted")
    axes.grid(axis="x", alpha=0.2)
    return svg(figure, "acceptance of the annotator by task")


@styled
def kappa_chart(rows: Sequence[AgreementFigure]) -> str:
    """Cohen's kappa by topic: reviewers with each other (blue) and with the annotation (green), with intervals."""
    shown = [row for row in rows if row.measure == "cohen_kappa" and row.figure.value is not None]
    figure, axes = figure_of(7.4, 0.9 + 0.3 * max(len(shown), 1))
    colours = {"reviewers": COLOURS["candidate"], "annotation": COLOURS["ceiling"]}
    for place, row in enumerate(reversed(shown)):
        found = row.figure
        assert found.value is not None and found.low is not None and found.high is not None
        interval(axes, place, found.value, found.low, found.high, colours[row.between])
    axes.axvline(0.0, linewidth=1, alpha=0.5, color=COLOURS["constant"])
    axes.set_yticks(range(len(shown)), [_who(row) for row in reversed(shown)])
    axes.set(xlim=(-1.0, 1.02), ylim=(-0.6, max(len(shown), 1) - 0.4), xlabel="Cohen's kappa")
    axes.grid(axis="x", alpha=0.2)
    return svg(figure, "kappa by topic")


def _who(row: AgreementFigure) -> str:
    with_whom = "the annotation" if row.between == "annotation" else " and ".join(row.reviewers)
    return f"{row.task.replace('_', ' ')}: {with_whom}"

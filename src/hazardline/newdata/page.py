"""The trigger for people: one HTML page that needs nothing beside it."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from hazardline.newdata.document import STATUSES, DriftRow, Trigger

_MEANINGS = {
    "new": "id and bytes unknown to the reference",
    "changed": "a known id with unknown bytes",
    "relabelled": "known bytes with another annotation",
    "renamed": "known bytes and annotation under another id",
    "unchanged": "in both versions alike",
    "removed": "in the reference only",
}
_KINDS = {
    "shares": "total variation",
    "distribution": "KS distance",
    "distance": "energy coefficient",
    "classifier": "AUC of a classifier",
}
VERDICTS = {"drift": "drift", "no_drift": "no drift", "not_measured": "not measured"}


def write_page(trigger: Trigger) -> str:
    """Render the page; the same document gives the same page."""
    environment = Environment(
        loader=PackageLoader("hazardline.newdata", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja").render(
        trigger=trigger,
        statuses=[(status, _MEANINGS[status], trigger.counts[status]) for status in STATUSES],
        rows=[(row, table_cells(row)) for row in trigger.drift],
        charts=[row for row in trigger.drift if len(row.shares) > 1],
    )


def table_cells(row: DriftRow) -> tuple[str, str, str, str, str, str]:
    """One row of the drift table as texts: name, measure, effect, limit, certainty, verdict."""
    effect = "-" if row.effect is None else f"{row.effect:.3f}"
    if row.low is not None and row.high is not None:
        certainty = f"95 %: {row.low:.3f} to {row.high:.3f}"
    else:
        certainty = "-" if row.p_holm is None else f"p {row.p_holm:.4f}"
    return row.name, _KINDS[row.kind], effect, f"{row.limit:g}", certainty, VERDICTS[row.verdict]

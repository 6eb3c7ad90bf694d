"""The dataset card of a version: Markdown for people, with the metadata that the Hugging Face hub reads."""

from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import DatasetCard, DatasetCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hazardline.datasets.document import DatasetVersion
from hazardline.ingest.features import HEIGHT_PX, RATE_HZ, WIDTH_PX
from hazardline.ingest.licences import licence_of
from hazardline.ingest.report import IngestReport
from hazardline.markdown import as_cell

CARD_NAME = "README.md"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LARGER = "1M<n<10M"


def card_of(
    version: DatasetVersion,
    report: IngestReport,
    description: str,
    by_split: Mapping[str, int] | None = None,
) -> str:
    """The card of a version.

    Args:
        version: its facts.
        report: the ingest that made it.
        description: what the data set is, for people.
        by_split: split -> clips, where it has been split.

    Returns:
        Markdown with a YAML head; the same arguments give the same text.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  Markdown; `cell` takes the edge off what came from outside
    )
    environment.filters["cell"] = as_cell
    tables = [("label", report.by_label), ("source", report.by_source), ("scenario", report.by_scenario)]
    tables += [("split", dict(by_split))] if by_split is not None else []
    labels = [label for label, count in report.by_label.items() if count]
    one_label = sorted(
        source for source, found in report.labels_by_source.items() if sum(map(bool, found.values())) == 1
    )
    text = environment.get_template("card.md.jinja").render(
        card_data=_head(version).to_yaml(),
        version=version,
        report=report,
        description=description,
        tables=tables,
        licences=[(source, licence_of(source)) for source in version.layouts],
        rate_hz=f"{RATE_HZ:g}",
        width_px=WIDTH_PX,
        height_px=HEIGHT_PX,
        one_label=one_label if len(labels) > 1 else [],
    )
    return str(DatasetCard(text))


def _head(version: DatasetVersion) -> DatasetCardData:
    known = [licence_of(source) for source in version.layouts]
    named = {licence.spdx if licence is not None else None for licence in known}
    (only,) = named if len(named) == 1 else (None,)
    return DatasetCardData(
        license="other" if only is None else only.lower(),
        pretty_name=version.name,
        size_categories=next((name for limit, name in _SIZES if version.num_clips < limit), _LARGER),
        task_categories=["video-text-to-text"],
        tags=["traffic-safety", "dashcam", "hazardline"],
        configs=[
            {"config_name": name.removesuffix(".parquet"), "data_files": name}
            for name in sorted(version.files)
            if name.endswith(".parquet")
        ],
    )

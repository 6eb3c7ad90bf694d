"""The newdata stage of a scheduled run: is what came in since the champion was trained worth a training?"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hazardline.files import write_atomic
from hazardline.ingest.report import REPORT_NAME, IngestReport
from hazardline.newdata.config import NewdataConfig
from hazardline.newdata.decide import decide
from hazardline.newdata.document import PAGE_NAME, TRIGGER_NAME
from hazardline.newdata.page import write_page
from hazardline.newdata.reference import REFERENCE_FOLDER, REFERENCE_NAME, ReferenceNote
from hazardline.progress import Reporter


def run(config: NewdataConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    """Compare today's version with the one that the champion was trained on; writes `trigger.json` and `trigger.html`.

    Args:
        config: the trigger's policy.
        inputs: `ingest` (today's version) and `champion` (the version that it was trained on, out of the registry).
        out: empty folder.
        reporter: told every reason.

    Returns:
        `retrain`, the reasons as `{kind, retrain, sentence}`, counts, and whom today's version was compared with.

    Raises:
        UserError: a table is missing or damaged.
    """
    note = ReferenceNote.read(inputs["champion"] / REFERENCE_NAME)
    today = IngestReport.read(inputs["ingest"] / REPORT_NAME).dataset_digest
    reference = inputs["champion"] / REFERENCE_FOLDER if note.dataset_version is not None else None
    reporter.phase("compare")
    trigger = decide(
        reference,
        inputs["ingest"],
        config.trigger,
        trained=note.trained.get(today),
        unknown_reference=note.unknown,
    )
    trigger.write(out / TRIGGER_NAME)
    write_atomic(out / PAGE_NAME, write_page(trigger).encode())
    for reason in trigger.reasons:
        reporter.note(reason.sentence)
    reporter.note("a training is due" if trigger.retrain else "no training is due")
    return {
        "retrain": trigger.retrain,
        "reasons": [reason.data() for reason in trigger.reasons],
        "num_new": trigger.num_new,
        "num_new_crashes": trigger.num_new_crashes,
        "num_relabelled": trigger.counts["relabelled"].num_clips,
        "new_digest": trigger.new_digest,
        "champion_version": note.model_version,
        "reference_version": note.dataset_version,
    }

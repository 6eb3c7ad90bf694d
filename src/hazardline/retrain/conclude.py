"""The task that ends a scheduled run which no error has ended before."""

from collections.abc import Mapping
from pathlib import Path

from hazardline.files import write_atomic
from hazardline.retrain.conclusion import as_markdown, conclude
from hazardline.retrain.notes import leave_conclusion
from hazardline.stage_events import told
from hazardline.store import StageRecord


def conclude_run(run_id: str, model_name: str, records: Mapping[str, str | None], summary: Path) -> None:
    """Say what a run came to, and leave it for the notice.

    Args:
        run_id: the run.
        model_name: the registered model.
        records: stage (newdata, gate, register) to the path of its record; None for one that did not run.
        summary: where the conclusion goes as Markdown.
    """
    with told("conclude") as emit:
        found = {name: StageRecord.read(Path(path)).summary for name, path in records.items() if path is not None}
        conclusion = conclude(run_id, model_name, found)
        write_atomic(summary, as_markdown(conclusion).encode())
        leave_conclusion(conclusion)
        emit({"note": f"{conclusion.outcome}: {conclusion.sentence}"})
        emit({"state": "done"})

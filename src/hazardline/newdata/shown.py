"""What a pipeline's user interface shows of the trigger: the verdict with its reasons and counts as Markdown."""

from pathlib import Path

from hazardline.files import write_atomic
from hazardline.markdown import as_table
from hazardline.newdata.document import TRIGGER_NAME, Trigger
from hazardline.newdata.page import table_cells


def show(folder: Path, summary: Path) -> None:
    """Write what the newdata stage has decided.

    Args:
        folder: what the stage wrote.
        summary: where the Markdown goes.
    """
    write_atomic(summary, summary_text(Trigger.read(folder / TRIGGER_NAME)).encode())


def summary_text(trigger: Trigger) -> str:
    """Verdict, reasons, clips by status, and drift where it was measured."""
    head = "A training is due" if trigger.retrain else "Nothing to do: no training is due"
    reasons = as_table(
        ["reason", "asks for a training", "what was found"],
        ([reason.kind, "yes" if reason.retrain else "no", reason.sentence] for reason in trigger.reasons),
    )
    counts = as_table(["status", "clips"], ([name, str(found.num_clips)] for name, found in trigger.counts.items()))
    text = f"# {head}\n\n{reasons}\n## Clips against the champion's version\n\n{counts}"
    if trigger.drift:
        names = ["what", "measure", "effect", "limit", "certainty", "verdict"]
        text += f"\n## Drift\n\n{as_table(names, map(table_cells, trigger.drift))}"
    return text

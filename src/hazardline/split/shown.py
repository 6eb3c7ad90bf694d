"""What a pipeline's user interface shows of a split: its parts, and what the leakage audit found."""

from pathlib import Path

from hazardline.files import write_atomic
from hazardline.markdown import as_table
from hazardline.split.document import LEAKAGE_NAME, LeakageReport


def show(folder: Path, summary: Path) -> None:
    """Write the audit as Markdown.

    Args:
        folder: what the split stage wrote.
        summary: where the Markdown goes.
    """
    write_atomic(summary, summary_text(LeakageReport.read(folder / LEAKAGE_NAME)).encode())


def summary_text(report: LeakageReport) -> str:
    """Clips by split and every finding, the gravest first."""
    parts = as_table(
        ["split", "clips", "groups", "labels"],
        (
            [
                name,
                str(found.num_clips),
                str(found.num_groups),
                ", ".join(f"{label} {count}" for label, count in found.by_label.items()),
            ]
            for name, found in report.splits.items()
        ),
    )
    findings = as_table(
        ["severity", "finding", "what was measured", "what to do"],
        ([item.severity, item.name, item.sentence, item.remedy] for item in report.findings),
    )
    told = findings if report.findings else "The audit looked at nothing.\n"
    return f"# Split and leakage audit\n\n{parts}\n## Findings\n\n{told}"

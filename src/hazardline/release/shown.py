"""What a pipeline's user interface shows of a release."""

from pathlib import Path

from hazardline.files import write_atomic
from hazardline.markdown import as_cell, as_table
from hazardline.release.document import RELEASE_NAME, ReleaseReport


def show(folder: Path, summary: Path) -> None:
    """Write what was released, or why nothing was, as Markdown.

    Args:
        folder: what the release stage wrote.
        summary: where the Markdown goes.
    """
    write_atomic(summary, summary_text(ReleaseReport.read(folder / RELEASE_NAME)).encode())


def summary_text(report: ReleaseReport) -> str:
    """What was released where."""
    facts = {
        "model": report.model,
        "channel": report.channel,
        "version": "none" if report.version is None else str(report.version),
        "repository": report.repository or "none",
        "manifest (SHA-256)": report.manifest_sha256 or "none",
        "files": f"{report.num_files}, of which {report.num_files_uploaded} were uploaded",
        "size": f"{report.size_bytes / 1e6:.1f} MB",
    }
    head = "# Released" if report.released else "# Not released"
    return f"{head}\n\n{as_cell(report.reason)}\n\n" + as_table(["", ""], facts.items())

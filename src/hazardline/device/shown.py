"""What a pipeline's user interface shows of a device: what it runs, and what it says."""

from pathlib import Path

from hazardline.device.stage import DEVICE_NAME, DeviceReport
from hazardline.files import write_atomic
from hazardline.markdown import as_cell, as_table


def show(folder: Path, summary: Path) -> None:
    """Write a device's report as Markdown.

    Args:
        folder: what the device stage wrote.
        summary: where the Markdown goes.
    """
    write_atomic(summary, summary_text(DeviceReport.read(folder / DEVICE_NAME)).encode())


def summary_text(report: DeviceReport) -> str:
    """Slot and release, how the update went, and every answer."""
    if report.outcome is None:
        return "# Device\n\nNothing was ever released, so the device has nothing to run.\n"
    runs = f"Slot {report.slot} runs release {report.version}." if report.slot else "It has nothing to run."
    answers = as_table(
        ["clip", "seconds", "task", "answer"],
        (
            [clip, f"{report.latency_s[clip]:.2f}" if clip in report.latency_s else "-", task, answer]
            for clip, given in report.answers.items()
            for task, answer in given.items()
        ),
    )
    return f"# Device\n\n{runs} {as_cell(report.outcome.reason)}\n\n{answers if report.answers else ''}"

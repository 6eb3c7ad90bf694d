"""What a pipeline's user interface shows of a device."""

from pathlib import Path

from hazardline.device.shown import show
from hazardline.device.stage import DEVICE_NAME, DeviceReport
from hazardline.device.update import UpdateOutcome


def shown(report: DeviceReport, folder: Path) -> str:
    report.write(folder / DEVICE_NAME)
    show(folder, folder / "summary")
    return (folder / "summary").read_text()


def test_a_device_shows_what_it_runs_and_says(tmp_path: Path) -> None:
    report = DeviceReport(
        outcome=UpdateOutcome(status="installed", kind="installed", reason="release 4 is in", slot="b", version=4),
        slot="b",
        version=4,
        answers={"clip|1": {"crash_recognition": "Yes", "cause_reasoning": "<b>ice</b>"}},
        latency_s={"clip|1": 1.234},
        load_s=1.0,
        peak_memory_mb=100.0,
        nodes_by_provider={},
    )
    text = shown(report, tmp_path)
    assert "Slot b runs release 4. release 4 is in" in text
    assert "| clip\\|1 | 1.23 | crash\\_recognition | Yes |" in text
    assert "\\<b\\>ice" in text


def test_a_device_without_a_release_says_so(tmp_path: Path) -> None:
    nothing = DeviceReport(
        outcome=None,
        slot=None,
        version=None,
        answers={},
        latency_s={},
        load_s=None,
        peak_memory_mb=None,
        nodes_by_provider={},
    )
    assert "Nothing was ever released" in shown(nothing, tmp_path)

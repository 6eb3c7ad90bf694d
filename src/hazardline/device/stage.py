"""Device: what a vehicle's computer does with a release, done here, on a device that is a folder.

The first run provisions it with the trust anchor; every run updates it from the repository and asks the slot that it
then runs for the answers to a few clips of the test split.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hazardline.device.config import DeviceConfig
from hazardline.device.health import PROBE_COMMAND, HealthResult, ProbeReport, check_health, probe
from hazardline.device.slots import start
from hazardline.device.state import DeviceFolder, Slot, provision
from hazardline.device.update import Request, UpdateOutcome, update
from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.mirror.clips import make_present
from hazardline.progress import Reporter
from hazardline.release.document import RELEASE_NAME, ReleaseReport
from hazardline.suites import suite_of

DEVICE_NAME = "device.json"


class DeviceReport(Document):
    """`device.json`: what the device runs, how it came to that, and what it says."""

    schema_version: str = "device-report@1"
    outcome: UpdateOutcome | None
    """None where nothing was ever released."""
    slot: Slot | None
    version: int | None
    answers: dict[str, dict[str, str]]
    """Clip to task to answer."""
    latency_s: dict[str, float]
    """Clip to seconds for all its answers."""
    load_s: float | None
    peak_memory_mb: float | None
    """Of the process that answers, MB (10^6 bytes)."""
    nodes_by_provider: dict[str, int]


def run(config: DeviceConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    """Update the device and let it answer; writes `device.json`.

    Args:
        config: repository, device folder, limits.
        inputs: `release` (where to look, trust anchor), `ingest` and `synthesize` (clips of the test split).
        out: empty folder.
        reporter: progress.

    Raises:
        UserError: the update was refused or failed (the device keeps what it ran), or the slot does not answer.
    """
    released = ReleaseReport.read(inputs["release"] / RELEASE_NAME)
    repository = config.repository or released.repository
    if repository is None or released.root_sha256 is None:
        report = _report(None, None, {})
        report.write(out / DEVICE_NAME)
        reporter.note("nothing was ever released, so the device has nothing to run")
        return report.data()
    device = provision(config.state_folder(), (inputs["release"] / "root.json").read_bytes())
    request = Request(
        repository=repository,
        model=config.model or released.model,
        channel=config.channel or released.channel,
        max_attempts=config.max_attempts,
        fetch=config.fetch,
    )
    outcome = _update(device, request, config, reporter)
    reporter.note(f"device: {outcome.reason}; {outcome.downloaded_bytes} bytes downloaded")
    clips = _test_clips(inputs, config.num_answered_clips)
    reporter.phase("answer", len(clips))
    answered = probe(start(device), list(clips.values()), config.health.timeout_s, PROBE_COMMAND)
    reporter.advance(len(clips))
    names = {str(path): clip_id for clip_id, path in clips.items()}
    report = _report(outcome, answered, names)
    report.write(out / DEVICE_NAME)
    return report.data()


def _update(device: DeviceFolder, request: Request, config: DeviceConfig, reporter: Reporter) -> UpdateOutcome:
    def health(bundle: Path) -> HealthResult:
        reporter.phase("health check")
        return check_health(bundle, config.health, PROBE_COMMAND)

    def confirmation(bundle: Path) -> HealthResult:
        return check_health(bundle, config.health, PROBE_COMMAND, max_clips=1)

    reporter.phase("update")
    outcome = update(device, request, health, confirmation)
    if outcome.status not in ("installed", "unchanged"):
        runs = f"it keeps release {outcome.version}" if outcome.version else "it has no release to run"
        hint = ""
        if outcome.kind in ("UnsignedMetadataError", "BadVersionNumberError") and outcome.status == "failed":
            hint = (
                f". If the repository was made anew on purpose, remove {device.root} so that the device is provisioned "
                "with the new keys"
            )
        raise UserError(f"{device.root}: the device was not updated: {outcome.reason}; {runs}{hint}")
    return outcome


def _report(outcome: UpdateOutcome | None, answered: ProbeReport | None, names: Mapping[str, str]) -> DeviceReport:
    clips = answered.clips if answered else ()
    return DeviceReport(
        outcome=outcome,
        slot=outcome.slot if outcome else None,
        version=outcome.version if outcome else None,
        answers={names[clip.clip]: clip.answers for clip in clips},
        latency_s={names[clip.clip]: round(clip.latency_s, 4) for clip in clips},
        load_s=round(answered.load_s, 4) if answered else None,
        peak_memory_mb=round(answered.peak_memory_mb, 1) if answered else None,
        nodes_by_provider=answered.nodes_by_provider if answered else {},
    )


def _test_clips(inputs: Mapping[str, Path], num_clips: int) -> dict[str, Path]:
    """A few clips of the test split, those with a crash or a risk and others in turn, in the order of their names."""
    from hazardline.tables import QA, SCENES, read_table

    rows = [row for row in read_table(QA, inputs["synthesize"]) if row["split"] == "test"]
    tested = {row["clip_id"] for row in rows}
    hazards = {row["clip_id"] for row in rows if _says_yes(row)}
    scenes = [row for row in read_table(SCENES, inputs["ingest"]) if row["clip_id"] in tested]
    if not scenes:
        raise UserError(f"{inputs['synthesize']}: has no clip in the test split, so the device has nothing to answer")
    hazardous = [row for row in scenes if row["clip_id"] in hazards]
    others = [row for row in scenes if row["clip_id"] not in hazards]
    ordered = []
    for index in range(max(len(hazardous), len(others))):
        ordered += hazardous[index : index + 1] + others[index : index + 1]
    clips = {row["clip_id"]: Path(row["video_uri"].removeprefix("file://")) for row in ordered[:num_clips]}
    make_present((clips[row["clip_id"]], row["sha256"]) for row in ordered[:num_clips])
    return clips


def _says_yes(row: Mapping[str, Any]) -> bool:
    """Whether a question-answer pair says that there is a crash, or a risk."""
    suite = suite_of(row["prompt_version"])
    return row["task"] == suite.key_task and suite.says_yes(row["answer"])

"""What came of a run of the line, as one document (`summary.json`), from the records of its stages."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from hazardline.documents import Document
from hazardline.evaluate.document import EVALUATION_NAME, Estimate, Evaluation
from hazardline.store import StageRecord
from hazardline.synthesize.document import SYNTHESIS_NAME, Synthesis

SUMMARY_NAME = "summary.json"


class StageCost(Document):
    """A stage in this run."""

    name: str
    wall_s: float
    peak_rss_mb: float
    """Of its process tree, in MB (10^6 bytes); pages that processes share count once for each."""
    cached: bool
    """Whether the output was in the store already."""


class DataSummary(Document):
    """What the models were trained and tested on."""

    num_clips: int
    clips_by_label: dict[str, int]
    num_quarantined: int
    num_qa_pairs: int
    clips_by_split: dict[str, int]


class MetricSummary(Document):
    """A metric with its 95 % interval over so many clips."""

    value: float
    interval: tuple[float, float]
    n: int


class GateSummary(Document):
    """What the gate decided; the reasons are those of the rules that failed, or of all where all passed."""

    passed: bool
    reasons: list[str]


class RegistrySummary(Document):
    """The candidate's version in the model registry."""

    name: str
    version: int
    aliases: list[str]


class BundleFileSummary(Document):
    """One file of the bundle."""

    path: str
    size_bytes: int
    sha256: str


class BundleSummary(Document):
    """What a vehicle's computer runs."""

    model_config = ConfigDict(serialize_by_alias=True)

    manifest_digest: str = Field(alias="digest")
    """SHA-256 of the bundle's manifest, and with it of every file."""
    size_bytes: int
    files: list[BundleFileSummary]


class ReleaseSummary(Document):
    """What was published; no version where nothing was."""

    version: int | None
    repository: str | None


class DeviceSummary(Document):
    """What the device runs now, and what it says of some clips."""

    slot: str | None
    version: int | None
    answers: dict[str, dict[str, str]]
    """Clip to task to answer."""


class RunSummary(Document):
    """One run. What a closed gate left out is null."""

    model_config = ConfigDict(serialize_by_alias=True)

    version: Literal["run-summary@1"] = "run-summary@1"
    run_id: str
    recipe: str
    recipe_digest: str
    wall_s: float
    peak_rss_mb: float
    """Largest of the stages' peaks: local stages run one after another."""
    stages: list[StageCost]
    clips: DataSummary = Field(alias="data")
    metrics: dict[str, dict[str, MetricSummary]]
    """Model (base, constant, candidate) to metric."""
    ceiling: dict[str, MetricSummary]
    """The probe on the frozen encoder's features: a diagnosis."""
    leakage: dict[str, Any]
    """`leakage.json` of the split stage."""
    gate: GateSummary
    registry: RegistrySummary
    parity: dict[str, Any] | None
    """`parity.json` of the export stage."""
    bundle: BundleSummary | None
    release: ReleaseSummary | None
    device: DeviceSummary | None


def summarize(
    run_id: str, recipe: str, recipe_digest: str, wall_s: float, records: Mapping[str, StageRecord]
) -> RunSummary:
    """Gather the summary of a run that ended well.

    Args:
        run_id: name of the run.
        recipe: name of the recipe.
        recipe_digest: its digest.
        wall_s: seconds from the start of the run.
        records: record of every stage that ran, in their order.
    """
    evaluation = Evaluation.read(records["evaluate"].output / EVALUATION_NAME)
    exported = records.get("export")
    return RunSummary(
        run_id=run_id,
        recipe=recipe,
        recipe_digest=recipe_digest,
        wall_s=wall_s,
        peak_rss_mb=max(record.peak_rss_mb for record in records.values()),
        stages=[_cost(record) for record in records.values()],
        data=_data(records),
        metrics={model: _metrics(found) for model, found in evaluation.metrics.items()},
        ceiling=_metrics(evaluation.ceiling),
        leakage=_json(records["split"].output / "leakage.json"),
        gate=_gate(records["gate"].summary["passed"], records["gate"].summary["reasons"]),
        registry=_registry(records["register"].summary),
        parity=_json(exported.output / "parity.json") if exported else None,
        bundle=_bundle(exported.output / "bundle") if exported else None,
        release=_release(records["release"].summary) if "release" in records else None,
        device=_device(records["device"].summary) if "device" in records else None,
    )


def _cost(record: StageRecord) -> StageCost:
    return StageCost(name=record.stage, wall_s=record.wall_s, peak_rss_mb=record.peak_rss_mb, cached=record.cached)


def _data(records: Mapping[str, StageRecord]) -> DataSummary:
    ingested = records["ingest"].summary
    synthesis = Synthesis.read(records["synthesize"].output / SYNTHESIS_NAME)
    return DataSummary(
        num_clips=ingested["num_clips"],
        clips_by_label=ingested["by_label"],
        num_quarantined=ingested["num_quarantined"],
        num_qa_pairs=synthesis.num_pairs,
        clips_by_split=dict(synthesis.num_clips),
    )


def _metrics(estimates: Mapping[str, Estimate]) -> dict[str, MetricSummary]:
    return {
        name: MetricSummary(value=found.value, interval=(found.low, found.high), n=found.n)
        for name, found in estimates.items()
    }


def _gate(passed: bool, reasons: Sequence[Mapping[str, Any]]) -> GateSummary:
    telling = [reason["sentence"] for reason in reasons if passed or not reason["passed"]]
    return GateSummary(passed=passed, reasons=telling)


def _registry(registration: Mapping[str, Any]) -> RegistrySummary:
    return RegistrySummary(
        name=registration["name"], version=registration["version"], aliases=list(registration["aliases"])
    )


def _bundle(folder: Path) -> BundleSummary:
    from hazardline.device.bundle import verify_bundle

    found = verify_bundle(folder)
    files = [BundleFileSummary(path=file.path, size_bytes=file.size_bytes, sha256=file.sha256) for file in found.files]
    return BundleSummary(digest=found.manifest_sha256, size_bytes=found.size_bytes, files=files)


def _release(report: Mapping[str, Any]) -> ReleaseSummary:
    return ReleaseSummary(version=report["version"], repository=report["repository"])


def _device(report: Mapping[str, Any]) -> DeviceSummary:
    return DeviceSummary(slot=report["slot"], version=report["version"], answers=report["answers"])


def _json(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_bytes())
    return value

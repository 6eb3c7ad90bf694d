"""Acceptance: on the simulator's twins the audit passes; where the label is the source it refuses."""

from pathlib import Path

import pytest

from hazardline.errors import RefusedOutputError
from hazardline.progress import SilentReporter
from hazardline.simulate import stage as simulate_stage
from hazardline.simulate.config import SimulateConfig
from hazardline.split import stage
from hazardline.split.config import SplitConfig
from hazardline.split.document import LeakageReport
from hazardline.tables import SCENES, read_table, write_table
from tests.countermeasures.footage import ingested


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen crashes with their near-miss twins, simulated and ingested."""
    root = tmp_path_factory.mktemp("twins")
    (root / "clips").mkdir()
    simulate_stage.run(SimulateConfig(num_pairs=16, num_normal=0, seed=3), {}, root / "clips", SilentReporter())
    return ingested(root / "clips", root / "ingest")


def test_on_the_simulators_twins_the_audit_passes(twins: Path, tmp_path: Path) -> None:
    stage.run(SplitConfig(), {"ingest": twins}, tmp_path, SilentReporter())
    findings = LeakageReport.read(tmp_path / "leakage.json").findings
    assert {finding.severity for finding in findings if finding.is_measured} == {"info"}
    assert {finding.severity for finding in findings} <= {"info", "warning"}
    assert next(finding for finding in findings if finding.name == "technical_features").is_measured


def test_where_the_label_is_the_source_the_audit_refuses(twins: Path, tmp_path: Path) -> None:
    rows = read_table(SCENES, twins)
    moved = [{**row, "source": "MM-AU-CAP" if row["label"] == "crash" else "D2City"} for row in rows]
    ingest, out = tmp_path / "ingest", tmp_path / "out"
    for folder in (ingest, out):
        folder.mkdir()
    write_table(SCENES, ingest, moved)
    for name in ("features.parquet", "fingerprints.parquet"):
        (ingest / name).write_bytes((twins / name).read_bytes())
    with pytest.raises(RefusedOutputError, match="critical: source_against_label"):
        stage.run(SplitConfig(), {"ingest": ingest}, out, SilentReporter())

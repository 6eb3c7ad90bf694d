"""A component and a cluster that share one store, with a fake Kubernetes between them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hazardline.files import digest_json
from hazardline.stage_runner import run_stage
from hazardline.stages import Stage
from hazardline.store import StageRecord, describe_files, output_digest
from tests.rayjob.crd import Faults, broken_rules, faults_by_crd
from tests.rayjob.fake_kubernetes import FakeKubernetes

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60
IMAGE = "registry.example/hazardline-train@sha256:" + "a" * 64
QUICK: dict[str, Any] = {"image": IMAGE, "poll_s": 0.2, "backoff_s": 0.02, "pod_trouble_s": 0.3, "api_patience_s": 15.0}


def wait_until(condition: Callable[[], Any], what: str = "it") -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up_at, f"{what} never happened"
        time.sleep(0.02)


def store_output(store: Path, stage: str, name: str = "made.txt", folder: Path | None = None) -> Path:
    """An output of an upstream stage in the store; the path of its record."""
    key = digest_json(stage)
    output = store / stage / key / "output"
    output.parent.mkdir(parents=True)
    if folder is None:
        output.mkdir()
        (output / name).write_text(stage)
    else:
        folder.rename(output)
    files = describe_files(output)
    cost: dict[str, Any] = {"wall_s": 1.0, "peak_rss_mb": 1.0, "made_wall_s": 1.0}
    record = StageRecord(
        stage=stage,
        key=key,
        uri=output.as_uri(),
        content_digest=output_digest(files),
        cached=False,
        summary={},
        inputs={},
        files=files,
        **cost,
    )
    record.write(output.parent / "record.json")
    return output.parent / "record.json"


class Place:
    """Folders, variables and processes of one test."""

    def __init__(self, folder: Path, fake: FakeKubernetes) -> None:
        self.folder, self.fake = folder, fake
        self.tiny, self.store, self.events = folder / "tiny", folder / "store", folder / "events.jsonl"
        self.tiny.mkdir()
        self.inputs = {stage: store_output(self.store, stage) for stage in ("ingest", "synthesize")}
        self.section = "{}"
        self.settings = dict(QUICK)
        self.variables = {
            "HAZARDLINE_HOME": str(folder / "home"),
            "HAZARDLINE_STORE": str(self.store),
            "HAZARDLINE_EVENTS": str(self.events),
            "KUBECONFIG": str(fake.kubeconfig),
            "MLFLOW_RUN_ID": "run-7",
            "MLFLOW_TRACKING_PASSWORD": "canary",
        }

    def environ(self) -> dict[str, str]:
        return {**self.variables, "HAZARDLINE_RAYJOB": json.dumps(self.settings)}

    def run(self, **settings: Any) -> StageRecord:
        """The component in this process."""
        self.settings |= settings
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environ().items():
                patch.setenv(name, value)
            patch.setattr(Stage, "code_digest", lambda stage: "")
            records = {stage: str(path) for stage, path in self.inputs.items()}
            return run_stage("train", self.section, records, str(self.folder / "record.json"))

    def refused(self, capsys: pytest.CaptureFixture[str], **settings: Any) -> str:
        """The component in this process, which ends with an error for the user; its one line."""
        with pytest.raises(SystemExit) as caught:
            self.run(**settings)
        assert caught.value.code == 2
        said = capsys.readouterr().err.strip()
        assert said.startswith("train: ") and "\n" not in said
        return said

    def start(self, name: str = "component") -> "subprocess.Popen[str]":
        """The component in a process of its own."""
        (self.folder / f"{name}.json").unlink(missing_ok=True)
        paths = [str(self.folder / f"{name}.json"), *(str(path) for path in self.inputs.values())]
        return subprocess.Popen(
            [sys.executable, "-m", "tests.rayjob.component", self.section, *paths],
            cwd=ROOT,
            env={**os.environ, **tiny_path(self.tiny), **self.environ()},
            stderr=subprocess.PIPE,
            text=True,
        )

    def notes(self) -> list[str]:
        lines = [json.loads(line) for line in self.events.read_text().splitlines()] if self.events.exists() else []
        return [line["note"] for line in lines if "note" in line]

    def starts(self) -> list[int]:
        """At which step each start of the stage's work began."""
        path = self.tiny / "starts"
        return [int(line.split()[1]) for line in path.read_text().splitlines()] if path.exists() else []

    def steps(self) -> int:
        path = self.tiny / "checkpoint"
        return int(path.read_text() or 0) if path.exists() else 0

    def hold_at(self, step: int) -> None:
        (self.tiny / "goal").write_text(str(step))

    def let_go(self) -> None:
        (self.tiny / "goal").unlink()

    def check_removed(self) -> None:
        """Nothing of a job is left, neither in the cluster nor in the exchange."""
        wait_until(lambda: not self.fake.jobs, "the removal of the job")
        assert [path for path in (self.store / "rayjobs").rglob("*") if path.is_file()] == []


def tiny_path(tiny: Path) -> dict[str, str]:
    paths = [str(ROOT / "tests" / "rayjob" / "tiny_train"), str(ROOT / "src"), str(ROOT)]
    return {"PYTHONPATH": os.pathsep.join(paths), "TINY_TRAIN": str(tiny)}


@pytest.fixture(scope="session")
def faults() -> Faults:
    """Of the CRD where it is at hand; else of KubeRay's rules alone."""
    folder = os.environ.get("HAZARDLINE_TEST_KUBERNETES")
    return faults_by_crd(Path(folder)) if folder else broken_rules


@pytest.fixture(scope="session")
def crd_faults() -> Faults:
    """Of the CRD, and not of the rules alone: without it there is nothing to test."""
    folder = os.environ.get("HAZARDLINE_TEST_KUBERNETES")
    if not folder or not (Path(folder) / "rayjobs.crd.yaml").is_file():
        pytest.skip("HAZARDLINE_TEST_KUBERNETES names no folder with rayjobs.crd.yaml")
    return faults_by_crd(Path(folder))


@pytest.fixture
def place(tmp_path: Path, faults: Faults) -> Iterator[Place]:
    node = {name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS") if name in os.environ}
    with FakeKubernetes(tmp_path, {**node, **tiny_path(tmp_path / "tiny")}, faults) as fake:
        fake.secrets = {
            "hazardline-s3": {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "canary"},
            "hazardline-mlflow": {"MLFLOW_TRACKING_USERNAME": "user", "MLFLOW_TRACKING_PASSWORD": "canary"},
        }
        settings = {"HAZARDLINE_STORE_MIRROR": "", "MLFLOW_TRACKING_URI": ""}
        fake.config_maps = {"hazardline-settings": {**settings, "HAZARDLINE_HOME": "/not/used"}}
        yield Place(tmp_path, fake)


@pytest.fixture
def keeps_sigterm() -> Iterator[None]:
    """What a test makes of SIGTERM is undone."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)

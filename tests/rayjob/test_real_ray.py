"""The real train stage, asked for by a component, run by an entrypoint on a real local Ray, and preempted once."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hazardline.pocket.random_base import write_random_base
from hazardline.progress import SilentReporter
from hazardline.stage_runner import run_stage
from hazardline.tables import QA, SCENES, read_table
from hazardline.train.checkpoint_store import FINAL_NAME, FolderStore
from hazardline.train.config import TrainConfig
from hazardline.train.document import ADAPTER_FOLDER, STATE_NAME, TrainingReport, TrainingState
from hazardline.train.encode import encode_clips
from hazardline.train.features import all_variants, sources_of
from hazardline.train.loop import train_branch
from hazardline.train.stage import ADAPTER_WEIGHTS
from hazardline.vlm.layout import LAYOUT_NAME, Layout
from tests.rayjob.conftest import PATIENCE_S, ROOT, Place, store_output, wait_until
from tests.rayjob.crd import Faults
from tests.rayjob.fake_kubernetes import FakeKubernetes
from tests.rayjob.fake_operator import Script
from tests.train.jobs import OneWorker, make_job, small_config
from tests.train.world import write_world

NUM_STEPS = 40


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[dict[str, str]]:
    """A Ray that runs already, as KubeRay starts one: the variables by which a pod finds it."""
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    folder = Path(tempfile.mkdtemp(prefix="hz-", dir="/tmp"))  # short: Ray's sockets lie below it
    command = ["start", "--head", "--block", "--port=0", "--node-ip-address=127.0.0.1", "--num-cpus=2"]
    command += ["--include-dashboard=false", "--object-store-memory=83886080", f"--temp-dir={folder}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("ray")), *command, "--disable-usage-stats"],
            env={**os.environ, **token, "RAY_prestart_worker_first_driver": "0"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        address = folder / "ray_current_cluster"
        wait_until(lambda: address.exists() or process.poll() is not None, "Ray's start")
        wait_until(lambda: process.poll() is not None or "Ray runtime started" in (folder / "log").read_text())
        assert process.poll() is None, (folder / "log").read_text()
        yield {**token, "RAY_ADDRESS": address.read_text().strip()}
    finally:
        started = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        for child in started:
            child.kill()  # Ray's own end takes half a minute
        process.kill()
        process.wait(PATIENCE_S)
        psutil.wait_procs(started, timeout=10)
        shutil.rmtree(folder, ignore_errors=True)


def test_the_train_stage_is_preempted_in_the_cluster_and_ends_as_if_it_had_not_been(
    tmp_path: Path, ray_cluster: dict[str, str], faults: Faults
) -> None:
    base = tmp_path / "base"
    write_random_base(base)
    world = write_world(tmp_path / "world", num_train=12, num_validation=3)
    node = {**ray_cluster, "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    node["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    with FakeKubernetes(tmp_path, node, faults) as fake:
        names = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}
        fake.secrets = {name: dict.fromkeys(names, "x") for name in ("hazardline-s3", "hazardline-mlflow")}
        place = Place(tmp_path, fake)
        store = tmp_path / "other-store"
        place.variables |= {"HAZARDLINE_STORE": str(store), "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
        del place.variables["MLFLOW_RUN_ID"]
        place.settings |= {"config_map_env": {}}
        place.inputs = {stage: store_output(store, stage, folder=world[stage]) for stage in world}
        config = small_config(base, num_steps=NUM_STEPS, checkpoint_every_steps=5, branches={"linguistic": {}})
        place.section = config.model_dump_json()
        checkpoints = tmp_path / "home" / "checkpoints"

        def is_on_its_way() -> bool:
            return bool(list(checkpoints.glob("*/linguistic/step-*/manifest.json")))

        fake.script = Script(preempt_when=is_on_its_way)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in place.environ().items():
                patch.setenv(name, value)
            records = {stage: str(path) for stage, path in place.inputs.items()}
            record = run_stage("train", place.section, records, str(tmp_path / "record.json"))
            wait_until(lambda: not fake.jobs, "the removal of the job")
            logs = [path.read_text() for path in fake.logs]
            assert len(logs) == 2 and "goes on from the checkpoint of step" in logs[1], logs
            assert "stopped by SIGTERM (linguistic after step" in logs[0]
            assert not list(checkpoints.rglob("*")) and record.peak_rss_mb > 100
    report = TrainingReport.read(record.output / "training.json").branches["linguistic"]
    state, adapter = undisturbed(tmp_path / "undisturbed", config, world_of(place))
    assert [point.loss for point in report.losses] == state.losses and report.num_steps == NUM_STEPS
    assert (record.output / "linguistic" / ADAPTER_WEIGHTS).read_bytes() == adapter.read_bytes()


def world_of(place: Place) -> dict[str, Path]:
    return {stage: path.with_name("output") for stage, path in place.inputs.items()}


def undisturbed(folder: Path, config: TrainConfig, inputs: dict[str, Path]) -> tuple[TrainingState, Path]:
    """The same branch trained in this process; its final state, and the file of its adapter."""
    scenes = read_table(SCENES, inputs["ingest"])
    training = {row["clip_id"] for row in read_table(QA, inputs["synthesize"]) if row["split"] == "train"}
    base = Path(config.base)
    variants = all_variants(Layout.read(base / LAYOUT_NAME), config.augmentation.phase, config.augmentation.mirror)
    encode_clips(base, sources_of(scenes, training, variants), folder / "features", 1, SilentReporter())
    job = make_job(folder, config, inputs, folder / "features")
    train_branch(job, OneWorker(), FolderStore(Path(job.checkpoints)))
    final = Path(job.checkpoints) / FINAL_NAME
    return TrainingState.read(final / STATE_NAME), final / ADAPTER_FOLDER / ADAPTER_WEIGHTS

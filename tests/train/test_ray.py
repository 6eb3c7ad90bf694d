"""Real Ray: both branches side by side, a worker that is killed, two workers, and an error for the user."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hazardline.errors import UserError
from hazardline.mirror.objects import open_mirror
from hazardline.tables import QA, read_table, write_table
from hazardline.tasks import Branch
from hazardline.train.checkpoint_store import FINAL_NAME, open_store
from hazardline.train.document import ADAPTER_FOLDER, TrainingReport, TrainingState
from hazardline.train.features import FEATURES_FOLDER, FeatureReader, Variant
from hazardline.train.ray_train import ray_session, train_branches
from hazardline.train.shared_inputs import share_inputs
from hazardline.train.stage import run
from hazardline.vlm.layout import LAYOUT_NAME, Layout
from hazardline.vlm.model import load_branches, use_branch
from tests.s3_service import s3_client, s3_service
from tests.train.jobs import NUM_STEPS, make_job, small_config
from tests.train.killed import KILLED_NAME, work_and_be_killed
from tests.train.notes import Notes

# ray.data, which Ray Train imports, sets deprecated options of its own (Ray 2.60)
pytestmark = pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\..*")


@pytest.fixture(scope="module")
def workers_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """HAZARDLINE_HOME of Ray's own processes: the driver's disk is none of theirs."""
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module")
def service(workers_home: Path) -> Iterator[str]:
    """An S3 server, for which Ray's processes have the credentials from the beginning, as pods have."""
    with s3_service() as address, pytest.MonkeyPatch.context() as patch:
        s3_client(address, "line", patch)
        patch.setenv("HAZARDLINE_HOME", str(workers_home))
        yield address


@pytest.fixture(scope="module")
def ray(service: str) -> Iterator[None]:
    with ray_session(num_cpus=2):
        yield


@pytest.fixture(scope="module")
def made(
    ray: None, base: Path, inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], Notes]:
    """The stage, run whole."""
    out, notes = tmp_path_factory.mktemp("out"), Notes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAZARDLINE_HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        summary = run(small_config(base), inputs, out, notes)
    return out, summary, notes


def events(log: list[tuple[Branch, dict[str, Any]]]) -> Any:
    def keep(branch: Branch, event: Mapping[str, Any]) -> None:
        log.append((branch, dict(event)))

    return keep


def test_the_stage_leaves_two_adapters_features_and_a_report(
    made: tuple[Path, dict[str, Any], Notes], base: Path
) -> None:
    out, summary, notes = made
    assert {path.name for path in out.iterdir()} == {"linguistic", "perception", FEATURES_FOLDER, "training.json"}
    report = TrainingReport.read(out / "training.json")
    for branch, num_clips in (("linguistic", 12), ("perception", 6)):
        found = report.branches[branch]  # type: ignore[index]
        assert (found.num_clips, found.num_steps, found.num_restarts) == (num_clips, NUM_STEPS, 0)
        assert [point.step for point in found.losses] == list(range(1, NUM_STEPS + 1))
        assert found.losses[-1].loss < found.losses[0].loss
        assert [point.step for point in found.validation] == [5, 10, NUM_STEPS]
        assert found.clips_per_s > 0 and found.peak_rss_mb > 100
        assert summary["branches"][branch]["final_loss"] == found.losses[-1].loss
    assert set(report.branches["perception"].validation[0].losses) == {"crash_localization", "pre_crash_localization"}
    assert notes.done["features"] == 16 and notes.done["train"] == 2 * NUM_STEPS
    model = load_branches(base, {name: out / name for name in ("linguistic", "perception")})
    with use_branch(model, "perception"):
        assert model.active_adapter == "perception"
    adapter = json.loads((out / "linguistic" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == str(base)


def test_the_driver_of_lone_workers_does_without_torch() -> None:
    """It would hold half a gigabyte beside two workers that need it."""
    imports = "import sys, hazardline.train.stage, hazardline.train.ray_trainer; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", imports], check=False).returncode == 0


def test_features_of_all_splits_stay_plain(made: tuple[Path, dict[str, Any], Notes], base: Path) -> None:
    folder = made[0] / FEATURES_FOLDER
    reader = FeatureReader(folder, Layout.read(base / LAYOUT_NAME))
    assert len(reader.index.clips) == 16 == len(list(folder.glob("*.npy")))
    assert all(reader.features(clip_id).shape[1:] == (6, 32) for clip_id in reader.index.clips)
    with pytest.raises(UserError, match="no variant p1"):
        reader.features("clip_000", Variant(1, False))


def test_a_killed_worker_changes_no_loss(
    made: tuple[Path, dict[str, Any], Notes],
    base: Path,
    inputs: dict[str, Path],
    features: Path,
    tmp_path: Path,
) -> None:
    out, _, _ = made
    job = make_job(tmp_path / "work", small_config(base), inputs, features)
    log: list[tuple[Branch, dict[str, Any]]] = []
    train_branches([job], tmp_path / "ray", events(log), work_and_be_killed)
    final = Path(job.checkpoints) / FINAL_NAME
    killed_pid = int((tmp_path / "work" / KILLED_NAME).read_text())
    starts = [event["pid"] for _, event in log if "started" in event]
    assert len(starts) == 2 and starts[0] == killed_pid != starts[1]
    steps = [event["step"] for _, event in log if "loss" in event]
    assert len(steps) > NUM_STEPS and steps[-1] == NUM_STEPS  # some steps were taken twice
    undisturbed = TrainingReport.read(out / "training.json").branches["linguistic"]
    state = TrainingState.read(final / "state.json")
    assert state.losses == [point.loss for point in undisturbed.losses]
    assert state.validation == undisturbed.validation
    weights = "adapter_model.safetensors"
    assert (final / ADAPTER_FOLDER / weights).read_bytes() == (out / "linguistic" / weights).read_bytes()


@pytest.mark.parametrize("parallelism", ["replicas", "zero2"])
def test_two_workers_take_the_same_steps_as_one(
    made: tuple[Path, dict[str, Any], Notes],
    base: Path,
    inputs: dict[str, Path],
    features: Path,
    tmp_path: Path,
    parallelism: str,
) -> None:
    if parallelism != "replicas":
        pytest.importorskip("deepspeed")
    job = make_job(tmp_path / "work", small_config(base, num_workers=2, parallelism=parallelism), inputs, features)
    train_branches([job], tmp_path / "ray", events([]))
    final = Path(job.checkpoints) / FINAL_NAME
    one = TrainingReport.read(made[0] / "training.json").branches["linguistic"]
    state = TrainingState.read(final / "state.json")
    assert state.losses == pytest.approx([point.loss for point in one.losses], rel=1e-4)
    assert state.losses[0] == pytest.approx(one.losses[0].loss, rel=1e-6)
    assert state.validation[-1].losses == pytest.approx(one.validation[-1].losses, rel=1e-4)
    assert state.num_answer_tokens > 0 and state.num_clips == 4 * NUM_STEPS


def test_an_error_of_a_worker_reaches_the_user(
    ray: None, base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path
) -> None:
    rows = [row for row in read_table(QA, inputs["synthesize"]) if row["split"] != "train"]
    write_table(QA, tmp_path, rows)
    config = small_config(base, max_failures=0)
    job = make_job(tmp_path / "work", config, {**inputs, "synthesize": tmp_path}, features)
    with pytest.raises(UserError, match="no training clip has a question of the linguistic branch"):
        train_branches([job], tmp_path / "ray", events([]))


@pytest.fixture
def mirrored(service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The driver of a cluster: a home of its own, and a mirror."""
    monkeypatch.setenv("HAZARDLINE_HOME", str(tmp_path / "driver"))
    monkeypatch.setenv("HAZARDLINE_STORE_MIRROR", "s3://line/mirror")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return "s3://line/mirror"


def test_workers_that_share_no_disk_with_the_driver_take_the_same_steps(
    made: tuple[Path, dict[str, Any], Notes],
    mirrored: str,
    base: Path,
    inputs: dict[str, Path],
    workers_home: Path,
    tmp_path: Path,
) -> None:
    out, notes = tmp_path / "out", Notes()
    out.mkdir()
    run(small_config(base), inputs, out, notes)
    alone, shared = (TrainingReport.read(folder / "training.json").branches for folder in (made[0], out))
    for branch, report in shared.items():
        assert report.losses == alone[branch].losses and report.validation == alone[branch].validation
        assert report.num_restarts == 0
    assert notes.done["train"] == 2 * NUM_STEPS, "progress came through the actor"
    (read,) = (workers_home / "workers").iterdir()
    assert (read / "ingest" / "scenes.parquet").read_bytes() == (inputs["ingest"] / "scenes.parquet").read_bytes()
    assert len(list((workers_home / FEATURES_FOLDER).glob("*.npy"))) == len(
        list((tmp_path / "driver" / FEATURES_FOLDER).glob("*.npy"))
    )
    assert not (tmp_path / "driver" / "checkpoints").exists(), "they lay below the mirror"
    assert open_store(f"{mirrored}/checkpoints").names() == []


def test_a_request_to_stop_and_an_error_cross_machines(
    ray: None, mirrored: str, base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path
) -> None:
    stop, log = threading.Event(), []

    def stop_at_once(branch: Branch, event: Mapping[str, Any]) -> None:
        log.append(dict(event))
        if "loss" in event:
            stop.set()

    config = small_config(base, num_steps=500, max_failures=0)
    lost, job = (
        make_job(tmp_path / name, config, inputs, features).model_copy(
            update={"channel": name, "checkpoints": f"{mirrored}/checkpoints/{name}"}
        )
        for name in ("lost", "found")
    )
    with pytest.raises(UserError, match="does not find the inputs of run"):
        train_branches([lost], tmp_path / "ray", events([]))
    mirror = open_mirror()
    assert mirror is not None
    share_inputs(mirror, job, Notes())
    assert train_branches([job], tmp_path / "ray", stop_at_once, stop=stop) == {"linguistic"}
    steps = [event["step"] for event in log if "loss" in event]
    assert 1 <= steps[-1] < 500 and open_store(job.checkpoints).names()[-1] == f"step-{steps[-1]:08}"
    open_store(job.checkpoints).clear()

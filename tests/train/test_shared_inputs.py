"""A worker on a machine with an empty disk: it fetches what it reads, and trains as beside the driver."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hazardline.errors import UserError
from hazardline.files import sha256_file
from hazardline.mirror.objects import Content, Mirror, object_name, open_mirror
from hazardline.progress import SilentReporter
from hazardline.tables import QA, SCENES, read_table
from hazardline.train.checkpoint_store import FINAL_NAME, FolderStore
from hazardline.train.document import ADAPTER_FOLDER, BranchJob
from hazardline.train.encode import encode_clips
from hazardline.train.features import FEATURES_FOLDER, all_variants, sources_of
from hazardline.train.loop import train_branch
from hazardline.train.shared_inputs import present_inputs, restore_features, share_inputs
from hazardline.vlm.layout import LAYOUT_NAME, Layout
from tests.s3_service import s3_client, s3_service
from tests.train.jobs import OneWorker, make_job, small_config
from tests.train.notes import Notes
from tests.train.world import write_world

QUIET = SilentReporter()
BUDGET_BYTES = 60_000


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with s3_service() as address:
        yield address


@pytest.fixture
def client(service: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    return s3_client(service, "line", monkeypatch)


@pytest.fixture
def home(client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HAZARDLINE_STORE_MIRROR", f"s3://line/{tmp_path.name}")
    monkeypatch.setenv("HAZARDLINE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def mirror(home: Path) -> Mirror:
    found = open_mirror()
    assert found is not None
    return found


@pytest.fixture
def job(home: Path, base: Path, mirror: Mirror, tmp_path: Path) -> BranchJob:
    """Of a driver whose clips lie in an output of its store, and whose feature cache has room for some of them."""
    inputs = write_world(home / "store" / "simulate" / ("0" * 64) / "output", num_train=4, num_validation=1)
    scenes = read_table(SCENES, inputs["ingest"])
    mirror.put([Content(Path(row["video_uri"]), row["sha256"]) for row in scenes], QUIET, "clips")
    training = {row["clip_id"] for row in read_table(QA, inputs["synthesize"]) if row["split"] == "train"}
    sources = sources_of(scenes, training, all_variants(Layout.read(base / LAYOUT_NAME), phase=True, mirror=True))
    notes = Notes()
    encode_clips(base, sources, home / FEATURES_FOLDER, 1, notes, budget_bytes=BUDGET_BYTES)
    assert "have no room in the cache" in notes.said[0]
    config = small_config(base, num_steps=3, eval_every_steps=3)
    return make_job(tmp_path / "work", config, inputs, home / FEATURES_FOLDER)


def adapter(job: BranchJob, store: FolderStore) -> bytes:
    assert train_branch(job, OneWorker(), store)
    with store.fetch(FINAL_NAME) as folder:
        return (folder / ADAPTER_FOLDER / "adapter_model.safetensors").read_bytes()


def test_a_worker_on_an_empty_disk_trains_the_same(job: BranchJob, mirror: Mirror, home: Path, tmp_path: Path) -> None:
    share_inputs(mirror, job, QUIET)
    beside = adapter(job, FolderStore(tmp_path / "beside"))
    home.rename(tmp_path / "gone")
    here = present_inputs(job)
    assert here.ingest.is_relative_to(home) and not job.ingest.exists()
    assert adapter(here, FolderStore(tmp_path / "apart")) == beside
    clips = {path.name for path in home.rglob("*.mp4")}
    assert 0 < len(clips) <= 5, "the self-check's clip, and those whose features are not kept"


def test_what_is_there_is_not_fetched_and_damage_is_named(
    job: BranchJob, mirror: Mirror, client: Any, home: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="does not find the inputs of run 0000000000000000"):
        present_inputs(job)
    share_inputs(mirror, job, QUIET)
    kept = sorted((home / FEATURES_FOLDER).glob("*.npy"))
    digests = [sha256_file(path) for path in kept]
    present_inputs(job)
    kept[0].unlink()
    restore_features(mirror, job.run_digest, home / FEATURES_FOLDER, QUIET)
    assert [sha256_file(path) for path in kept] == digests
    client.put_object(Bucket="line", Key=f"{tmp_path.name}/{object_name(digests[0])}", Body=b"damaged")
    kept[0].unlink()
    present_before, notes = sorted(path.name for path in home.rglob("*.npy")), Notes()
    restore_features(mirror, job.run_digest, home / FEATURES_FOLDER, notes)
    assert "features that are encoded again: " in notes.said[0] and digests[0] in notes.said[0]
    with pytest.raises(UserError, match=rf"train: an input of the workers: .*{digests[0]} is damaged"):
        present_inputs(job)
    assert sorted(path.name for path in home.rglob("*.npy")) == present_before

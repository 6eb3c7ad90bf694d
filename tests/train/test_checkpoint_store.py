"""Checkpoints in a folder and in S3: whole or not at all, damage is seen, orphans are swept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hazardline.errors import UserError
from hazardline.train.checkpoint_store import (
    MANIFEST_NAME,
    CheckpointStore,
    CheckpointWriteError,
    DamagedCheckpointError,
    FolderStore,
    S3Store,
    newest,
    open_store,
)
from tests.s3_service import s3_client, s3_service

BUCKET = "checkpoints"


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with s3_service() as address:
        yield address


@pytest.fixture
def client(service: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    return s3_client(service, BUCKET, monkeypatch)


@pytest.fixture(params=["folder", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path, client: Any) -> str:
    return str(tmp_path / "run" / "branch") if request.param == "folder" else f"s3://{BUCKET}/{tmp_path.name}/branch"


@pytest.fixture
def store(address: str) -> CheckpointStore:
    return open_store(address)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "adapter").mkdir(parents=True)
    (folder / "state.json").write_text("{}")
    (folder / "adapter" / "weights").write_bytes(bytes(range(256)))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST_NAME
    }


def test_what_is_kept_comes_back(store: CheckpointStore, source: Path) -> None:
    assert store.names() == [] and store.sweep() == []
    for name in ("step-2", "step-1", "final"):
        store.commit(name, source)
    assert store.names() == ["final", "step-1", "step-2"]
    with store.fetch("step-1") as folder:
        assert contents(folder) == contents(source)
    store.remove("step-1")
    assert store.names() == ["final", "step-2"] and store.sweep() == []
    store.clear()
    assert store.names() == []


def test_a_name_may_be_written_again(store: CheckpointStore, source: Path) -> None:
    store.commit("step-1", source)
    (source / "state.json").write_text('{"more": 1}')
    store.commit("step-1", source)
    with store.fetch("step-1") as folder:
        assert contents(folder) == contents(source)
    assert store.names() == ["step-1"] and store.sweep() == []


def test_other_branches_are_not_touched(address: str, source: Path) -> None:
    store, other = open_store(address), open_store(f"{address}-2")
    for one in (store, other):
        one.commit("step-1", source)
    store.clear()
    assert other.names() == ["step-1"]


def test_nothing_is_left_of_a_cleared_folder(tmp_path: Path, source: Path) -> None:
    store = FolderStore(tmp_path / "run" / "branch")
    store.commit("step-1", source)
    store.clear()
    assert not (tmp_path / "run").exists()


def harm_folder(address: str, kind: str) -> None:
    folder = Path(address) / "step-2"
    path = folder / "adapter" / "weights"
    if kind == "flip":
        path.write_bytes(b"\1" + path.read_bytes()[1:])
    elif kind == "lose":
        path.unlink()
    else:
        (folder / MANIFEST_NAME).write_text('{"files": ')


def harm_s3(client: Any, address: str, kind: str) -> None:
    prefix = address.removeprefix(f"s3://{BUCKET}/") + "/step-2/"
    keys = [item["Key"] for item in client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]]
    weights = next(key for key in keys if key.endswith("weights"))
    if kind == "flip":
        client.put_object(Bucket=BUCKET, Key=weights, Body=b"\1" + bytes(range(1, 256)))
    elif kind == "lose":
        client.delete_object(Bucket=BUCKET, Key=weights)
    else:
        client.put_object(Bucket=BUCKET, Key=prefix + MANIFEST_NAME, Body=b'{"files": ')


@pytest.mark.parametrize("kind", ["flip", "lose", "manifest"])
def test_damage_is_seen_and_the_one_before_is_used(
    store: CheckpointStore, address: str, client: Any, source: Path, kind: str
) -> None:
    for name in ("step-1", "step-2"):
        store.commit(name, source)
    if address.startswith("s3://"):
        harm_s3(client, address, kind)
    else:
        harm_folder(address, kind)
    with pytest.raises(DamagedCheckpointError), store.fetch("step-2"):
        pass
    said: list[str] = []
    loaded: list[dict[str, bytes]] = []
    assert newest(store, "step-", lambda folder: loaded.append(contents(folder)), said.append) == "step-1"
    assert loaded == [contents(source)]
    assert len(said) == 1 and "step-2 is damaged" in said[0]
    assert store.names() == ["step-1"] and store.sweep() == []


def test_no_checkpoint_is_no_error(store: CheckpointStore, source: Path) -> None:
    store.commit("final", source)
    assert newest(store, "step-", lambda folder: None, print) is None


def test_half_a_checkpoint_is_no_checkpoint(
    store: CheckpointStore, address: str, client: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.commit("step-1", source)
    if isinstance(store, S3Store):
        key = address.removeprefix(f"s3://{BUCKET}/") + "/step-2/0a1b2c/state.json"
        client.put_object(Bucket=BUCKET, Key=key, Body=b"{}")
    else:
        (Path(address) / ".making-step-2-0a1b2c").mkdir()
    assert store.names() == ["step-1"]
    assert len(store.sweep()) == 1 and store.sweep() == []
    assert store.names() == ["step-1"]


def test_a_write_that_fails_leaves_the_others(source: Path, tmp_path: Path, client: Any) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointWriteError, match=r"(Not a directory|File exists)"):
        FolderStore(tmp_path / "file").commit("step-1", source)
    with pytest.raises(CheckpointWriteError, match="NoSuchBucket"):
        open_store("s3://no-such-bucket/run").commit("step-1", source)


def test_a_manifest_cannot_lead_outside(tmp_path: Path, source: Path) -> None:
    store = FolderStore(tmp_path / "store")
    store.commit("step-1", source)
    manifest = tmp_path / "store" / "step-1" / MANIFEST_NAME
    manifest.write_text(manifest.read_text().replace("adapter/weights", "../../source/state.json"))
    with pytest.raises(DamagedCheckpointError, match="missing"), store.fetch("step-1"):
        pass


@pytest.mark.parametrize("address", ["gs://bucket/run", "s3:///run"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(UserError, match=r"train\.checkpoints: .*expected a folder or s3://bucket/prefix"):
        open_store(address)

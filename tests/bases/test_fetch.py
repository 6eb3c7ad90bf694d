"""Bases from S3 and from a hub: fetched once, whole or not at all, resumed, and told clearly where that fails."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from hazardline.bases import s3_prefix
from hazardline.errors import UserError
from hazardline.train.base import base_folder
from hazardline.vlm.model import load_base
from tests.bases.hub_server import Hub, served
from tests.s3_service import s3_client, s3_service

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BUCKET = "weights"


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with s3_service() as address:
        yield address


@pytest.fixture
def client(service: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    return s3_client(service, BUCKET, monkeypatch)


def upload(client: Any, folder: Path, prefix: str) -> str:
    for path in sorted(folder.iterdir()):
        client.upload_file(str(path), BUCKET, f"{prefix}/{path.name}")
    return f"s3://{BUCKET}/{prefix}"


def left_in(home: Path) -> list[str]:
    """Finished folders of the cache."""
    return [path.name for path in (home / "bases").iterdir() if not path.name.startswith(".")]


def test_a_prefix_is_fetched_once_and_another_upload_is_another_base(
    client: Any, authors: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = upload(client, authors, tmp_path.name)
    folder = base_folder(address)
    assert load_base(folder) is not None and left_in(home) == [folder.name]
    assert not list(folder.glob("*.py")) and not list(folder.glob("*.bin"))
    with monkeypatch.context() as patched:
        patched.setattr(s3_prefix, "download", None)
        assert base_folder(address) == folder
    client.put_object(Bucket=BUCKET, Key=f"{tmp_path.name}/README.md", Body=b"another")
    assert base_folder(address) != folder


def test_an_interrupted_download_goes_on(client: Any, native: Path, tmp_path: Path, home: Path) -> None:
    address = upload(client, native, tmp_path.name)
    asked = []
    real = s3_prefix.s3_client

    class Failing:
        """Loses its connection at the third file of the first try."""

        def __getattr__(self, name: str) -> Any:
            return getattr(real(), name)

        def download_file(self, bucket: str, key: str, target: str) -> None:
            asked.append(key.rpartition("/")[2])
            if len(asked) == 3:
                raise EndpointConnectionError(endpoint_url="http://nowhere")
            real().download_file(bucket, key, target)

    from botocore.exceptions import EndpointConnectionError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(s3_prefix, "s3_client", Failing)
        with pytest.raises(UserError, match="S3 cannot be reached"):
            base_folder(address)
        assert left_in(home) == []
        base_folder(address)
    assert len(asked) == len(set(asked)) + 1  # only the file that failed was asked for twice


def test_sums_beside_the_files_are_held(client: Any, native: Path, tmp_path: Path, home: Path) -> None:
    folder = Path(shutil.copytree(native, tmp_path / "own"))
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(folder.iterdir())]
    (folder / "SHA256SUMS").write_text("\n".join(lines))
    assert base_folder(upload(client, folder, f"{tmp_path.name}/good"))
    (folder / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"config\.json is not what SHA256SUMS lists"):
        base_folder(upload(client, folder, f"{tmp_path.name}/bad"))


def test_s3_errors_are_one_line(client: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="0 objects, none of a base"):
        base_folder(f"s3://{BUCKET}/{tmp_path.name}/nothing")
    with pytest.raises(UserError, match=r"S3 refuses \(NoSuchBucket\)"):
        base_folder("s3://no-such-bucket/prefix")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name, value in {"AWS_SHARED_CREDENTIALS_FILE": "/none", "AWS_CONFIG_FILE": "/none"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it keeps the credentials that it found
    with pytest.raises(UserError, match="no credentials for S3; set AWS_ACCESS_KEY_ID"):
        base_folder(f"s3://{BUCKET}/prefix")


@pytest.fixture
def hub(authors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that this process asks, with an empty cache."""
    from huggingface_hub import constants

    found = Hub(authors, "owner/name", COMMIT)
    with served(found) as address:
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)  # between its tries
        yield found


def test_a_pinned_repository_is_fetched_once(hub: Hub, home: Path, native: Path) -> None:
    folder = base_folder(f"hub:owner/name@{COMMIT}")
    assert folder.name == f"hub--owner--name--{COMMIT}"
    assert load_base(folder).state_dict().keys() == load_base(native).state_dict().keys()
    asked = {path.rpartition("/")[2] for path in hub.requests}
    assert not asked & {"modeling_videollama3.py", "training_args.bin"}
    before = len(hub.requests)
    assert base_folder(f"hub:owner/name@{COMMIT}") == folder and len(hub.requests) == before


def test_a_filled_cache_serves_without_a_network(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = base_folder(f"hub:owner/name@{COMMIT}")
    shutil.rmtree(folder)
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert base_folder(f"hub:owner/name@{COMMIT}") == folder


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        ((403, "GatedRepo"), "the repository is gated; accept its terms on https://huggingface.co/owner/name"),
        ((404, "RevisionNotFound"), "no such commit; look with `git ls-remote https://huggingface.co/owner/name`"),
        ((404, "RepoNotFound"), "no such repository, or a private one"),
        ((500, ""), "cannot be reached|download failed"),
    ],
)
def test_a_hub_that_refuses_is_told(refusal: tuple[int, str], message: str, hub: Hub, home: Path) -> None:
    hub.refusal = refusal
    with pytest.raises(UserError, match=message):
        base_folder(f"hub:owner/name@{COMMIT}")
    assert left_in(home) == []


def test_no_network_is_told(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="the hub cannot be reached and its files are not in the cache"):
        base_folder(f"hub:owner/name@{COMMIT}")


def test_a_damaged_blob_of_the_cache_is_told(hub: Hub, home: Path, tmp_path: Path) -> None:
    folder = base_folder(f"hub:owner/name@{COMMIT}")
    shutil.rmtree(folder)
    weights = next((tmp_path / "hub-cache").rglob("model-00001*.safetensors")).resolve()
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(UserError, match="is damaged; remove that file"):
        base_folder(f"hub:owner/name@{COMMIT}")

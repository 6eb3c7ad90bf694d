"""Settings and secrets, and a backup that was damaged: what is refused before anything is touched."""

from pathlib import Path

import pytest

from hazardline.errors import UserError
from hazardline.files import sha256_bytes, sha256_file
from hazardline.services.backup import MANIFEST, OBJECTS, Backup, Object, read_backup
from hazardline.services.ceph import Ceph
from hazardline.services.installation import Installation
from hazardline.services.postgres import find_tool
from hazardline.services.stack import down, prepared


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    for name in ("HAZARDLINE_S3_ENDPOINT", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    installation = Installation(tmp_path / "services")
    installation.prepare()
    return installation


def test_a_secret_is_made_once_and_for_its_owner_alone(installation: Installation) -> None:
    first = installation.secret("mlflow-user")
    assert len(first) >= 40 and installation.secret("mlflow-user") == first != installation.secret("mlflow-admin")
    path = installation.folder / "secrets/mlflow-user"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(UserError, match=r"mlflow-user: has mode 0640, expected 0600; run chmod 600 on it, and rotate"):
        installation.secret("mlflow-user")


def test_settings_are_kept_and_ports_may_change(installation: Installation) -> None:
    prepared(installation, {"mlflow_port": 5999})
    prepared(installation, {"s3_port": 7999})
    settings = installation.settings()
    assert (settings.mlflow_port, settings.s3_port) == (5999, 7999)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mlflow_port": 80}, "mlflow_port: Input should be greater than or equal to 1024"),
        ({"mlflow_port": 7480}, "each service needs a port of its own"),
        ({"bucket_prefix": "Team_A"}, "bucket_prefix: String should match"),
    ],
)
def test_wrong_settings_are_refused(installation: Installation, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        prepared(installation, changes)
    assert not installation.settings_path.exists()


def test_the_env_file_in_the_shell_does_not_make_our_server_a_team_s(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = prepared(installation, {}).settings
    monkeypatch.setenv("HAZARDLINE_S3_ENDPOINT", settings.s3_address())
    assert prepared(installation, {}).settings == settings
    monkeypatch.setenv("HAZARDLINE_S3_ENDPOINT", "https://s3.example.org")
    with pytest.raises(UserError, match=r"s3_endpoint is None in .* and cannot become https://s3\.example\.org"):
        prepared(installation, {})


def test_nothing_can_be_stopped_that_never_was(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no services were ever started here; run `make services`"):
        down(Installation(tmp_path / "nowhere"))


def test_what_is_not_installed_is_named_with_its_package(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(
        UserError, match=r"ceph-mon, .* was not found \(on Debian: apt-get install .*HAZARDLINE_S3_ENDP"
    ):
        Ceph(installation, prepared(installation, {}).settings).start(1)
    with pytest.raises(UserError, match=r"pg_ctl .* was made by version 9 \(on Debian: apt-get install postgresql-9\)"):
        find_tool("pg_ctl", "9")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A backup with one artifact."""
    folder = tmp_path / "backup"
    (folder / "objects").mkdir(parents=True)
    digest = sha256_bytes(b"weights")
    (folder / "objects" / digest).write_bytes(b"weights")
    item = Object(key="artifacts/1/weights", size_bytes=7, sha256=digest)
    (folder / OBJECTS).write_text(item.model_dump_json() + "\n")
    for name in ("mlflow", "mlflow_auth"):
        (folder / f"{name}.dump").write_bytes(name.encode())
    dumps = {name: sha256_bytes(name.encode()) for name in ("mlflow", "mlflow_auth")}
    digests = {"dumps": dumps, "objects_sha256": sha256_file(folder / OBJECTS)}
    Backup(made_at="2026-01-01T00:00:00Z", mlflow="3.17.2", num_objects=1, size_bytes=7, **digests).write(
        folder / MANIFEST
    )
    return folder


def test_a_whole_backup_is_read(made: Path) -> None:
    found, objects = read_backup(made)
    assert found.num_objects == 1 and objects[0].key == "artifacts/1/weights"


@pytest.mark.parametrize("name", ["mlflow.dump", "mlflow_auth.dump", OBJECTS, f"objects/{sha256_bytes(b'weights')}"])
def test_a_damaged_backup_is_refused(made: Path, name: str) -> None:
    data = (made / name).read_bytes()
    (made / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(UserError, match="is not what was backed up"):
        read_backup(made)
    (made / name).unlink()
    with pytest.raises(UserError, match="is missing in this backup"):
        read_backup(made)


def test_a_folder_without_its_last_file_is_no_backup(made: Path) -> None:
    (made / MANIFEST).unlink()
    with pytest.raises(UserError, match="cannot be read"):
        read_backup(made)

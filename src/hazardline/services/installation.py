"""The folder of the shared services: settings, secrets, logs, and who holds it.

settings.json   ports, buckets, and whose S3 server is used
secrets/        one file a secret, for its owner alone
env             what a run needs to find the services (secrets as well: for its owner alone)
logs/, run/     what the services say, and which processes they are
postgres/, ceph/, mlflow/    what belongs to each
"""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from hazardline import environment
from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.tracking import file_lock

Purpose = Literal["mlflow", "work", "releases"]
Port = Annotated[int, Field(ge=1024, le=65535)]
SECRET_BYTES = 32


class Settings(Document):
    """What was chosen when the services were first started."""

    version: Literal["services@1"] = "services@1"
    mlflow_port: Port = 5001
    mlflow_workers: Annotated[int, Field(ge=1, le=64)] = 2
    """Processes that answer; each takes about 300 MB."""
    postgres_port: Port = 5433
    s3_port: Port = 7480
    """Of the S3 server of this machine."""
    ceph_port: Port = 7300
    """Of its monitor; cannot be changed later."""
    s3_gb: Annotated[int, Field(ge=5, le=100_000)] = 50
    """What the S3 server of this machine may hold; the file grows with what is in it. Cannot be changed later."""
    s3_endpoint: str | None = None
    """Address of a team's own S3 server; None: Ceph on this machine."""
    s3_region: str = "us-east-1"
    """What Ceph calls itself; of a team's own server its region (AWS_DEFAULT_REGION)."""
    bucket_prefix: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,40}$")] = "hazardline"
    """Buckets are this, `-mlflow`, `-work` and `-releases`. Cannot be changed later."""

    def s3_address(self) -> str:
        """Where clients find the S3 server."""
        return self.s3_endpoint or f"http://127.0.0.1:{self.s3_port}"

    def mlflow_address(self) -> str:
        """Where clients find MLflow."""
        return f"http://127.0.0.1:{self.mlflow_port}"

    def bucket(self, purpose: Purpose) -> str:
        """Name of a bucket."""
        return f"{self.bucket_prefix}-{purpose}"


FIXED = ("ceph_port", "s3_gb", "bucket_prefix", "s3_endpoint")
"""Settings that are built into what lies on the disk."""


class Installation:
    """The folder below which everything of the services lies."""

    def __init__(self, folder: Path | None = None) -> None:
        """Refer to a folder (by default the one of the environment), which need not exist yet."""
        self.folder = (folder or environment.services_root()).absolute()

    @property
    def settings_path(self) -> Path:
        """The settings."""
        return self.folder / "settings.json"

    @property
    def env_path(self) -> Path:
        """Environment of runs that use the services."""
        return self.folder / "env"

    @property
    def restoring_path(self) -> Path:
        """There while a backup is being restored, and after that was cut off."""
        return self.folder / "restoring.json"

    def log(self, name: str) -> Path:
        """What a service says."""
        return self.folder / "logs" / f"{name}.log"

    def part(self, name: str) -> Path:
        """A folder of one service, made where it is missing."""
        path = self.folder / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def settings(self) -> Settings:
        """The settings.

        Raises:
            UserError: the services were never started here.
        """
        if not self.settings_path.exists():
            raise UserError(f"{self.folder}: no services were ever started here; run `make services`")
        return Settings.read(self.settings_path)

    def choose(self, changes: dict[str, Any]) -> Settings:
        """Settings with changes, for a start; nothing is written yet.

        Raises:
            UserError: a value is wrong, or can be chosen only at the first start.
        """
        before = self.settings() if self.settings_path.exists() else None
        chosen = Settings.parse({**(before.data() if before else {}), **changes}, "services")
        for name in FIXED if before else ():
            if getattr(chosen, name) != getattr(before, name):
                raise UserError(
                    f"services: {name} is {getattr(before, name)} in {self.folder} and cannot become "
                    f"{getattr(chosen, name)}; back up, and restore into an installation elsewhere "
                    f"({environment.SERVICES})"
                )
        ports = [chosen.mlflow_port, chosen.postgres_port]
        ports += [] if chosen.s3_endpoint else [chosen.s3_port, chosen.ceph_port]
        if len(set(ports)) != len(ports):
            raise UserError(f"services: each service needs a port of its own, got {ports}")
        return chosen

    def prepare(self) -> None:
        """Make the folders. Other users may pass through (PostgreSQL's, where this is root), and read nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
        for name in ("secrets", "logs", "run"):
            self.part(name)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other starts, stops and backups out."""
        with file_lock(self.folder / ".lock", timeout_s=600.0):
            yield

    def secret(self, name: str) -> str:
        """A secret; made at its first use.

        Raises:
            UserError: others may read it.
        """
        path = self.folder / "secrets" / name
        if not path.exists():
            write_secret(path, secrets.token_urlsafe(SECRET_BYTES))
        return read_secret(path)

    def has_secret(self, name: str) -> bool:
        """Whether a secret was made or put here."""
        return (self.folder / "secrets" / name).exists()

    def put_secret(self, name: str, value: str | None = None) -> None:
        """Replace a secret, by default with a new one."""
        write_secret(self.folder / "secrets" / name, value or secrets.token_urlsafe(SECRET_BYTES))


class S3Keys(Document):
    """Key of an account of an S3 server."""

    access_key: str
    secret_key: str

    def text(self) -> str:
        """As it is kept in a secret file."""
        return json.dumps(self.data())


def write_secret(path: Path, text: str) -> None:
    """Write a file that its owner alone may read, whole or not at all."""
    making = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    making.unlink(missing_ok=True)
    handle = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    making.rename(path)


def read_secret(path: Path) -> str:
    """What `write_secret` wrote.

    Raises:
        UserError: it is missing, or others may read it.
    """
    try:
        mode = path.stat().st_mode & 0o777
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); run `make services` to make it") from None
    if mode & 0o077:
        raise UserError(f"{path}: has mode {mode:04o}, expected 0600; run chmod 600 on it, and rotate what it holds")
    return text

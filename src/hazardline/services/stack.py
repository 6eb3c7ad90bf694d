"""The services together: start what does not run, stop, look, and write down how a run finds them."""

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hazardline import environment
from hazardline.errors import UserError
from hazardline.services.daemon import NotReadyError
from hazardline.services.installation import Installation, Settings, write_secret
from hazardline.services.mlflow_server import FLASK_SECRET, SECRETS, USER, MlflowServer
from hazardline.services.object_storage import ObjectStorage
from hazardline.services.postgres import Postgres

Say = Callable[[str], None]


class Service(Protocol):
    """What the services have in common."""

    name: str

    def stop(self) -> None:
        """End it, if it runs."""
        ...

    def is_running(self) -> bool:
        """Whether its processes live."""
        ...

    def check(self) -> None:
        """Ask it something; raises NotReadyError."""
        ...


@dataclass(frozen=True)
class State:
    """What is known of a service."""

    name: str
    is_up: bool
    detail: str
    """Its address, or what is wrong."""


class Stack:
    """PostgreSQL, S3 and MLflow of one installation."""

    def __init__(self, installation: Installation, settings: Settings) -> None:
        """Refer to the services, which need not run."""
        self.installation = installation
        self.settings = settings
        self.postgres = Postgres(installation, settings)
        self.storage = ObjectStorage(installation, settings)
        self.mlflow = MlflowServer(installation, settings, self.postgres, self.storage)

    def start(self, timeout_s: float, upgrade: bool = False, say: Say = print) -> None:
        """Start what does not run, in the order in which they need each other."""
        self.start_stores(timeout_s, say)
        self.mlflow.start(timeout_s, upgrade)
        say(f"mlflow    {self.settings.mlflow_address()}")
        self.write_env()

    def start_stores(self, timeout_s: float, say: Say = print) -> None:
        """Start all but MLflow."""
        self.postgres.start(timeout_s)
        say(f"postgres  127.0.0.1:{self.settings.postgres_port}")
        self.storage.start(timeout_s)
        say(f"s3        {self.settings.s3_address()}")

    def stop(self) -> None:
        """Stop all, MLflow first."""
        for service in reversed(self._services()):
            service.stop()

    def states(self) -> list[State]:
        """What is known of each."""
        addresses = {
            "postgres": f"127.0.0.1:{self.settings.postgres_port}",
            "s3": self.settings.s3_address(),
            "mlflow": self.settings.mlflow_address(),
        }
        return [_state(service, addresses[service.name]) for service in self._services()]

    def write_env(self) -> None:
        """Write the environment of runs that use the services."""
        keys = self.storage.keys("line")
        # A run against the services has a home of its own: its registry, repository and device are others than those
        # of runs without. What can be shared is: the store, and the data sets.
        values = {
            environment.SERVICES: str(self.installation.folder),
            environment.HOME: str(self.installation.folder / "home"),
            environment.STORE: str(environment.store_root()),
            environment.DATASETS: str(environment.datasets_root()),
            "MLFLOW_TRACKING_URI": self.settings.mlflow_address(),
            "MLFLOW_TRACKING_USERNAME": USER,
            "MLFLOW_TRACKING_PASSWORD": self.installation.secret(SECRETS[USER]),
            environment.S3_ENDPOINT: self.settings.s3_address(),
            environment.STORE_MIRROR: f"s3://{self.settings.bucket('work')}/mirror",
            environment.REPOSITORY: f"s3://{self.settings.bucket('releases')}",
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_DEFAULT_REGION": self.settings.s3_region,
        }
        lines = ["# Written by `hazardline services`. It holds secrets: never copy it into a repository or an image."]
        lines += [f"{name}={shlex.quote(value)}" for name, value in values.items()]
        write_secret(self.installation.env_path, "\n".join([*lines, ""]))

    def _services(self) -> list[Service]:
        return [self.postgres, self.storage, self.mlflow]


def up(
    installation: Installation, changes: dict[str, Any], timeout_s: float, upgrade: bool = False, say: Say = print
) -> None:
    """Start what does not run; the first time with new passwords and keys.

    Args:
        installation: where.
        changes: settings that were asked for; the others stay as they are.
        timeout_s: how long each service may take.
        upgrade: bring MLflow's database up to the installed MLflow.
        say: one line a service.

    Raises:
        UserError: something is missing, a port is taken, a service does not come up, a setting cannot be changed.
    """
    installation.folder.mkdir(parents=True, exist_ok=True)
    with installation.held():
        refuse_unfinished(installation)
        prepared(installation, changes).start(timeout_s, upgrade, say)
    say(f"A run uses them by: make run ENV={_shown(installation.env_path)}")


def prepared(installation: Installation, changes: dict[str, Any]) -> Stack:
    """The services with these settings from now on; what runs with other ones is stopped.

    Raises:
        UserError: a setting cannot be changed.
    """
    if "s3_endpoint" not in changes and (endpoint := _foreign_endpoint(installation)):
        changes = {**changes, "s3_endpoint": endpoint}
    settings = installation.choose(changes)
    if settings.s3_endpoint and (region := os.environ.get("AWS_DEFAULT_REGION")):
        settings = installation.choose({**changes, "s3_region": region})
    installation.prepare()
    if installation.settings_path.exists() and settings != installation.settings():
        Stack(installation, installation.settings()).stop()
    settings.write(installation.settings_path)
    return Stack(installation, settings)


def down(installation: Installation) -> None:
    """Stop all; what they hold stays.

    Raises:
        UserError: they were never started here, or one does not stop.
    """
    with installation.held():
        Stack(installation, installation.settings()).stop()


def rotate(installation: Installation, timeout_s: float, say: Say = print) -> None:
    """New passwords and keys for everything that runs on this machine; the old ones end.

    Raises:
        UserError: as in `up`.
    """
    with installation.held():
        refuse_unfinished(installation)
        stack = Stack(installation, installation.settings())
        stack.start_stores(timeout_s, say)
        stack.storage.add_keys()
        for name in ("postgres-mlflow", FLASK_SECRET, *SECRETS.values()):
            installation.put_secret(name)
        stack.start(timeout_s, say=say)
        stack.storage.drop_old_keys()
    if stack.storage.ceph is None:
        say(
            f"The keys of {stack.settings.s3_address()} are its owner's: set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY to new ones and run `make services`"
        )


def _foreign_endpoint(installation: Installation) -> str | None:
    """The S3 server of the environment, unless it is ours (the environment may come from our own file)."""
    endpoint = environment.s3_endpoint()
    if endpoint is None or not installation.settings_path.exists():
        return endpoint
    settings = installation.settings()
    return None if endpoint == settings.s3_address() else endpoint


def refuse_unfinished(installation: Installation) -> None:
    """See that no restore has begun and not ended: half of a registry is not to be served."""
    if installation.restoring_path.exists():
        raise UserError(f"{installation.folder}: a restore was cut off; run `hazardline services restore` again")


def _state(service: Service, address: str) -> State:
    if not service.is_running():
        return State(service.name, False, "is down")
    try:
        service.check()
    except NotReadyError as error:
        return State(service.name, False, f"does not answer: {error}")
    return State(service.name, True, address)


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)

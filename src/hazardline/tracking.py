"""The one place that opens MLflow: where it is, how a run is opened or resumed, what is said when it cannot be reached.

The server is `MLFLOW_TRACKING_URI`; without it a SQLite database and an artifact folder below the home folder. Where an
orchestrator has set `MLFLOW_RUN_ID`, everything is logged into that run and the run is left open for its owner.

Credentials in the address never leave this module: of an HTTP address they go into MLflow's own variables
(`MLFLOW_TRACKING_USERNAME`, `MLFLOW_TRACKING_PASSWORD`), and messages of errors are cleaned of them.

Importing MLflow takes seconds: this module imports it inside the functions that need it.
"""

import fcntl
import functools
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from hazardline.environment import home
from hazardline.errors import UserError

EXPERIMENT = "hazardline"
"""The experiment of all runs of the line."""
RUN_KEY_TAG = "hazardline.run_key"
"""Tag that holds what makes a run of one name unique (the id of the pipeline run, or a digest)."""
STAGE_TAG = "hazardline.stage"
PATIENCE_S = 5.0
"""For how long a request is made again that may have met another process's."""

_Answer = TypeVar("_Answer")

_logger = logging.getLogger(__name__)
_KEY = re.compile(r"[A-Za-z0-9_.:-]{1,200}")
_MAX_PARAMS, _MAX_METRICS = 100, 1000
"""What MLflow takes in one batch."""
_NOT_UNREACHABLE = ("RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_PARAMETER_VALUE")
_REMEDY = (
    ". Expected an MLflow server or database that can be reached: check MLFLOW_TRACKING_URI and its credentials, "
    "or unset it to use the local database"
)
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
"""MLflow's own settings, each kept where the user has set it: by default it would retry for four minutes."""


def mlflow_home() -> Path:
    """Folder of the default database, its artifacts and the copies of promotion logs."""
    return home() / "mlflow"


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or the SQLite database below the home folder. May contain credentials: never print it."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{mlflow_home() / 'mlflow.db'}"


def public_uri(uri: str) -> str:
    """An address without user, password, query and fragment, fit for documents and messages."""
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme == "sqlite":
        return uri
    return f"{scheme}://{re.split('[?#]', rest.rpartition('@')[2])[0]}"


def connect() -> Any:
    """An `MlflowClient` of the server or database in use.

    Raises:
        UserError: it cannot be reached, refuses the credentials, or is of a kind that MLflow does not support.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    uri = _without_credentials(tracking_uri())
    with clear_errors():
        _prepare(uri)
        return _client(uri)


def _client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@functools.cache
def _prepare(uri: str) -> None:
    """First contact of this process: create the schema of a new SQLite database, one process at a time.

    MLflow's stores create their tables without a lock, and of two processes at once one fails.
    """
    for name in ("alembic", "mlflow.store.db.utils", "mlflow.store.model_registry.sqlalchemy_store"):
        logging.getLogger(name).setLevel(logging.WARNING)
    database = _sqlite_path(uri)
    if database is None:
        _client(uri).search_experiments(max_results=1)
        return
    with file_lock(database.with_name(database.name + ".lock")):
        client = _client(uri)
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)


def _sqlite_path(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")).absolute() if uri.startswith("sqlite:///") else None


def _without_credentials(uri: str) -> str:
    """The address for MLflow. User and password of an HTTP address move into MLflow's own variables."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or "@" not in parts.netloc:
        return uri
    if parts.username and parts.password:
        os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
        os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn MLflow's errors inside the block into one line that names the address, cleaned of credentials.

    Raises:
        UserError: what MLflow, its HTTP client or its database said.
    """
    import requests  # type: ignore[import-untyped]
    import sqlalchemy.exc
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        remedy = "" if error.error_code in _NOT_UNREACHABLE else _REMEDY
        raise UserError(_one_line(error) + remedy) from None
    except (requests.RequestException, sqlalchemy.exc.SQLAlchemyError, ModuleNotFoundError) as error:
        raise UserError(_one_line(error) + _REMEDY) from None


def ask_patiently(ask: Callable[[], _Answer]) -> _Answer:
    """Answer to a request that may meet another one of the same account, by another process.

    A server on PostgreSQL refuses for a moment what it takes a moment later. It makes a model or an experiment in one
    transaction and lets its maker write it in the next: whoever finds it in between is denied. And of two requests
    that set an alias for the first time, one breaks the unique key. Both are asked again, for `PATIENCE_S`.

    Args:
        ask: makes the request; another time, it changes nothing that the first time has changed.
    """
    from mlflow.exceptions import MlflowException

    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except MlflowException as error:
            if error.error_code not in ("PERMISSION_DENIED", "BAD_REQUEST") or time.monotonic() > give_up_at:
                raise
        time.sleep(0.05)


def _one_line(error: Exception) -> str:
    return f"MLflow at {public_uri(tracking_uri())}: {' '.join(_cleaned(str(error)).split())}"


def _cleaned(text: str) -> str:
    """A message without what `public_uri` leaves out of the address, as it stands there and decoded."""
    uri = tracking_uri()
    parts = urlsplit(uri)
    secrets = [uri.partition("://")[2].rpartition("@")[0], parts.password or "", parts.query, parts.fragment]
    for secret in filter(None, secrets if "://" in uri and parts.scheme != "sqlite" else []):
        text = text.replace(secret, "***").replace(unquote(secret), "***")
    return text


@contextmanager
def file_lock(path: Path, timeout_s: float = 120.0) -> Iterator[None]:
    """Hold an operating-system lock on a file; it is freed when its holder ends, however it ends.

    Raises:
        UserError: another process held the lock for `timeout_s` seconds.
    """
    give_up_at = time.monotonic() + timeout_s
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a")
    except OSError as error:
        raise UserError(f"{path}: cannot be locked ({error.strerror}); expected a writable folder") from None
    with stream:
        while not _is_locked(stream.fileno()):
            if time.monotonic() > give_up_at:
                raise UserError(
                    f"{path}: another process has held this lock for {timeout_s:.0f} s; end it and try again"
                )
            time.sleep(0.02)
        yield


def _is_locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Run:
    """One MLflow run: what a stage logs. Safe to use from several threads, and by `run_id` from several processes."""

    def __init__(self, client: Any, run_id: str) -> None:
        """Bind a client to a run that exists."""
        self._client = client
        self.run_id = run_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters, as text. A parameter never changes: the same name with another value is refused."""
        from mlflow.entities import Param

        items = [Param(name, str(value)) for name, value in params.items()]
        with clear_errors():
            for start in range(0, len(items), _MAX_PARAMS):
                self._client.log_batch(self.run_id, params=items[start : start + _MAX_PARAMS])

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log finite numbers at a step."""
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        items = [Metric(name, float(value), now_ms, step) for name, value in metrics.items()]
        with clear_errors():
            for start in range(0, len(items), _MAX_METRICS):
                self._client.log_batch(self.run_id, metrics=items[start : start + _MAX_METRICS])

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; a tag may change."""
        from mlflow.entities import RunTag

        with clear_errors():
            self._client.log_batch(self.run_id, tags=[RunTag(name, value) for name, value in tags.items()])

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Copy a file into the run's artifacts, below `folder`."""
        with clear_errors():
            self._client.log_artifact(self.run_id, str(path), folder)

    def log_text(self, text: str, path: str) -> None:
        """Write a text as an artifact of the run."""
        with clear_errors():
            self._client.log_text(self.run_id, text, path)

    def log_folder(self, path: Path, folder: str | None = None) -> None:
        """Copy what a folder holds into the run's artifacts, below `folder`."""
        with clear_errors():
            self._client.log_artifacts(self.run_id, str(path), folder)


@contextmanager
def open_run(name: str, key: str, tags: Mapping[str, str] | None = None) -> Iterator[Run]:
    """Open the MLflow run of a stage.

    With `MLFLOW_RUN_ID` set it is that run, which its owner closes. Otherwise it is the run of this name and key in the
    experiment `hazardline`, resumed where it exists and created where not; it ends as FINISHED, or as FAILED or KILLED
    where the block raises.

    Args:
        name: name of the run, by custom the stage's name, or stage and branch.
        key: what tells runs of one name apart: the id of the pipeline run, or a digest of the inputs.
        tags: further tags.

    Raises:
        UserError: MLflow cannot be reached, or `MLFLOW_RUN_ID` names no run.
        ValueError: `key` has characters beside letters, digits and `_.:-`.
    """
    if not _KEY.fullmatch(key) or not _KEY.fullmatch(name):
        raise ValueError(f"run name {name!r} and key {key!r}: only letters, digits and _.:- are allowed")
    client = connect()
    injected = os.environ.get("MLFLOW_RUN_ID")
    with clear_errors():
        run_id = client.get_run(injected).info.run_id if injected else _find_or_create(client, name, key)
    run = Run(client, run_id)
    if tags:
        run.set_tags(tags)
    if injected:
        yield run
        return
    try:
        yield run
    except BaseException as error:
        try:
            _end(client, run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
        except UserError as second:
            _logger.warning("the MLflow run %s could not be closed: %s", run_id, second)
        raise
    _end(client, run_id, "FINISHED")


def _end(client: Any, run_id: str, status: str) -> None:
    with clear_errors():
        client.set_terminated(run_id, status)


def _find_or_create(client: Any, name: str, key: str) -> str:
    experiment_id = _experiment(client)
    where = f"tags.`{RUN_KEY_TAG}` = '{key}' and attributes.run_name = '{name}'"
    found = client.search_runs([experiment_id], where, max_results=1, order_by=["attributes.start_time ASC"])
    if found:
        run_id: str = found[0].info.run_id
        client.update_run(run_id, status="RUNNING")
        return run_id
    tags = {RUN_KEY_TAG: key, STAGE_TAG: name.partition("-")[0]}
    created = ask_patiently(lambda: client.create_run(experiment_id, run_name=name, tags=tags))
    created_id: str = created.info.run_id
    return created_id


def _experiment(client: Any) -> str:
    """The id of the experiment. Artifacts of a SQLite database lie in a folder beside it."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        database = _sqlite_path(_without_credentials(tracking_uri()))
        location = None if database is None else str(database.parent / "artifacts" / EXPERIMENT)
        try:
            created: str = client.create_experiment(EXPERIMENT, artifact_location=location)
            return created
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(EXPERIMENT)
    if found.lifecycle_stage != "active":
        raise UserError(
            f"MLflow at {public_uri(tracking_uri())}: the experiment {EXPERIMENT} is deleted; restore it "
            f"(`mlflow experiments restore --experiment-id {found.experiment_id}`)"
        )
    experiment_id: str = found.experiment_id
    return experiment_id

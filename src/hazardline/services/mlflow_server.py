"""MLflow's server with its basic authentication, on PostgreSQL and S3."""

import base64
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from hazardline.errors import UserError
from hazardline.services.daemon import Daemon, NotReadyError, foreign_free_environment, run_command
from hazardline.services.installation import Installation, Settings
from hazardline.services.mlflow_schema import refuse_other_schema
from hazardline.services.object_storage import ObjectStorage
from hazardline.services.postgres import Postgres

ADMINISTRATOR, USER = "admin", "hazardline"
SECRETS = {ADMINISTRATOR: "mlflow-admin", USER: "mlflow-user"}
"""The secret that is the password of each account."""
FLASK_SECRET, WEBHOOK_KEY = "mlflow-flask", "mlflow-webhook-key"
_PROBE = "/api/2.0/mlflow/experiments/search?max_results=1"
_AUTHENTICATION = """[mlflow]
# Who is known may read; who makes an experiment or a model may change it.
default_permission = READ
database_uri = {database_uri}
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
# Passwords are hashed slowly: their check is remembered for this long. Rotation starts the server anew.
auth_cache_ttl_seconds = 60
"""


class MlflowServer:
    """The server, its accounts, its schema."""

    name = "mlflow"

    def __init__(
        self, installation: Installation, settings: Settings, postgres: Postgres, storage: ObjectStorage
    ) -> None:
        """Refer to a server on these two."""
        self._installation = installation
        self._settings = settings
        self._postgres = postgres
        self._storage = storage
        self._folder = installation.folder / "mlflow"

    def start(self, timeout_s: float, upgrade: bool = False) -> None:
        """Start it, or anew where passwords or addresses have changed.

        Args:
            timeout_s: how long it may take.
            upgrade: bring the schema of a database of an older MLflow up to this one's.

        Raises:
            UserError: an extra is missing, it does not come up, or refuses its own accounts; its database is another
                MLflow's and no upgrade was asked for.
        """
        _check_extras()
        self._installation.part("mlflow")
        self._configuration().write_text(_AUTHENTICATION.format(database_uri=self._postgres.address("mlflow_auth")))
        daemon = self._daemon()
        if daemon.process() is not None and not daemon.is_outdated() and not upgrade:
            daemon.wait_until_ready(self.check, timeout_s)
            return
        if not upgrade:
            refuse_other_schema(self._postgres)
        daemon.stop()
        self._set_accounts()
        if upgrade:
            self.upgrade_schema()
        daemon.start(self._settings.mlflow_port)
        daemon.wait_until_ready(self.check, timeout_s)

    def stop(self) -> None:
        """End it."""
        Daemon(self._installation, self.name, []).stop()

    def is_running(self) -> bool:
        """Whether its process lives."""
        return Daemon(self._installation, self.name, []).process() is not None

    def check(self) -> None:
        """Ask something of its database as a run does, and see that a stranger gets no answer.

        Raises:
            NotReadyError: no answer, or not the right one.
        """
        status = self._ask(self._installation.secret(SECRETS[USER]))
        if status != 200:
            raise NotReadyError(f"it answers {status} to the account {USER}")
        if self._ask(None) != 401:
            raise NotReadyError("it answers to strangers: the authentication is not on")

    def upgrade_schema(self) -> None:
        """Bring the database of an older MLflow up to this one's. Of one that is up to date nothing is changed."""
        address = self._postgres.address("mlflow")
        run_command(
            [sys.executable, "-m", "mlflow", "db", "upgrade", address],
            what="the schema of MLflow's database",
            environment={"PGPASSFILE": str(self._postgres.pass_file)},
        )

    def _set_accounts(self) -> None:
        """Give both accounts their passwords. Importing MLflow takes seconds: where they have them it is spared."""
        passwords = {name: self._installation.secret(secret) for name, secret in SECRETS.items()}
        if self._have_passwords(passwords):
            return
        accounts = [
            {"name": name, "password": password, "is_admin": name == ADMINISTRATOR}
            for name, password in passwords.items()
        ]
        wanted = {"database_uri": self._postgres.address("mlflow_auth"), "accounts": accounts}
        done = subprocess.run(
            [sys.executable, "-m", "hazardline.services.mlflow_accounts"],
            input=json.dumps(wanted),
            env={**foreign_free_environment(), **self._environment()},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise UserError(f"mlflow: the accounts cannot be set: {done.stderr.strip()[-2000:]}")

    def _have_passwords(self, passwords: Mapping[str, str]) -> bool:
        from werkzeug.security import check_password_hash

        if self._postgres.ask("select to_regclass('public.users')", "mlflow_auth") == [""]:
            return False
        rows = self._postgres.ask("select username, password_hash from users", "mlflow_auth")
        hashes = dict(row.split("|", 1) for row in rows)
        return all(name in hashes and check_password_hash(hashes[name], said) for name, said in passwords.items())

    def _ask(self, password: str | None) -> int | str:
        request = urllib.request.Request(self._settings.mlflow_address() + _PROBE)  # noqa: S310 - our own http address
        if password is not None:
            token = base64.b64encode(f"{USER}:{password}".encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError as error:
            return f"nothing ({error})"

    def _configuration(self) -> Path:
        return self._folder / "basic_auth.ini"

    def _daemon(self) -> Daemon:
        return Daemon(self._installation, self.name, self._command(), self._environment())

    def _command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"),
            *("--backend-store-uri", self._postgres.address("mlflow")),
            *("--artifacts-destination", f"s3://{self._settings.bucket('mlflow')}/artifacts"),
            *("--host", "127.0.0.1", "--port", str(self._settings.mlflow_port), "--workers"),
            str(self._settings.mlflow_workers),
        ]

    def _environment(self) -> dict[str, str]:
        keys = self._storage.keys("mlflow")
        return {
            "PGPASSFILE": str(self._postgres.pass_file),
            "MLFLOW_AUTH_CONFIG_PATH": str(self._configuration()),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": self._installation.secret(FLASK_SECRET),
            "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": self._webhook_key(),
            "MLFLOW_S3_ENDPOINT_URL": self._settings.s3_address(),
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_DEFAULT_REGION": self._settings.s3_region,
            # Without its job runner the server is 4 processes and not 12.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    def _webhook_key(self) -> str:
        """With what MLflow encrypts the secrets of webhooks in its database; never rotated, as they would be lost."""
        from cryptography.fernet import Fernet

        if not self._installation.has_secret(WEBHOOK_KEY):
            self._installation.put_secret(WEBHOOK_KEY, Fernet.generate_key().decode())
        return self._installation.secret(WEBHOOK_KEY)


def _check_extras() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("flask_wtf", "psycopg") if find_spec(name) is None]
    if missing:
        raise UserError(
            f"mlflow: {', '.join(missing)} is missing for its authentication and PostgreSQL; install hazardline's "
            "extra `server` (`make services` does)"
        )

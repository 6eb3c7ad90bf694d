"""PostgreSQL for MLflow: a cluster of its own below the installation, on a Unix socket and a port of this machine.

It refuses to run as root: there it runs as the user `postgres` that Debian's package makes. Its administrator comes in
over the socket as the user that the cluster belongs to, without a password; MLflow comes in over the port with one.
"""

import os
import pwd
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import IO

import psutil

from hazardline.errors import UserError
from hazardline.services.daemon import NotReadyError, end_of, foreign_free_environment, wait_until_ready
from hazardline.services.installation import Installation, Settings, write_secret

DATABASES = ("mlflow", "mlflow_auth")
ROLE = "mlflow"
_DEBIAN_ROOT = Path("/usr/lib/postgresql")
_TOOLS = ("initdb", "pg_ctl", "psql", "pg_dump", "pg_restore")
_LONGEST_SOCKET = 107
"""Bytes that Linux allows for the path of a socket."""
_HBA = """# Written by hazardline: the cluster's own user over the socket, MLflow over the port, nobody else.
local all {administrator} peer
host mlflow mlflow 127.0.0.1/32 scram-sha-256
host mlflow_auth mlflow 127.0.0.1/32 scram-sha-256
"""


class Postgres:
    """The cluster, its start and end, and what is asked of it as its administrator."""

    name = "postgres"

    def __init__(self, installation: Installation, settings: Settings) -> None:
        """Refer to a cluster, which need not exist."""
        self._installation = installation
        self._settings = settings
        self._folder = installation.folder / "postgres"
        self._data = self._folder / "data"
        self._account = _account()
        self.log = self._folder / "postgres.log"

    @property
    def pass_file(self) -> Path:
        """MLflow's password in the form of libpq."""
        return self._installation.folder / "secrets" / "pgpass"

    def address(self, database: str) -> str:
        """Address of a database for MLflow, without the password (`PGPASSFILE`)."""
        return f"postgresql+psycopg://{ROLE}@127.0.0.1:{self._settings.postgres_port}/{database}"

    def start(self, timeout_s: float) -> None:
        """Make the cluster where there is none, start it, and see that MLflow's role and databases are there.

        Raises:
            UserError: PostgreSQL is missing, of another version than the cluster, or does not start.
        """
        self._prepare()
        if not self._data.exists():
            self._create()
        self._configure()
        if not self.is_running():
            self._wait_for_burial(timeout_s)
            arguments = ["-D", str(self._data), "-l", str(self.log), "-w", "-t", str(round(timeout_s)), "start"]
            if self._run(["pg_ctl", *arguments]).returncode:
                raise UserError(f"postgres does not start. {end_of(self.log)}")
        wait_until_ready(self.name, self.check, self.is_running, self.log, timeout_s)
        self._ensure_databases()

    def stop(self) -> None:
        """End it; connections are closed, what is committed is kept."""
        if self._data.exists() and self.is_running():
            done = self._run(["pg_ctl", "-D", str(self._data), "-m", "fast", "-w", "-t", "60", "stop"])
            if done.returncode:
                raise UserError(f"postgres does not stop. {end_of(self.log)}")

    def is_running(self) -> bool:
        """Whether the server's process lives (pg_ctl also takes one for it that has died and was not buried yet)."""
        process = self._process()
        return process is not None and process.status() != psutil.STATUS_ZOMBIE

    def _process(self) -> psutil.Process | None:
        """The server's process by its own note, dead or alive; other processes of that number do not count."""
        try:
            pid = int((self._data / "postmaster.pid").read_text().split()[0])
            process = psutil.Process(pid)
            return process if process.name() == "postgres" else None
        except (OSError, IndexError, ValueError, psutil.NoSuchProcess):
            return None

    def _wait_for_burial(self, timeout_s: float) -> None:
        """Until the number of a killed server is free: PostgreSQL takes it for a running one before."""
        give_up_at = time.monotonic() + timeout_s
        while self._process() is not None and time.monotonic() < give_up_at:
            time.sleep(0.1)

    def check(self) -> None:
        """Ask for an answer.

        Raises:
            NotReadyError: there is none.
        """
        try:
            self.ask("select 1")
        except UserError as error:
            raise NotReadyError(str(error)) from None

    def ask(self, sql: str, database: str = "postgres") -> list[str]:
        """Rows of a statement, as the administrator. It goes in by standard input: nobody sees it among the processes.

        Raises:
            UserError: the server refuses it.
        """
        command = ["psql", *self._as_administrator(database), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        done = self._run(command, text=sql)
        if done.returncode:
            raise UserError(f"postgres: {done.stderr.strip()}")
        return done.stdout.splitlines()

    def dump(self, database: str, out: IO[bytes]) -> None:
        """Write a consistent picture of a database, in the form that `restore` reads."""
        command = [self._tool("pg_dump"), *self._as_administrator(database), "--format=custom"]
        self._stream(command, f"the dump of {database}", stdout=out)

    def restore(self, database: str, dump: IO[bytes]) -> None:
        """Replace a database by a dump. Nobody may be connected to it."""
        self.ask(f"drop database if exists {database} with (force)")
        self._create_database(database)
        how = ["--no-owner", "--no-privileges", f"--role={ROLE}", "--exit-on-error", "--single-transaction"]
        command = [self._tool("pg_restore"), *self._as_administrator(database), *how]
        self._stream(command, f"restoring {database}", stdin=dump)

    def _prepare(self) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        socket = self._folder / f".s.PGSQL.{self._settings.postgres_port}"
        if len(os.fsencode(socket)) > _LONGEST_SOCKET:
            raise UserError(
                f"{self._folder}: a Unix socket cannot have a path of that length; put the services elsewhere "
                "(HAZARDLINE_SERVICES)"
            )
        if self._account is None:
            return
        os.chown(self._folder, self._account.pw_uid, self._account.pw_gid)
        if self._run(["test", "-x", str(self._folder)]).returncode:
            raise UserError(
                f"{self._folder}: the user {self._account.pw_name} cannot reach it, and PostgreSQL does not run as "
                "root; let others pass through the folders above it (chmod o+x), or put the services elsewhere "
                "(HAZARDLINE_SERVICES)"
            )

    def _create(self) -> None:
        making = self._folder / "data.making"
        shutil.rmtree(making, ignore_errors=True)
        how = ["--auth=peer", "--auth-host=reject", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums"]
        done = self._run(["initdb", "-D", str(making), "-U", self._administrator(), *how])
        if done.returncode:
            raise UserError(f"postgres: the cluster cannot be made: {done.stderr.strip()}")
        (making / "pg_hba.conf").write_text(_HBA.format(administrator=self._administrator()))
        with (making / "postgresql.conf").open("a") as stream:
            stream.write("\ninclude = '../hazardline.conf'\n")
        making.rename(self._data)

    def _configure(self) -> None:
        lines = [
            f"port = {self._settings.postgres_port}",
            "listen_addresses = '127.0.0.1'",
            f"unix_socket_directories = '{self._folder}'",
            "password_encryption = 'scram-sha-256'",
        ]
        path = self._folder / "hazardline.conf"
        path.write_text("\n".join([*lines, ""]))
        path.chmod(0o644)

    def _ensure_databases(self) -> None:
        password = self._installation.secret("postgres-mlflow")
        if not self.ask(f"select 1 from pg_roles where rolname = '{ROLE}'"):  # noqa: S608 - names of our own
            self.ask(f"create role {ROLE} login")
        # A statement that fails is written into the log, this one with its password.
        self.ask(f"set log_min_error_statement = panic; alter role {ROLE} password '{password}'")
        for database in DATABASES:
            if not self.ask(f"select 1 from pg_database where datname = '{database}'"):  # noqa: S608 - as above
                self._create_database(database)
        write_secret(self.pass_file, f"127.0.0.1:{self._settings.postgres_port}:*:{ROLE}:{password}\n")

    def _create_database(self, database: str) -> None:
        self.ask(f"create database {database} owner {ROLE} template template0")
        self.ask(f"revoke all on database {database} from public")

    def _administrator(self) -> str:
        return (self._account or pwd.getpwuid(os.geteuid())).pw_name

    def _as_administrator(self, database: str) -> list[str]:
        where = ["-h", str(self._folder), "-p", str(self._settings.postgres_port), "-d", database]
        return [*where, "-U", self._administrator(), "-w"]

    def _run(self, command: list[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a tool as the cluster's user; it never asks for anything."""
        tool = self._tool(command[0]) if command[0] in _TOOLS else command[0]
        return subprocess.run(  # noqa: S603 - an argument list of our own
            [tool, *command[1:]],
            input=text or "",
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env={**foreign_free_environment(), "LC_ALL": "C.UTF-8"},
            umask=0o077,
            user=None if self._account is None else self._account.pw_uid,
            group=None if self._account is None else self._account.pw_gid,
            extra_groups=None if self._account is None else [],
        )

    def _stream(
        self, command: list[str], what: str, stdin: IO[bytes] | None = None, stdout: IO[bytes] | None = None
    ) -> None:
        done = subprocess.run(  # noqa: S603 - as above
            command,
            stdin=stdin or subprocess.DEVNULL,
            stdout=stdout or subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
            cwd="/",
            env=foreign_free_environment(),
            user=None if self._account is None else self._account.pw_uid,
            group=None if self._account is None else self._account.pw_gid,
            extra_groups=None if self._account is None else [],
        )
        if done.returncode:
            raise UserError(f"postgres: {what} failed: {done.stderr.decode(errors='replace').strip()[-2000:]}")

    def _tool(self, name: str) -> str:
        """Path of a tool, of the version that made the cluster.

        Raises:
            UserError: it is not installed.
        """
        made_by = self._data / "PG_VERSION"
        try:
            version = made_by.read_text().strip()
        except OSError:
            version = None
        return str(find_tool(name, version))


def find_tool(name: str, version: str | None = None) -> Path:
    """A tool of PostgreSQL: Debian's of that major version, or the newest; else one on the path.

    Raises:
        UserError: there is none.
    """
    debian = sorted(_DEBIAN_ROOT.glob(f"{version or '*'}/bin/{name}"), key=lambda path: float(path.parts[-3]))
    if debian:
        return debian[-1]
    found = shutil.which(name)
    if found is None or (version is not None and _major(found) != version):
        which = f"postgresql-{version}" if version else "postgresql"
        why = f"; this cluster was made by version {version}" if version else ""
        raise UserError(f"{name} of PostgreSQL was not found{why} (on Debian: apt-get install {which})")
    return Path(found)


def _major(tool: str) -> str:
    asked = [tool, "--version"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout  # noqa: S603 - as above
    found = re.search(r"\) (\d+)", said)
    return found[1] if found else ""


def _account() -> pwd.struct_passwd | None:
    """The user that PostgreSQL runs as where this is root; None: this user."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        raise UserError(
            "PostgreSQL does not run as root, and there is no user postgres (on Debian: apt-get install postgresql "
            "makes it); or run this as another user"
        ) from None

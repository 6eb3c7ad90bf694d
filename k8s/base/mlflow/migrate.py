"""Brings MLflow's two databases to the schema of this image, one pod at a time: its migrations take no lock.

Host, user and password come from libpq's variables (PGHOST, PGUSER, PGPASSWORD, ...). Where the database cannot be
reached this fails, and the pod's restart is the next try.
"""

import subprocess
import sys

import psycopg

LOCK = 3172
"""Any number that nothing else in this database uses."""
TRACKING, USERS = "postgresql+psycopg:///mlflow", "postgresql+psycopg:///mlflow_auth"


def main() -> None:
    """Take the lock, and migrate. It is freed with the connection, however this ends."""
    with psycopg.connect(dbname="mlflow", autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", (LOCK,))
        for command in (["mlflow", "db", "upgrade", TRACKING], ["mlflow.server.auth", "db", "upgrade", "--url", USERS]):
            subprocess.run([sys.executable, "-m", *command], check=True)  # noqa: S603 - nothing from outside


if __name__ == "__main__":
    main()

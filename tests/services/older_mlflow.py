"""The databases of an older MLflow in the place of a team's own (`recorded/README.md` says what they hold)."""

from pathlib import Path

from werkzeug.security import generate_password_hash

from hazardline.services.mlflow_server import SECRETS
from hazardline.services.postgres import DATABASES, ROLE
from tests.team import Team

SCHEMA = "0584bdc529eb"
"""MLflow 2.22.2's newest migration."""
_RECORDED = Path(__file__).parent / "recorded/mlflow_2_22_2"


def put_older_databases(team: Team) -> None:
    """Replace both databases; MLflow does not run. The accounts keep the passwords that the team's secrets say."""
    ask = team.stack.postgres.ask
    for database in DATABASES:
        ask(f"drop database {database} with (force)")
        ask(f"create database {database} owner {ROLE} template template0")
        ask(f"set role {ROLE};\n{(_RECORDED / f'{database}.sql').read_text()}", database)
    for name, secret in SECRETS.items():
        hashed = generate_password_hash(team.installation.secret(secret))
        ask(f"update users set password_hash = '{hashed}' where username = '{name}'", "mlflow_auth")

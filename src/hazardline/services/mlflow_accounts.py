"""Sets names and passwords of MLflow's own users. Runs as a process of its own: MLflow's server reads its environment.

Standard input is a JSON document with `database_uri` and `accounts` (`name`, `password`, `is_admin`); they stand in no
argument and in no variable. Accounts that are missing are made, passwords that differ are replaced.
"""

import json
import sys
from typing import Any


def set_accounts(database_uri: str, accounts: list[dict[str, Any]]) -> None:
    """Bring MLflow's database of users up to its present form, and these users into it."""
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore()
    store.init_db(database_uri)
    for account in accounts:
        name, password, is_admin = account["name"], account["password"], account["is_admin"]
        if not store.has_user(name):
            store.create_user(name, password, is_admin=is_admin)
        elif not store.authenticate_user(name, password):
            store.update_user(name, password=password, is_admin=is_admin)


if __name__ == "__main__":
    set_accounts(**json.load(sys.stdin))

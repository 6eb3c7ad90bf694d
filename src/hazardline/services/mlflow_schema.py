"""Whether MLflow's database has the form of the installed MLflow, before MLflow's server sees it.

Left alone, a server that misses a table in a database of an older MLflow migrates it at once, without a backup; where
only columns are missing, it ends with a traceback.

MLflow's migrations are read as text: importing MLflow takes seconds.
"""

import re
from importlib.util import find_spec
from pathlib import Path

from hazardline.errors import UserError
from hazardline.services.postgres import Postgres

_REVISION = re.compile(r"""^(revision|down_revision)\b[^=\n]*=\s*["'](\w+)["']""", re.MULTILINE)


def refuse_other_schema(postgres: Postgres) -> None:
    """See that the installed MLflow can serve its database; an empty one it fills itself.

    Raises:
        UserError: the database is an older MLflow's, or one's that is not known here, by its newest migration.
    """
    if postgres.ask("select to_regclass('public.alembic_version')", "mlflow") == [""]:
        return
    found = postgres.ask("select version_num from alembic_version", "mlflow")
    known, newest = migrations()
    if found == [newest]:
        return
    is_older = bool(found) and set(found) <= known
    remedy = (
        "made by an older MLflow. Back up first (`hazardline services backup FOLDER`), for there is no way back; then "
        "run `make services SERVICES=--upgrade` (`hazardline services up --upgrade`)"
        if is_older
        else "which the installed MLflow does not know, as after a newer one. Install the MLflow that made it, or "
        "restore a backup into a new installation (docs/runbook.md)"
    )
    schema = ", ".join(found) or "without a number"
    raise UserError(f"mlflow: its database has the schema {schema}, expected {newest}: {remedy}")


def migrations() -> tuple[set[str], str]:
    """The schemas that the installed MLflow knows, and the newest of them.

    Raises:
        UserError: they are not where MLflow has had them.
    """
    spec = find_spec("mlflow")
    places = list(spec.submodule_search_locations or ()) if spec else []
    found: dict[str, set[str]] = {"revision": set(), "down_revision": set()}
    for place in places:
        for path in Path(place).glob("store/db_migrations/versions/*.py"):
            for kind, number in _REVISION.findall(path.read_text(encoding="utf-8")):
                found[kind].add(number)
    heads = found["revision"] - found["down_revision"]
    if len(heads) != 1:
        raise UserError(
            f"mlflow: {len(heads)} newest migrations were found in {', '.join(places) or 'no folder'}, expected 1; "
            "install the version of MLflow that constraints.txt names"
        )
    return found["revision"], heads.pop()

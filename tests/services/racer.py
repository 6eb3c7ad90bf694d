"""One promoter as a process of its own: meets the others, promotes at the same moment, says what came of it.

    python -m tests.services.racer MEET NAME NUM_RACERS MODEL=VERSION ...

Its MLflow is that of the environment. With `HAZARDLINE_TEST_STOP=entry` or `alias` it stops for ever where a promotion
is about to write its entry, or to move its first alias, and leaves a file that says so: its parent kills it there.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from hazardline.register.ledger import LostRaceError
from hazardline.register.promote import promote
from hazardline.tracking import connect

STOP = "HAZARDLINE_TEST_STOP"
_STEPS = {"entry": "create_model_version", "alias": "set_registered_model_alias"}


def main(meet: Path, name: str, num_racers: int, versions: dict[str, int]) -> dict[str, int | str]:
    """The champion by each promotion, or why it lost."""
    connect()
    if step := os.environ.get(STOP):

        def stop(*_: Any, **__: Any) -> None:
            (meet / f"{name} stopped").touch()
            time.sleep(3600)

        setattr(MlflowClient, _STEPS[step], stop)
    outcomes: dict[str, int | str] = {}
    for model, version in versions.items():
        (meet / f"{model} {name}").touch()
        while len(list(meet.glob(f"{model} *"))) < num_racers:
            time.sleep(0.001)
        try:
            outcomes[model] = promote(model, version, why="race", who=name).champion
        except LostRaceError as error:
            outcomes[model] = str(error)
    return outcomes


if __name__ == "__main__":
    pairs = (text.split("=") for text in sys.argv[4:])
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), {m: int(v) for m, v in pairs})))

"""Events of a task's life, beside those of its progress, and how its errors end a process."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hazardline import environment
from hazardline.errors import UserError

USER_ERROR_STATUS = 2
Emit = Callable[[dict[str, Any]], None]


@contextmanager
def told(task: str) -> Iterator[Emit]:
    """Say that a task has started, and that it has failed where the block raises; the block says how it ended.

    Raises:
        SystemExit: with status 2, after one line on stderr, where something that the user can mend is wrong.
    """
    emit = _emitter(task)
    emit({"state": "started"})
    try:
        yield emit
    except UserError as error:
        emit({"state": "failed", "error": str(error)})
        print(f"{task}: {error}", file=sys.stderr, flush=True)
        raise SystemExit(USER_ERROR_STATUS) from None
    except BaseException as error:
        emit({"state": "failed", "error": f"{type(error).__name__}: {error}", "is_defect": True})
        raise


def failed_tasks(events: Path | None, but: str) -> list[str]:
    """Tasks of a run that have failed, or began and never ended.

    Args:
        events: the run's event file, if it has one.
        but: the task that asks, and is at work itself.
    """
    if events is None or not events.is_file():
        return []
    last: dict[str, str] = {}
    for line in events.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if "state" in event:
            last[event["stage"]] = event["state"]
    return [task for task, state in last.items() if state in ("started", "failed") and task != but]


def _emitter(task: str) -> Emit:
    """Appends to the event file, or drops events where nobody listens."""
    path = environment.events_path()

    def emit(event: dict[str, Any]) -> None:
        if path is not None:
            line = json.dumps({"stage": task, "time": time.time(), **event}, ensure_ascii=False)
            with path.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")

    return emit

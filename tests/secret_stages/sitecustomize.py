"""The tiny stages, but for those that hold secrets: champion, gate, register and release are real.

Python imports a module of this name when it starts. What train and evaluate would have made lies in a folder that
`CANDIDATE` names (`tests.register.line_outputs`), and so may what ingest and split would have. `REAL_STAGE` names one
more stage that is real.
"""

import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any

import hazardline.champion
from hazardline.stages import Stage
from hazardline.tables import ASSIGNMENT, QA, SCENES, write_table

TINY = Path(__file__).parents[1] / "pipelines/tiny_stages/sitecustomize.py"
REAL = ("champion", "gate", "register", "release", os.environ.get("REAL_STAGE"))
TABLES = {"ingest": SCENES, "split": ASSIGNMENT, "synthesize": QA}

_real_function, _real_champion = Stage.run_function, hazardline.champion.CHAMPION
_spec = importlib.util.spec_from_file_location("tiny_stages", TINY)
assert _spec is not None and _spec.loader is not None
tiny = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tiny)
hazardline.champion.CHAMPION = _real_champion
_tiny_function = Stage.run_function


def _from_candidate(name: str) -> Any:
    said = tiny.BODIES[name]

    def body(config: Any, out: Path) -> dict[str, Any]:
        summary: dict[str, Any] = said(config, out)
        made = Path(os.environ["CANDIDATE"]) / name
        if name in TABLES and not made.exists():
            write_table(TABLES[name], out, [])
        else:
            shutil.copytree(made, out, dirs_exist_ok=True)
        return summary

    return body


def _run_function(stage: Stage) -> Any:
    return _real_function(stage) if stage.name in REAL else _tiny_function(stage)


tiny.BODIES |= {name: _from_candidate(name) for name in (*TABLES, "train", "evaluate")}
Stage.run_function = _run_function  # type: ignore[method-assign]

"""A run's conclusion, left where the task that runs at the very end finds it.

KFP gives an exit handler nothing of the tasks before it but how they ended. So the conclusion is an output of the store
under the run's id, which reaches other machines as all outputs do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hazardline import environment
from hazardline.documents import Document
from hazardline.progress import Reporter, SilentReporter
from hazardline.retrain.conclusion import CONCLUSION_NAME, Conclusion
from hazardline.stage_runner import make_or_reuse
from hazardline.stages import RunFunction, Stage
from hazardline.store import Store


class RunName(Document):
    """Which run."""

    run_id: str


class _NothingLeftError(Exception):
    """The run has come to no conclusion."""


@dataclass(frozen=True, kw_only=True)
class _Note(Stage):
    """Written with a conclusion, read without one: then nothing can be made where nothing was left."""

    conclusion: Conclusion | None = None

    def config_class(self) -> type[Document]:
        """The run."""
        return RunName

    def run_function(self) -> RunFunction:
        """Writes the conclusion."""
        return self._write

    def code_digest(self) -> str:
        """Nothing: what was left stays."""
        return ""

    def _write(self, config: RunName, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
        if self.conclusion is None:
            raise _NothingLeftError
        self.conclusion.write(out / CONCLUSION_NAME)
        return {"outcome": self.conclusion.outcome}


def leave_conclusion(conclusion: Conclusion) -> None:
    """Keep a run's conclusion; the first one stays."""
    note = _Note(name="conclusion", description="What a run came to.", conclusion=conclusion)
    make_or_reuse(note, RunName(run_id=conclusion.run_id), {}, Store(environment.store_root()), SilentReporter())


def find_conclusion(run_id: str) -> Conclusion | None:
    """What a run came to, or None where it came to nothing."""
    note = _Note(name="conclusion", description="What a run came to.")
    try:
        found = make_or_reuse(note, RunName(run_id=run_id), {}, Store(environment.store_root()), SilentReporter())
    except _NothingLeftError:
        return None
    return Conclusion.read(found.output / CONCLUSION_NAME)

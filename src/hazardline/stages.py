"""The eleven stages of the line, in order, and what retraining has beside them: inputs, purpose, where the code is.

One word names a stage everywhere: the library package, the component folder, the test folder, the command, the pipeline
task and the MLflow tag. A stage's package holds `config.py` with `<Stage>Config` and `stage.py` with `run`; both are
imported only when they are asked for, so that a list of stages costs nothing.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hazardline.code_digest import code_digest
from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import digest_json
from hazardline.progress import Reporter


class RunFunction(Protocol):
    """A stage's work: reads the folders of its inputs, writes into an empty folder, returns a JSON-able summary."""

    def __call__(self, config: Any, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
        """Run the stage.

        Args:
            config: the stage's section, an instance of its config class.
            inputs: name of each upstream stage to its output folder.
            out: an empty folder. It is renamed when the stage is done: what is written must not name it.
            reporter: where to say how far the stage is.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of the line."""

    name: str
    description: str
    inputs: tuple[str, ...] = ()
    """Upstream stages whose output folders it reads. `champion` is no stage; see `hazardline.champion`."""
    optional_inputs: tuple[str, ...] = ()
    """Inputs that may be lacking: footage on disk needs no simulator, and a first candidate meets no champion."""
    is_cacheable: bool = True
    """False for a stage whose work is an effect outside of its output folder: it runs every time."""
    uses_ray: bool = False
    """Whether its work is done in a Ray cluster of its own, where one is configured (`hazardline.rayjob`)."""
    does: str | None = None
    """Another stage whose work it does as a part of its own, and on whose code its outputs depend."""

    def config_class(self) -> type[Document]:
        """The document of the stage's recipe section."""
        module = importlib.import_module(f"hazardline.{self.name}.config")
        found: type[Document] = getattr(module, f"{self.name.capitalize()}Config")
        return found

    def run_function(self) -> RunFunction:
        """The stage's work. Importing it may import heavy libraries."""
        function: RunFunction = importlib.import_module(f"hazardline.{self.name}.stage").run
        return function

    def code_digest(self) -> str:
        """Digest of the code that the stage's outputs depend on."""
        own = code_digest(self.name)
        return own if self.does is None else digest_json([own, code_digest(self.does)])


STAGES: tuple[Stage, ...] = (
    Stage(
        name="simulate",
        description="Make crash clips, near-miss twins and normal drives with exact ground truth.",
    ),
    Stage(
        name="ingest",
        description="Read clips and annotations, check and describe every clip, put unusable ones aside.",
        inputs=("simulate",),
        optional_inputs=("simulate",),
    ),
    Stage(
        name="split",
        description="Divide groups of clips into train, validation and test, and audit leaks of the label.",
        inputs=("ingest",),
    ),
    Stage(
        name="synthesize",
        description="Turn annotations into questions and answers of a suite's tasks.",
        inputs=("ingest", "split"),
    ),
    Stage(
        name="train",
        description="Fine-tune the linguistic and the perception branch on the frozen base.",
        inputs=("ingest", "synthesize"),
        uses_ray=True,
    ),
    Stage(
        name="evaluate",
        description="Score the candidate, the base and the best constant answers, and write the report.",
        inputs=("ingest", "split", "synthesize", "train"),
    ),
    Stage(
        name="gate",
        description="Decide by the policy whether the candidate may be promoted, with every reason.",
        inputs=("evaluate", "champion"),
        optional_inputs=("champion",),
    ),
    Stage(
        name="register",
        description="Record the candidate in the model registry; promote it where the gate is open.",
        inputs=("ingest", "split", "synthesize", "train", "evaluate", "gate"),
        is_cacheable=False,
    ),
    Stage(
        name="export",
        description="Make the bundle that a vehicle's computer runs, and prove that it answers alike.",
        inputs=("ingest", "synthesize", "train", "evaluate"),
    ),
    Stage(
        name="release",
        description="Sign the bundle and publish it in a TUF repository.",
        inputs=("export", "register"),
        is_cacheable=False,
    ),
    Stage(
        name="device",
        description="Update a device from the repository, check its health, and ask it the six tasks.",
        inputs=("release", "ingest", "synthesize"),
        is_cacheable=False,
    ),
)

RETRAINING: tuple[Stage, ...] = (
    Stage(
        name="newdata",
        description="Decide whether what came in since the champion was trained is worth a training.",
        inputs=("ingest", "champion"),
    ),
    Stage(
        name="reevaluate",
        description="Evaluate the champion on today's test set.",
        inputs=("ingest", "split", "synthesize", "champion"),
        does="evaluate",
    ),
)
"""What a scheduled run has beside the line."""


def stage_named(name: str) -> Stage:
    """The stage of a name.

    Raises:
        UserError: there is no such stage.
    """
    for stage in (*STAGES, *RETRAINING):
        if stage.name == name:
            return stage
    raise UserError(f"no stage is named {name!r}; the stages are {', '.join(stage.name for stage in STAGES)}")

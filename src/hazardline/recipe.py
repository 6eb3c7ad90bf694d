"""A recipe: one complete YAML file that says what a run of the line does.

Nothing is inherited and nothing is filled in from elsewhere: what is not in the file is a default beside the field
that it belongs to. Each stage is handed its own section only, so that a new learning rate does not make a new split.
"""

from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import ConfigDict, Field, model_validator

from hazardline.device.config import DeviceConfig
from hazardline.documents import Document, read_yaml
from hazardline.errors import UserError
from hazardline.evaluate.config import EvaluateConfig
from hazardline.export.config import ExportConfig
from hazardline.files import canonical_json
from hazardline.gate.config import GateConfig
from hazardline.ingest.config import IngestConfig
from hazardline.register.config import RegisterConfig
from hazardline.release.config import ReleaseConfig
from hazardline.retrain.config import RetrainConfig
from hazardline.simulate.config import SimulateConfig
from hazardline.split.config import SplitConfig
from hazardline.stages import STAGES, Stage
from hazardline.synthesize.config import SynthesizeConfig
from hazardline.train.config import TrainConfig


class Recipe(Document):
    """What one run of the line does, a section a stage."""

    model_config = ConfigDict(serialize_by_alias=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    """Names the runs; equal to the name of the recipe's file."""
    purpose: Annotated[str, Field(min_length=1)]
    """One sentence for the summary of a run."""
    simulate: SimulateConfig | None = None
    """Absent where `ingest.root` names footage on disk."""
    ingest: IngestConfig
    split: SplitConfig
    synthesize: SynthesizeConfig
    train: TrainConfig
    evaluate: EvaluateConfig
    gate: GateConfig
    register_: RegisterConfig = Field(alias="register")
    """`register` in the file: a field of that name would hide a method of every Python class."""
    export: ExportConfig
    release: ReleaseConfig
    device: DeviceConfig
    retrain: RetrainConfig | None = Field(default=None, exclude_if=lambda section: section is None)
    """For scheduled runs; absent where there are none."""

    @model_validator(mode="after")
    def _clips_have_one_origin(self) -> Self:
        if (self.simulate is None) == (self.ingest.root is None):
            raise ValueError("give either a simulate section or ingest.root (footage on disk), and not both")
        return self

    @model_validator(mode="after")
    def _stages_use_one_base(self) -> Self:
        bases = {
            "train": self.train.base,
            "evaluate": self.evaluate.base,
            "register": self.register_.base,
            "export": self.export.base,
        }
        if len({str(base) for base in bases.values()}) > 1:
            named = ", ".join(f"{stage}.base {base}" for stage, base in bases.items())
            raise ValueError(f"the base must be the same in all stages, got {named}")
        return self

    @model_validator(mode="after")
    def _answers_are_comparable(self) -> Self:
        if self.evaluate.max_new_tokens != self.export.max_new_tokens:
            raise ValueError("max_new_tokens must be the same in evaluate and export")
        return self

    @model_validator(mode="after")
    def _can_be_retrained(self) -> Self:
        if self.retrain is None:
            return self
        if self.ingest.root is None:
            raise ValueError("retrain: new data come from footage: give ingest.root in place of a simulate section")
        if self.ingest.dataset != self.retrain.dataset:
            raise ValueError(
                f"retrain.dataset is {self.retrain.dataset!r} and ingest.dataset {self.ingest.dataset!r}; give both "
                "the same name"
            )
        if not self.register_.promote:
            raise ValueError("retrain: register.promote is false, so nothing would ever be promoted; leave it out")
        return self

    @model_validator(mode="after")
    def _line_fills_in(self) -> Self:
        if self.register_.recipe:
            raise ValueError("register.recipe is filled in by the line; leave it out")
        return self

    def stages(self) -> tuple[Stage, ...]:
        """The stages of this recipe's line, in order."""
        return tuple(stage for stage in STAGES if self.section(stage.name) is not None)

    def section(self, stage: str) -> Document | None:
        """A stage's section; None for a simulator that the line does not use."""
        section: Document | None = self.register_ if stage == "register" else getattr(self, stage)
        return section

    def section_json(self, stage: str) -> str:
        """A stage's section, defaults written out, as the one JSON string that its component is given.

        Raises:
            UserError: the recipe has no such section.
        """
        section = self.section(stage)
        if section is None:
            raise UserError(f"recipe {self.name} has no section {stage}: its clips come from {self.ingest.root}")
        # The registry keeps the whole recipe beside each version.
        more = {"recipe": self.text()} if stage == "register" else {}
        return canonical_json({**section.data(), **more}).decode()

    def text(self) -> str:
        """The recipe as YAML, with every default written out."""
        return yaml.safe_dump(self.data(), sort_keys=False, allow_unicode=True, width=110)


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        UserError: one line a problem, naming the file, the field and what is allowed there.
    """
    recipe = Recipe.parse(read_yaml(path), str(path))
    if recipe.name != path.stem:
        raise UserError(f"{path}: name: should be the name of the file, {path.stem!r}, got {recipe.name!r}")
    return recipe

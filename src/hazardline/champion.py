"""What stages read of the registry: of its champion the evaluation, the model, and the data that it was trained on.

The registry changes without the line, so this is fetched anew every time, as an output of the store under the input
name `champion`; the cache key of the stage that reads it sees what was fetched.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hazardline.documents import Document
from hazardline.newdata.config import NewdataConfig
from hazardline.progress import Reporter
from hazardline.stages import RunFunction, Stage


class ChampionConfig(Document):
    """Whose champion."""

    model_name: str
    """Name of the registered model."""


class ChampionDataConfig(ChampionConfig):
    """Whose champion, and in which data set."""

    dataset: str
    """Name of the data set."""


@dataclass(frozen=True, kw_only=True)
class _Fetch(Stage):
    """Not a stage of the line: no section of a recipe, no component, no command."""

    function: RunFunction

    def config_class(self) -> type[Document]:
        """The name of the model."""
        return ChampionConfig

    def run_function(self) -> RunFunction:
        """The download."""
        return self.function

    def code_digest(self) -> str:
        """Nothing: what is fetched is never reused."""
        return ""


def _evaluation(config: ChampionConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    from hazardline.register.champion import fetch_champion

    return {"version": fetch_champion(config.model_name, out)}


def _model(config: ChampionConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    from hazardline.register.champion import fetch_model

    return {"version": fetch_model(config.model_name, out)}


def _data(config: ChampionDataConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    from hazardline.register.reference import fetch_reference

    return {"version": fetch_reference(config.model_name, config.dataset, out)}


CHAMPION = _Fetch(
    name="champion", description="Fetch the evaluation of the champion.", is_cacheable=False, function=_evaluation
)
CHAMPION_MODEL = _Fetch(
    name="champion-model", description="Fetch the model of the champion.", is_cacheable=False, function=_model
)
CHAMPION_DATA = _Fetch(
    name="champion-data", description="Fetch the data of the champion.", is_cacheable=False, function=_data
)


def fetch_for(stage: str, config: Document, model_name: str) -> tuple[Stage, ChampionConfig]:
    """What a stage's input `champion` is, and the settings to fetch it with.

    Args:
        stage: the stage that reads it.
        config: that stage's section.
        model_name: the registered model.
    """
    if isinstance(config, NewdataConfig):
        return CHAMPION_DATA, ChampionDataConfig(model_name=model_name, dataset=config.dataset)
    return (CHAMPION_MODEL if stage == "reevaluate" else CHAMPION), ChampionConfig(model_name=model_name)

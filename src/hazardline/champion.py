"""The gate's other input: the evaluation of the registry's champion, as an output of the store.

The registry changes without the line, so this is fetched anew every time; the gate's cache key sees what was fetched.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hazardline.documents import Document
from hazardline.progress import Reporter
from hazardline.stages import RunFunction, Stage


class ChampionConfig(Document):
    """Whose champion."""

    model_name: str
    """Name of the registered model."""


@dataclass(frozen=True, kw_only=True)
class _Champion(Stage):
    """Not a stage of the line: no section of a recipe, no component, no command."""

    def config_class(self) -> type[Document]:
        """The name of the model."""
        return ChampionConfig

    def run_function(self) -> RunFunction:
        """The download."""
        return _fetch

    def code_digest(self) -> str:
        """Nothing: what is fetched is never reused."""
        return ""


def _fetch(config: ChampionConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    from hazardline.register.champion import fetch_champion

    return {"version": fetch_champion(config.model_name, out)}


CHAMPION = _Champion(name="champion", description="Fetch the evaluation of the champion.", is_cacheable=False)

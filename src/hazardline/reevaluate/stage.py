"""The champion on today's test set: its registered model through the evaluate stage, as the gate reads a champion.

The champion's registered scores are of the test set of its own day. A candidate is compared with it over the same
clips or not at all, so it is evaluated again; the output takes the place of the registered evaluation.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hazardline.documents import read_yaml
from hazardline.gate.document import CHAMPION_NAME, ChampionNote
from hazardline.progress import Reporter
from hazardline.reevaluate.config import ReevaluateConfig
from hazardline.register.model import RECIPE_NAME
from hazardline.stages import stage_named


def run(config: ReevaluateConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    """Write what evaluate writes, of the champion, and `champion.json`; without a champion the latter alone.

    The champion answers on the base that it was trained on, which its registered recipe names. The probe on frozen
    features is left out: it says nothing of the champion.

    Args:
        config: how to evaluate.
        inputs: `ingest`, `split`, `synthesize` of today, and `champion` (its model, out of the registry).
        out: empty folder.
        reporter: that of evaluate.

    Returns:
        `champion_version`, and where there is one what evaluate returns.

    Raises:
        UserError: what evaluate raises; the champion's base is not there any more.
    """
    note = ChampionNote.read(inputs["champion"] / CHAMPION_NAME)
    note.write(out / CHAMPION_NAME)
    if note.model_version is None:
        reporter.note("there is no champion to compare with")
        return {"champion_version": None}
    settings = {**config.data(), "ceiling": False, **_base_of(inputs["champion"])}
    evaluate = stage_named("evaluate")
    today = {name: inputs[name] for name in ("ingest", "split", "synthesize")}
    found = evaluate.run_function()(
        evaluate.config_class().parse(settings, "evaluate"), {**today, "train": inputs["champion"]}, out, reporter
    )
    return {"champion_version": note.model_version, **found}


def _base_of(champion: Path) -> dict[str, Any]:
    """The base that the champion was registered with; nothing where it was registered without a recipe."""
    path = champion / RECIPE_NAME
    recipe = read_yaml(path) if path.is_file() else {}
    return {name: value for name, value in recipe.get("register", {}).items() if name == "base"}

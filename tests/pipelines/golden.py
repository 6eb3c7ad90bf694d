"""Golden files of compiled pipelines, in a form without what changes from release to release.

To renew them on purpose: `python -m tests.pipelines.golden`, and look at the difference.
"""

import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.pipelines.cluster import compiled

GOLDEN = Path(__file__).parent / "golden"
RECIPES = ("crashchat_pocket", "crashchat_videollama3_7b")
"""One of each pipeline: simulated clips, and footage."""
RENEW = "python -m tests.pipelines.golden"


def golden_text(recipe: str, folder: Path) -> str:
    """A recipe's package without versions, the recipe's own settings, and the programs that KFP wraps code in."""
    spec, platform = yaml.safe_load_all(compiled(recipe, folder).path.read_text())
    spec["sdkVersion"] = "kfp-X"
    spec["pipelineInfo"]["displayName"] = "recipe and version"
    for parameter in spec["root"]["inputDefinitions"]["parameters"].values():
        parameter["defaultValue"] = "the recipe's"
    for executor in spec["deploymentSpec"]["executors"].values():
        container: dict[str, Any] = executor["container"]
        # The last argument of the command is the adapter itself, as in components/; what is before it is KFP's.
        container["command"] = container["command"][-1:]
    return yaml.safe_dump_all([spec, platform], sort_keys=True, width=110, default_flow_style=False)


def main() -> None:
    """Write all of them."""
    GOLDEN.mkdir(exist_ok=True)
    for recipe in RECIPES:
        with tempfile.TemporaryDirectory() as folder:
            (GOLDEN / f"{recipe}.yaml").write_text(golden_text(recipe, Path(folder)))


if __name__ == "__main__":
    main()

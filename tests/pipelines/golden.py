"""Golden files of compiled pipelines, in a form without what changes from release to release.

To renew them on purpose: `python -m tests.pipelines.golden`, and look at the difference.
"""

import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.pipelines.cluster import recipe_for, written

from pipelines.package import Which

GOLDEN = Path(__file__).parent / "golden"
PACKAGES: dict[str, tuple[str, Which]] = {
    "crashchat_pocket": ("crashchat_pocket", "line"),
    "crashchat_videollama3_7b": ("crashchat_videollama3_7b", "line"),
    "nexar_pocket-retrain": ("nexar_pocket", "retrain"),
    "crashchat_pocket-release": ("crashchat_pocket", "release"),
}
"""Name of the file to recipe and pipeline. Of the line both forms: simulated clips, and footage."""
RENEW = "python -m tests.pipelines.golden"


def write_one(name: str, folder: Path) -> Path:
    """Compile one of them as a cluster gets it; returns the package."""
    recipe, which = PACKAGES[name]
    return written(recipe_for(recipe, which), which, folder / f"{name}.yaml").path


def golden_text(package: Path) -> str:
    """A package without versions, the recipe's own settings, and the programs that KFP wraps code in."""
    spec, platform = yaml.safe_load_all(package.read_text())
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
    for name in PACKAGES:
        with tempfile.TemporaryDirectory() as folder:
            (GOLDEN / f"{name}.yaml").write_text(golden_text(write_one(name, Path(folder))))


if __name__ == "__main__":
    main()

"""No file of k8s/ is forgotten, and none is named that is not there. Needs no kubectl."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2] / "k8s"
OPTIONAL = {"external-secrets", "outside-https", "ray-storage"}
"""Components that are examples, or for some sites alone."""


def reached(folder: Path) -> set[Path]:
    """Every file that a kustomization names, itself and what it leads to included."""
    own = folder / "kustomization.yaml"
    content: dict[str, Any] = yaml.safe_load(own.read_text())
    listed = [*content.get("resources", []), *content.get("components", [])]
    listed += [patch["path"] for patch in content.get("patches", [])]
    listed += [file for generated in content.get("configMapGenerator", []) for file in generated["files"]]
    found = {own}
    for item in listed:
        path = (folder / item).resolve()
        assert path.exists(), f"{own} names {item}, which is not there"
        found |= reached(path) if path.is_dir() else {path}
    return found


def test_every_file_is_part_of_something() -> None:
    starts = [*(ROOT / "overlays").iterdir(), *(ROOT / "components" / name for name in OPTIONAL)]
    every = {path for path in ROOT.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    aside = {ROOT / "README.md", ROOT / "check.py"}
    lock = {ROOT.parent / "docker" / name for name in ("kustomization.yaml", "images.lock.yaml")}
    assert set().union(*map(reached, starts)) == every - aside | lock


def test_an_overlay_uses_no_optional_component() -> None:
    for overlay in (ROOT / "overlays").iterdir():
        folders = {path.parent.name for path in reached(overlay)}
        assert not folders & OPTIONAL, overlay.name


def test_overlays_differ_in_components_as_they_say() -> None:
    common = {"kfp-executor", "images"}
    expected = {
        "local": common | {"trial-services"},
        "staging": common | {"backup", "monitoring", "release-listener", "release-renewal"},
        "production": common
        | {"backup", "monitoring", "release-listener", "release-renewal", "mlflow-ingress", "release-repository"},
    }
    found = {
        overlay.name: {
            Path(item).name for item in yaml.safe_load((overlay / "kustomization.yaml").read_text())["components"]
        }
        for overlay in (ROOT / "overlays").iterdir()
    }
    assert found == expected
    for overlay in expected:
        content = yaml.safe_load((ROOT / "overlays" / overlay / "kustomization.yaml").read_text())
        assert content["components"][-1] == "../../images", "images of components that come later stay without a digest"

"""Dockerfiles and locks keep to their rules, and what has not been pushed is not claimed to be."""

import ast
import fnmatch
import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hazardline.code_digest import modules_used
from hazardline.stages import STAGES
from tests.dockerfiles import FILES, FOLDER, ROOT, context_files, parse

from components.image_lock import read_lock
from components.images import PIPELINE

LOCKS = sorted(FOLDER.glob("*.lock.txt"))
PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;]+)")
COMPILERS = re.compile(r"(?<!\S)(gcc|g\+\+|build-essential|cmake|make)(?!\S)")
TRAINING = {"torch", "transformers", "peft", "mlflow", "pyarrow", "ray", "kfp", "onnx", "panda3d", "nvidia-cublas"}
ONLY_FOR_THE_CHAMPION = {"mlflow", "requests", "sqlalchemy"}
"""What `stage_runner` imports when a gate asks for the champion: no other stage does."""
ONLY_IF_THERE = {"torchcodec"}
DEVICE_MODULES = ("probe", "runtime", "update")


def locked(path: Path) -> dict[str, str]:
    """Versions in a lock, by canonical name."""
    found = (PINNED.match(line) for line in path.read_text().splitlines())
    return {canonicalize_name(match["name"]): match["version"] for match in found if match}


def lock_of(image: str) -> dict[str, str]:
    return locked(FOLDER / f"{image}.lock.txt")


def distributions_used(*modules: str) -> set[str]:
    """Distributions that modules of the library import, directly or through others, wherever the import stands."""
    names: set[str] = set()
    for path in {path for module in modules for path in modules_used(module).values()}:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    known = metadata.packages_distributions()
    return {canonicalize_name(sorted(known[name])[0]) for name in names - {"hazardline"} if name in known}


def test_components_name_a_locked_image_without_a_tag() -> None:
    images = read_lock().images
    assert PIPELINE in images
    assert sorted(image.dockerfile for image in images.values()) == [f"docker/{path.name}" for path in FILES]


def test_the_table_of_images_is_whole() -> None:
    rows = re.findall(r"(?m)^\| `(hazardline-[a-z-]+)` \| `([A-Za-z.]+)` \|", (FOLDER / "README.md").read_text())
    assert rows == [(name, Path(image.dockerfile).name) for name, image in read_lock().images.items()]


def test_every_image_is_called_what_the_lock_calls_it() -> None:
    for name, image in read_lock().images.items():
        assert f'org.opencontainers.image.title="{name}"' in (ROOT / image.dockerfile).read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_dockerfile_keeps_to_the_rules(path: Path) -> None:
    found = parse(path.read_text())
    assert len(found.stages) == 2, "what builds stays behind"
    assert {text.split()[0] for text in found.all("FROM")} <= {"${BASE_IMAGE}", "${BUILD_IMAGE}"}
    assert found.head[0].text == "BASE_IMAGE" and found.last("FROM") == ["${BASE_IMAGE}"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", found.last("USER")[-1]) and found.stages[-1][-1].name in ("USER", "CMD")
    assert found.all("ADD") == []
    assert not [
        text for text in found.all("ARG") + found.all("ENV") if re.search("(?i)password|secret|token|key", text)
    ]
    everything = [instruction.text for stage in found.stages for instruction in stage]
    assert not [text for text in everything if "://" in text], "nothing is fetched but by pip and apt"
    (labels,) = found.last("LABEL")
    for label in ("version", "revision", "source", "licenses"):
        assert f"org.opencontainers.image.{label}=" in labels
    assert "/sbom.json /opt/hazardline/sbom.json" in " ".join(found.last("COPY"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_dockerfile_installs_what_is_locked(path: Path) -> None:
    for command in parse(path.read_text()).all("RUN"):
        for part in command.split("&&"):
            if "pip install" in part:
                assert "--require-hashes" in part or "--no-index" in part, part
            if "apt-get install" in part:
                assert "--no-install-recommends" in part, part
        if "apt-get update" in command:
            assert command.endswith("rm -rf /var/lib/apt/lists/*"), command


def test_only_the_image_that_compiles_kernels_has_a_compiler() -> None:
    with_one = {path.name for path in FILES if COMPILERS.search(" ".join(parse(path.read_text()).last("RUN")))}
    assert with_one == {"train.Dockerfile"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_copied_gets_into_the_build(path: Path) -> None:
    let_in = context_files()
    copied = [text.split()[:-1] for text in parse(path.read_text()).all("COPY") if "--from=" not in text]
    for name in (name.removeprefix("./") for names in copied for name in names):
        assert (ROOT / name).exists(), name
        assert [pattern for pattern in let_in if fnmatch.fnmatch(name, pattern)], name


def test_nothing_private_gets_into_a_build() -> None:
    code = {"components", "pipelines", "src"}
    assert context_files() == {"LICENSE", "README.md", "pyproject.toml", "docker/*.lock.txt", "mlflow/gates", *code}


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_a_lock_has_a_hash_for_everything_and_the_tested_versions(path: Path) -> None:
    entries = re.split(r"\n(?=\S)", path.read_text().strip())
    for entry in entries:
        assert PINNED.match(entry) and "--hash=sha256:" in entry, entry
    tested = {
        canonicalize_name(name): version
        for name, _, version in (
            line.partition("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
        )
    }
    differing = {name: version for name, version in locked(path).items() if tested.get(name, version) != version}
    assert differing == {}


@pytest.mark.parametrize(("image", "extras"), [("pipeline", ["pipelines"]), ("train", ["pipelines", "gpu"])])
def test_a_lock_has_what_the_project_asks_for(image: str, extras: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(text for extra in extras for text in project["optional-dependencies"][extra])]
    found = lock_of(image)
    for requirement in map(Requirement, asked):
        name = canonicalize_name(requirement.name)
        assert name in found, f"{name}: run `make image-locks`"
        assert found[name] in requirement.specifier, f"{name}: run `make image-locks`"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.requirements.in")), ids=lambda path: path.name)
def test_a_lock_has_what_its_list_asks_for(path: Path) -> None:
    asked = [Requirement(line) for line in path.read_text().splitlines() if not line.startswith("#")]
    found = locked(path.with_name(path.name.replace(".requirements.in", ".lock.txt")))
    assert [str(item) for item in asked if found.get(canonicalize_name(item.name), "0") not in item.specifier] == []


def test_the_device_image_has_what_a_device_imports_and_nothing_of_training() -> None:
    used = distributions_used(*(f"hazardline.device.{name}" for name in DEVICE_MODULES))
    found = set(lock_of("device"))
    assert used - found <= ONLY_IF_THERE
    assert found & TRAINING == set()


def test_the_export_image_has_what_the_stage_imports() -> None:
    used = distributions_used("hazardline.export.stage", "hazardline.stage_runner")
    assert used - set(lock_of("export")) <= ONLY_FOR_THE_CHAMPION | ONLY_IF_THERE


def test_every_stage_can_run_in_the_pipeline_image() -> None:
    found = set(lock_of("pipeline"))
    for stage in STAGES:
        used = distributions_used(f"hazardline.{stage.name}.stage")
        assert used - found <= ONLY_IF_THERE | {"bitsandbytes", "deepspeed", "label-studio-sdk"}, stage.name

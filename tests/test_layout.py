"""Rules of the repository's shape that no linter knows."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from hazardline.stages import RETRAINING, STAGES

ROOT = Path(__file__).parents[1]
LIBRARY = sorted((ROOT / "src").rglob("*.py"))
ADAPTERS = sorted((ROOT / "components").rglob("component.py"))
MAX_MODULE_LINES = 400
MAX_ADAPTER_STATEMENTS = 12
ALL_STAGES = (*STAGES, *RETRAINING)
STAGE_NAMES = [stage.name for stage in ALL_STAGES]
NO_STAGES = {"conclude", "notify", "recall"}
"""Tasks around the line that make nothing."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported_roots(path: Path) -> set[str]:
    roots: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            roots.add(node.module.split(".")[0])
    return roots


@pytest.mark.parametrize("name", ["mlflow", "docker"])
def test_a_prescribed_folder_does_not_hide_the_package(name: str) -> None:
    assert not list((ROOT / name).rglob("*.py"))
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert ROOT / name not in Path(module.__file__).parents


def test_the_library_never_imports_the_orchestrator() -> None:
    assert [name_of(path) for path in LIBRARY if imported_roots(path) & {"kfp", "components", "pipelines"}] == []


def test_the_library_imports_itself_by_full_names() -> None:
    """The code digest follows absolute imports only."""
    relative = [
        name_of(path)
        for path in LIBRARY
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_no_module_is_long() -> None:
    sources = [*LIBRARY, *(ROOT / "components").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")]
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in sources}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_MODULE_LINES} == {}


def test_package_markers_are_empty() -> None:
    markers = [path for part in ("src", "components", "pipelines") for path in (ROOT / part).rglob("__init__.py")]
    assert [name_of(path) for path in markers if path.read_text().strip()] == []


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils", "util", "common", "helpers", "misc"}
    assert [name_of(path) for path in LIBRARY if {path.stem, path.parent.name} & drawers] == []


@pytest.mark.parametrize("name", STAGE_NAMES)
def test_a_stage_has_all_its_parts(name: str) -> None:
    parts = [
        f"src/hazardline/{name}/config.py",
        f"src/hazardline/{name}/stage.py",
        f"components/{name}/component.py",
        f"components/{name}/README.md",
    ]
    assert [part for part in parts if not (ROOT / part).is_file()] == []
    assert list((ROOT / "tests" / name).glob("test_*.py")), "a stage has tests of its own"


def test_every_component_is_a_stage() -> None:
    assert {path.parent.name for path in ADAPTERS} == {*STAGE_NAMES, *NO_STAGES}
    assert all((path.parent / "README.md").is_file() for path in ADAPTERS)


@pytest.mark.parametrize("path", ADAPTERS, ids=lambda path: path.parent.name)
def test_an_adapter_is_thin(path: Path) -> None:
    functions = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    assert [function.name for function in functions] == [path.parent.name]
    inside = list(ast.walk(functions[0]))
    statements = sum(isinstance(node, ast.stmt) for node in inside) - 1
    assert statements <= MAX_ADAPTER_STATEMENTS, "move logic to the library"
    assert not [node for node in inside if isinstance(node, ast.For | ast.While | ast.Try | ast.With | ast.BinOp)]


@pytest.mark.parametrize("name", STAGE_NAMES)
def test_a_component_reads_what_its_stage_reads(name: str) -> None:
    """The graph, the adapters and the registry of stages agree on who reads whom."""
    component = importlib.import_module(f"components.{name}.component")
    function = getattr(component, name)
    read = set(function.component_spec.inputs) - {"section", "model_name"}
    (stage,) = [stage for stage in ALL_STAGES if stage.name == name]
    assert read - {"champion"} == set(stage.inputs) - {"champion"}


def test_environment_variables_are_named_in_one_place() -> None:
    listed = set(re.findall(r"HAZARDLINE_\w+", (ROOT / "src/hazardline/environment.py").read_text()))
    used = {name_of(path): set(re.findall(r"\bHAZARDLINE_[A-Z0-9_]+", path.read_text())) for path in LIBRARY}
    assert {name: names - listed for name, names in used.items() if names - listed} == {}


def test_the_readme_names_every_environment_variable() -> None:
    listed = set(re.findall(r'"(HAZARDLINE_\w+)"', (ROOT / "src/hazardline/environment.py").read_text()))
    assert listed <= set(re.findall(r"HAZARDLINE_\w+", (ROOT / "README.md").read_text()))

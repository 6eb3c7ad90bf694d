"""Shipped recipes load; wrong ones are refused with a line that names the field and what is allowed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hazardline.errors import UserError
from hazardline.gate.policy import read_policy
from hazardline.recipe import Recipe, load_recipe
from hazardline.stages import STAGES

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
PAPERS = [path for path in RECIPES if path.stem.startswith(("crashchat_videollama3", "hazardnet_qwen2_vl"))]
"""The papers' own settings, for published weights."""


SMOKE = ROOT / "recipes" / "crashchat_pocket_smoke.yaml"


def smoke(**changes: Any) -> dict[str, Any]:
    """The smoke recipe as data, some sections exchanged; None removes one."""
    data: dict[str, Any] = {**yaml.safe_load(SMOKE.read_text()), **changes}
    return {name: value for name, value in data.items() if value is not None}


def test_recipes_are_shipped() -> None:
    assert {path.stem for path in RECIPES} >= {
        "crashchat_pocket",
        "crashchat_pocket_smoke",
        "hazardnet_pocket",
        "hazardnet_pocket_smoke",
        "nexar_pocket",
    }


def test_the_papers_recipes_are_shipped() -> None:
    names = {path.stem for path in PAPERS}
    assert names == {
        "crashchat_videollama3_2b",
        "crashchat_videollama3_7b",
        "hazardnet_qwen2_vl_2b_lora",
        "hazardnet_qwen2_vl_2b_qlora",
    }


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_loads_and_says_what_it_is(path: Path) -> None:
    recipe = load_recipe(path)
    read_policy(recipe.gate.policy)
    head = path.read_text().partition("\nname:")[0]
    assert all(line.startswith("#") or not line for line in head.splitlines())
    assert "# Launch:" in head and "# Cost:" in head
    sections = [recipe.section_json(stage.name) for stage in recipe.stages()]
    assert len(sections) == len(STAGES) - (recipe.simulate is None)


def test_the_written_out_recipe_is_the_same_recipe() -> None:
    recipe = load_recipe(SMOKE)
    assert Recipe.parse(yaml.safe_load(recipe.text()), "text").digest() == recipe.digest()
    assert yaml.safe_load(recipe.section_json("register"))["recipe"] == recipe.text()


@pytest.mark.parametrize(
    ("changes", "field", "allowed"),
    [
        ({"trian": {}}, "trian: unknown key", "synthesize, train"),
        ({"register": {"promte": True}}, "register.promte: unknown key", "promote"),
        ({"simulate": {"num_pairs": "many"}}, "simulate.num_pairs", "valid integer"),
        ({"simulate": {"num_pairs": -1}}, "simulate.num_pairs", "greater than or equal to 0"),
        ({"simulate": {"num_pairs": 2.5}}, "simulate.num_pairs", "integer"),
        ({"ingest": {"source": "kitti"}}, "ingest.source", "'native', 'nexar'"),
        ({"split": {"train_share": 0.9}}, "split", "add up to"),
        ({"synthesize": {"prompt_version": "crashchat@9"}}, "synthesize.prompt_version", "crashchat@1"),
        ({"train": {"lora": {"rank": 0}}}, "train.lora.rank", "greater than or equal to 1"),
        ({"train": {"base": "/other"}}, "", "the base must be the same in all stages"),
        ({"gate": None}, "gate: missing", "no default"),
        ({"name": "Bad Name"}, "name", "pattern"),
        ({"purpose": ""}, "purpose", "at least 1 character"),
        ({"simulate": None}, "", "either a simulate section or ingest.root"),
        ({"ingest": {"root": "somewhere"}}, "", "either a simulate section or ingest.root"),
        ({"register": {"recipe": "x"}}, "", "leave it out"),
    ],
)
def test_a_wrong_recipe_gives_one_line(changes: dict[str, Any], field: str, allowed: str, tmp_path: Path) -> None:
    path = tmp_path / "crashchat_pocket_smoke.yaml"
    path.write_text(yaml.safe_dump(smoke(**changes)))
    with pytest.raises(UserError) as refused:
        load_recipe(path)
    line = str(refused.value)
    assert line.startswith(f"{path}: {field}")
    assert allowed in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [", "not valid YAML"),
        ("name: a\nname: b\n", "given twice"),
        ("just text", "crashchat_pocket_smoke.yaml: (document)"),
        ("", "crashchat_pocket_smoke.yaml: (document)"),
        (b"\xff\xfe", "cannot be read as a YAML file"),
    ],
)
def test_what_is_no_recipe_is_named(text: str | bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "crashchat_pocket_smoke.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=r"\A[^\n]+\Z") as refused:
        load_recipe(path)
    assert said in str(refused.value)


def test_a_recipe_is_named_as_its_file(tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(SMOKE.read_text())
    with pytest.raises(UserError, match="should be the name of the file, 'other'"):
        load_recipe(path)
    with pytest.raises(UserError, match="cannot be read"):
        load_recipe(tmp_path / "absent.yaml")


def test_reading_recipes_imports_nothing_heavy() -> None:
    heavy = "torch transformers peft ray mlflow panda3d onnxruntime matplotlib pandas sklearn av"
    code = f"import sys, hazardline.recipe; print([name for name in '{heavy}'.split() if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Both pipelines as they were compiled when somebody last looked at them; see `tests/pipelines/golden.py`."""

from pathlib import Path

import pytest

from tests.pipelines.golden import GOLDEN, RECIPES, RENEW, golden_text


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_compiled_pipeline_changes_only_on_purpose(recipe: str, tmp_path: Path) -> None:
    there = (GOLDEN / f"{recipe}.yaml").read_text()
    assert golden_text(recipe, tmp_path) == there, f"if that is meant: {RENEW}"

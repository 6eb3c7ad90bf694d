"""All pipelines as they were compiled when somebody last looked at them; see `tests/pipelines/golden.py`."""

from pathlib import Path
from typing import get_args

import pytest

from hazardline.stages import RETRAINING
from tests.pipelines.cluster import parsed, tasks_of
from tests.pipelines.golden import GOLDEN, PACKAGES, RENEW, golden_text, write_one

from pipelines.package import Which

BESIDE = {"retrain": {"conclude", "conclude-2", "notify", *(stage.name for stage in RETRAINING)}, "release": {"recall"}}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_compiled_pipeline_changes_only_on_purpose(name: str, tmp_path: Path) -> None:
    package = write_one(name, tmp_path)
    assert golden_text(package) == (GOLDEN / f"{name}.yaml").read_text(), f"if that is meant: {RENEW}"
    spec, pods = parsed(package)
    tasks, beside = tasks_of(spec), BESIDE.get(PACKAGES[name][1], set())
    assert beside <= set(tasks) and {"export", "release", "device"} < set(tasks)
    assert set(pods) == {spec.components[task.component_ref.name].executor_label for task in tasks.values()}


def test_every_pipeline_has_a_golden_file_and_no_file_is_left_over() -> None:
    assert {which for _, which in PACKAGES.values()} == set(get_args(Which))
    assert {path.stem for path in GOLDEN.iterdir()} == set(PACKAGES)

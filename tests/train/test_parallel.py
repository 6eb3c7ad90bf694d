"""Two workers with unequal numbers of questions, as replicas and under ZeRO 1 to 3: one gradient, the same losses."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.two_workers import FAMILIES, LAYOUT, NUM_STEPS, WAYS, scenes_of
from tests.vlm.small import gradient, relative_error, separate_loss, small_branch

ROOT = Path(__file__).parents[2]
TOLERANCE = 3e-6

pytestmark = pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="deepspeed is not installed")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("two")
    environment = {
        **os.environ,
        "DS_ACCELERATOR": "cpu",
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "0",
    }
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.train.two_workers", str(rank), str(folder)],
            cwd=ROOT,
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    said = [worker.communicate(timeout=600)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(said)[-4000:]
    result: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return result


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_is_that_of_separate_samples(found: dict[str, Any], family: str, way: str) -> None:
    model = small_branch(family, LAYOUT)
    expected = gradient(model, separate_loss(model, scenes_of(model)))
    assert relative_error(torch.tensor(found[f"{family}/{way}"]["gradient"]), expected) <= TOLERANCE


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", FAMILIES)
def test_losses_are_those_of_replicas_and_go_on_after_a_checkpoint(
    found: dict[str, Any], family: str, way: str
) -> None:
    losses = found[f"{family}/{way}"]["losses"]
    assert losses["whole"] == pytest.approx(found[f"{family}/replicas"]["losses"]["whole"], rel=1e-4)
    assert losses["resumed"] == losses["whole"][NUM_STEPS // 2 :]
    assert losses["whole"][-1] < losses["whole"][0]

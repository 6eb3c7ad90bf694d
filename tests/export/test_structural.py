"""The structural gate passes a faithful export, and refuses one that is broken on purpose."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from hazardline.device.runtime import Bundle
from hazardline.errors import UserError
from hazardline.export.config import StructuralLimits
from hazardline.export.golden import alternating
from hazardline.export.structural import check_structure
from hazardline.progress import SilentReporter
from hazardline.suites import CRASHCHAT
from tests.export.conftest import Line


def disturb(path: Path, share: float, seed: int = 0) -> None:
    """Add noise to the largest matrix of a graph, as a share of its own spread."""
    model = onnx.load(path)
    largest = max(model.graph.initializer, key=lambda item: len(item.raw_data))
    weights = numpy_helper.to_array(largest)
    noise = np.random.default_rng(seed).normal(0, share * weights.std(), weights.shape).astype(weights.dtype)
    largest.CopyFrom(numpy_helper.from_array(weights + noise, largest.name))
    onnx.save(model, path)


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("vision.onnx", "vision encoder"),
        ("projector_perception.onnx", "projector perception"),
        ("decoder.onnx", "decoder linguistic"),
    ],
)
def test_a_corrupted_weight_closes_the_gate(line: Line, floating: Path, tmp_path: Path, file: str, part: str) -> None:
    shutil.copytree(floating, tmp_path / "bundle")
    disturb(tmp_path / "bundle" / file, 0.01)
    clips = alternating(line.splits.validation, CRASHCHAT, 1)
    with pytest.raises(UserError, match=rf"structural gate is closed.*{part} differs by .* allowed are 1e-04"):
        check_structure(line.model, Bundle.open(tmp_path / "bundle"), clips, StructuralLimits(), SilentReporter())


def test_swapped_adapters_close_the_gate(line: Line, floating: Path, tmp_path: Path) -> None:
    shutil.copytree(floating, tmp_path / "bundle")
    shutil.copy(floating / "perception.onnx_adapter", tmp_path / "bundle" / "linguistic.onnx_adapter")
    clips = alternating(line.splits.validation, CRASHCHAT, 1)
    with pytest.raises(UserError, match=r"decoder linguistic differs by") as caught:
        check_structure(line.model, Bundle.open(tmp_path / "bundle"), clips, StructuralLimits(), SilentReporter())
    assert "decoder perception" not in str(caught.value)


def test_logits_that_are_no_numbers_close_the_gate(line: Line, floating: Path, tmp_path: Path) -> None:
    shutil.copytree(floating, tmp_path / "bundle")
    disturb(tmp_path / "bundle" / "vision.onnx", float("nan"))
    clips = alternating(line.splits.validation, CRASHCHAT, 1)
    with pytest.raises(UserError, match="vision encoder differs by"):
        check_structure(line.model, Bundle.open(tmp_path / "bundle"), clips, StructuralLimits(), SilentReporter())

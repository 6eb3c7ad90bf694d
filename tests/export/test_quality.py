"""The quality gate refuses a bundle that answers otherwise than the float model."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from hazardline.device.manifest import Quantisation
from hazardline.errors import UserError
from hazardline.export.answering import kl_divergence, spread
from hazardline.export.bundle import write_manifest, write_parts
from hazardline.export.config import QualityLimits
from hazardline.export.quality import FloatSide, check_quality
from hazardline.progress import SilentReporter
from tests.export.conftest import Line

SETTINGS = Quantisation(bits=8, block_size=32, accuracy_level=4, embedding_dtype="float16")


def as_two_bits(model: onnx.ModelProto) -> onnx.ModelProto:
    """Every matrix of a decoder rounded to four levels a column: what a quantiser must not do."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for item in copy.graph.initializer:
        weights = numpy_helper.to_array(item)
        if weights.ndim == 2 and weights.dtype == np.float32:
            step = np.maximum(np.abs(weights).max(axis=0, keepdims=True), 1e-9) / 1.5  # padding has a column of zeros
            rounded = (np.clip(np.floor(weights / step), -2, 1) + 0.5) * step
            item.CopyFrom(numpy_helper.from_array(rounded.astype(np.float32), item.name))
    return copy


def test_a_bundle_of_two_bits_is_refused_with_the_numbers(line: Line, floating: Path, tmp_path: Path) -> None:
    broken = dataclasses.replace(line.graphs, decoder=as_two_bits(line.graphs.decoder))
    write_parts(tmp_path, broken, line.source, SETTINGS)
    write_manifest(tmp_path, line.source, SETTINGS, {})
    float_side = FloatSide.read(line.inputs["evaluate"])
    with pytest.raises(UserError, match="quality gate is closed") as caught:
        check_quality(tmp_path, floating, line.splits, float_side, line.config, SilentReporter())
    message = str(caught.value)
    assert re.search(
        r"mean divergence 0\.\d+ nats, allowed are 0\.0050; top-1 agreement 0\.\d+, needed is 0\.9700", message
    )
    assert re.search(r"\w+ falls from \d\.\d+ to \d\.\d+ \(by \d\.\d+ \[.*\], allowed are 0\.\d+\)", message)


def test_a_metric_that_does_not_exist_is_named(line: Line, floating: Path) -> None:
    config = line.config.model_copy(update={"quality": QualityLimits(max_drop={"accuracy": 0.1}, num_forced_clips=1)})
    with pytest.raises(UserError, match=r"quality.max_drop: accuracy is no metric of crashchat that .*; there are"):
        check_quality(floating, floating, line.splits, FloatSide([], []), config, SilentReporter())


def test_divergence_is_that_of_torch() -> None:
    rng = np.random.default_rng(0)
    reference, given = (rng.normal(0, 3, (5, 40)).astype(np.float32) for _ in range(2))
    expected = torch.nn.functional.kl_div(
        torch.from_numpy(given).double().log_softmax(-1),
        torch.from_numpy(reference).double().log_softmax(-1),
        reduction="none",
        log_target=True,
    ).sum(-1)
    np.testing.assert_allclose(kl_divergence(reference, given), expected.numpy(), rtol=1e-9)
    assert kl_divergence(reference, reference).max() == 0.0


def test_forced_clips_are_spread_over_the_test_set() -> None:
    assert spread(10, 5) == {0, 2, 4, 6, 8}
    assert spread(3, 5) == {0, 1, 2}
    assert spread(0, 5) == set()

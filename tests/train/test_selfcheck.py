"""The self-check refuses when a part of the packed step is not what the native model does."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hazardline.errors import UserError
from hazardline.tables import SCENES, read_table
from hazardline.train import packed, selfcheck
from hazardline.train.document import SelfCheck
from hazardline.train.loop import Branch, load_branch
from hazardline.train.packed import PackedRow, pack
from hazardline.train.prefix import ClipRow
from hazardline.train.selfcheck import self_check
from hazardline.vlm.layout import LAYOUT_NAME, Layout
from hazardline.vlm.model import encode
from hazardline.vlm.pixels import read_patches
from tests.train.jobs import make_job, small_config
from tests.train.spoilt import leak, run_on


@pytest.fixture(scope="module")
def branch(base: Path, inputs: dict[str, Path], features: Path, tmp_path_factory: pytest.TempPathFactory) -> Branch:
    return load_branch(make_job(tmp_path_factory.mktemp("work"), small_config(base), inputs, features))


@pytest.fixture(scope="module")
def patches(base: Path, inputs: dict[str, Path]) -> torch.Tensor:
    video = Path(read_table(SCENES, inputs["ingest"])[0]["video_uri"])
    return torch.from_numpy(read_patches(video, Layout.read(base / LAYOUT_NAME))[0])


def check(branch: Branch, patches: torch.Tensor, change: Callable[[ClipRow], ClipRow] = lambda row: row) -> SelfCheck:
    row = change(branch.maker.plain(branch.clips[0]))
    return self_check(branch.model, "clip_000", row, patches, Layout.read(branch.job.base / LAYOUT_NAME))


def test_it_passes_and_leaves_the_model_as_it_was(branch: Branch, patches: torch.Tensor) -> None:
    before = {name: tensor.clone() for name, tensor in branch.model.state_dict().items()}
    found = check(branch, patches)
    found.refuse_differences()
    assert found.num_frames == 8 and found.num_turns == 6
    assert 0 < found.features < 0.05 and found.encoder < 1e-5 and found.loss < 1e-6 and found.gradient < 1e-5
    assert branch.model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in branch.model.state_dict().items())
    assert all(parameter.grad is None for parameter in branch.model.parameters())


def test_a_base_in_bf16_is_compared_in_fp32_and_left_as_it_was(
    base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path, patches: torch.Tensor
) -> None:
    narrow = load_branch(make_job(tmp_path, small_config(base), inputs, features))
    for parameter in narrow.model.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.bfloat16()
    before = {name: tensor.clone() for name, tensor in narrow.model.state_dict().items()}
    found = check(narrow, patches)
    found.refuse_differences()
    assert found.encoder < 1e-5 and found.gradient < 1e-5
    after = narrow.model.state_dict()
    assert all(
        after[name].dtype == tensor.dtype and torch.equal(after[name], tensor) for name, tensor in before.items()
    )


def test_features_of_another_clip_are_found(branch: Branch, patches: torch.Tensor) -> None:
    found = check(branch, patches, lambda row: replace(row, features=row.features.flip(0).roll(1, dims=1)))
    with pytest.raises(UserError, match="cached features against the native vision encoder"):
        found.refuse_differences()


def test_another_encoder_is_found(branch: Branch, patches: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfcheck, "encode", lambda *values: encode(*values) * 1.01)
    with pytest.raises(UserError, match="batched vision encoder against the native one"):
        check(branch, patches).refuse_differences()


@pytest.mark.parametrize("spoil", [run_on, leak])
def test_a_wrong_packing_is_found(
    branch: Branch, patches: torch.Tensor, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[PackedRow], PackedRow]
) -> None:
    monkeypatch.setattr(packed, "pack", lambda core, rows: spoil(pack(core, rows)))
    with pytest.raises(UserError, match="of the packed step against separate samples"):
        check(branch, patches).refuse_differences()


@pytest.mark.parametrize("part", ["features", "encoder", "loss", "gradient"])
def test_what_is_not_a_number_is_refused(part: str) -> None:
    values: dict[str, Any] = dict.fromkeys(("features", "encoder", "loss", "gradient"), 0.0)
    fine = SelfCheck(clip_id="clip", num_frames=8, num_turns=2, **values)
    fine.refuse_differences()
    with pytest.raises(UserError, match="train self-check on clip"):
        fine.model_copy(update={part: float("nan")}).refuse_differences()

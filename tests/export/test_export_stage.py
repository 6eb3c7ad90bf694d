"""The stage as the line runs it, and that it refuses what does not belong together."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hazardline.device.bundle import MANIFEST_NAME, verify_bundle
from hazardline.device.manifest import GOLDEN_NAME, PROMPTS_NAME, BundleManifest, GoldenSet, Quantisation
from hazardline.device.runtime import Bundle
from hazardline.errors import UserError
from hazardline.evaluate.document import EVALUATION_NAME, Evaluation
from hazardline.export import stage
from hazardline.export.bundle import write_parts
from hazardline.export.config import MAX_DROP
from hazardline.export.document import PARITY_NAME, Parity
from hazardline.files import sha256_file
from hazardline.progress import SilentReporter
from tests.export.conftest import Line


@pytest.fixture(scope="session")
def exported(line: Line, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("export")
    return out, stage.run(line.config, line.inputs, out, SilentReporter())


def test_the_bundle_verifies_and_says_where_it_comes_from(exported: tuple[Path, dict[str, Any]], line: Line) -> None:
    out, summary = exported
    info = verify_bundle(out / "bundle")
    manifest = BundleManifest.read(out / "bundle" / MANIFEST_NAME)
    assert summary["bundle"]["digest"] == info.manifest_sha256
    assert summary["bundle"]["size_bytes"] == sum(p.stat().st_size for p in (out / "bundle").rglob("*") if p.is_file())
    assert manifest.data_digest == line.splits.test_digest()
    assert set(manifest.branches) == {"linguistic", "perception"}
    assert manifest.quantisation == Quantisation(bits=8, block_size=32, accuracy_level=4, embedding_dtype="float16")


def test_both_gates_report_what_they_measured(exported: tuple[Path, dict[str, Any]], line: Line) -> None:
    out, summary = exported
    parity = Parity.read(out / PARITY_NAME)
    assert summary["parity"] == parity.data()
    assert {part.part for part in parity.structural.parts} == {
        "vision encoder",
        "projector linguistic",
        "projector perception",
        "decoder linguistic",
        "decoder perception",
    }
    assert all(0 < part.relative <= 1e-4 for part in parity.structural.parts)
    assert parity.structural.num_answers == 2 * (6 + 2)
    assert parity.structural.num_equal_answers + parity.structural.num_ties == parity.structural.num_answers
    assert parity.quality.num_clips == len(line.splits.test)
    assert parity.quality.num_forced_clips == 6
    assert 0 < parity.quality.mean_kl <= parity.quality.max_mean_kl
    assert parity.quality.equal_answers_share >= 0.9
    assert {drop.metric for drop in parity.quality.drops} == set(MAX_DROP["crashchat"])
    assert parity.quality.worst_slice is not None
    manifest = BundleManifest.read(out / "bundle" / MANIFEST_NAME)
    assert manifest.parity == parity.numbers()


def test_golden_answers_are_those_of_the_bundle(exported: tuple[Path, dict[str, Any]]) -> None:
    folder = exported[0] / "bundle"
    golden = GoldenSet.read(folder / GOLDEN_NAME)
    bundle = Bundle.open(folder)
    assert [bundle.answer(folder / clip.path).answers for clip in golden.clips] == [c.answers for c in golden.clips]
    assert {clip.answers["crash_recognition"] for clip in golden.clips} == {"Yes", "No"}
    assert all(clip.is_crash == (clip.answers["crash_recognition"] == "Yes") for clip in golden.clips)


def test_a_device_of_before_can_read_a_bundle_of_clips(exported: tuple[Path, dict[str, Any]]) -> None:
    folder = exported[0] / "bundle"
    assert set(json.loads((folder / GOLDEN_NAME).read_bytes())) == {"version", "min_equal_share", "clips"}
    assert set(json.loads((folder / PROMPTS_NAME).read_bytes())) == {"version", "questions", "max_new_tokens"}


def test_two_exports_of_the_same_adapters_have_the_same_bytes(
    exported: tuple[Path, dict[str, Any]], line: Line, tmp_path: Path
) -> None:
    write_parts(
        tmp_path, line.graphs, line.source, BundleManifest.read(exported[0] / "bundle" / MANIFEST_NAME).quantisation
    )
    again = {path.name: sha256_file(path) for path in tmp_path.iterdir()}
    assert len(again) == 10
    assert again == {name: sha256_file(exported[0] / "bundle" / name) for name in again}


def test_no_file_names_this_machine(exported: tuple[Path, dict[str, Any]], line: Line) -> None:
    for path in (exported[0] / "bundle").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"site-packages" not in data, path
            assert str(line.inputs["base"].parent).encode() not in data, path


def test_an_evaluation_of_another_model_is_refused(line: Line, tmp_path: Path) -> None:
    folder = tmp_path / "evaluate"
    shutil.copytree(line.inputs["evaluate"], folder)
    found = Evaluation.read(folder / EVALUATION_NAME)
    identity = found.identity.model_copy(update={"adapters_digest": {"linguistic": "0" * 64}})
    found.model_copy(update={"identity": identity}).write(folder / EVALUATION_NAME)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(UserError, match="measured another adapters than is exported; run evaluate again"):
        stage.run(line.config, {**line.inputs, "evaluate": folder}, out, SilentReporter())


def test_a_training_without_the_linguistic_branch_is_refused(line: Line, tmp_path: Path) -> None:
    (tmp_path / "train" / "perception").mkdir(parents=True)
    with pytest.raises(UserError, match="a bundle needs the linguistic branch"):
        stage.run(line.config, {**line.inputs, "train": tmp_path / "train"}, tmp_path, SilentReporter())


def test_a_training_without_perception_lets_the_linguistic_branch_answer_all(line: Line, tmp_path: Path) -> None:
    shutil.copytree(line.inputs["train"] / "linguistic", tmp_path / "linguistic")
    assert stage.trained_branches(tmp_path) == {"linguistic": tmp_path / "linguistic"}

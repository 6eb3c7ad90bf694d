"""Export of an image model: the structural gate over constrained answers, and golden images."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from hazardline.device import runtime
from hazardline.device.config import HealthLimits
from hazardline.device.health import check_health
from hazardline.device.manifest import GOLDEN_NAME, GoldenSet
from hazardline.device.runtime import Bundle
from hazardline.errors import UserError
from hazardline.evaluate.testset import Clip
from hazardline.export.bundle import write_manifest
from hazardline.export.config import GoldenConfig, StructuralLimits
from hazardline.export.golden import add_golden_clips, alternating, shows_hazard
from hazardline.export.structural import check_structure
from hazardline.files import sha256_file
from hazardline.hazardnet import CLASSIFICATION, format_classification
from hazardline.progress import SilentReporter
from hazardline.suites import HAZARDNET
from tests.device.images import ImageModel, make_image_bundle, write_image


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ImageModel:
    return make_image_bundle(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Five images, of which the second and the third show a risk."""
    folder = tmp_path_factory.mktemp("png")
    return [image_clip(write_image(folder / f"{seed}.png", seed), is_risk=seed in (1, 2)) for seed in range(5)]


def image_clip(image: Path, is_risk: bool) -> Clip:
    values = {
        "SceneClassification": "Urban road",
        "AgentClassification": "Pedestrian" if is_risk else "N/A",
        "SuggestedAction": "Must Stop" if is_risk else "N/A",
        "IsThereRisk": "Yes" if is_risk else "No",
    }
    return Clip(
        clip_id=image.stem,
        label="near_miss" if is_risk else "normal",
        scenario="unknown",
        weather="unknown",
        light="unknown",
        video=image,
        sha256=sha256_file(image),
        duration_s=0.0,
        crash_start_s=None,
        references={CLASSIFICATION: format_classification(values)},
    )


def test_images_with_and_without_a_risk_take_turns(clips: list[Clip]) -> None:
    assert [clip.clip_id for clip in alternating(clips, HAZARDNET, 4)] == ["1", "0", "2", "3"]
    assert [shows_hazard(clip, HAZARDNET) for clip in clips] == [False, True, True, False, False]
    highway = dataclasses.replace(clips[1], references={})
    assert alternating([highway, *clips[:1]], HAZARDNET, 4) == clips[:1]


def test_a_faithful_export_passes_the_structural_gate(made: ImageModel, clips: list[Clip]) -> None:
    found = check_structure(made.model, Bundle.open(made.folder), clips[:3], StructuralLimits(), SilentReporter())
    assert {part.part for part in found.parts} == {"vision encoder", "projector linguistic", "decoder linguistic"}
    assert all(0 < part.relative <= 1e-4 for part in found.parts)
    assert found.num_equal_answers + found.num_ties == found.num_answers == 3


def test_positions_that_are_counted_close_the_structural_gate(
    made: ImageModel, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "prefix_positions", lambda ids, *_: np.arange(len(ids))[None])
    with pytest.raises(UserError, match=r"gate is closed: decoder linguistic differs by .* allowed are 1e-04"):
        check_structure(made.model, Bundle.open(made.folder), clips[:1], StructuralLimits(), SilentReporter())


def test_golden_images_prove_a_device_healthy(made: ImageModel, clips: list[Clip], tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(made.folder, folder)
    config = GoldenConfig(num_clips=2, num_candidates=4)
    golden = add_golden_clips(folder, clips, HAZARDNET, config, 1, SilentReporter())
    write_manifest(folder, made.source, None, {})
    assert golden == GoldenSet.read(folder / GOLDEN_NAME)
    assert golden.key_task == CLASSIFICATION
    assert [clip.path for clip in golden.clips] == ["golden/0.png", "golden/1.png"]
    assert all(set(clip.answers) == {CLASSIFICATION} for clip in golden.clips)
    assert check_health(folder, HealthLimits()).passed
    changed = json.loads((folder / GOLDEN_NAME).read_bytes())
    changed["clips"][0]["answers"][CLASSIFICATION] = clips[0].references[CLASSIFICATION]
    (folder / GOLDEN_NAME).write_text(json.dumps(changed))
    verdict = check_health(folder, HealthLimits(), max_clips=1)
    assert not verdict.passed
    assert "scene_classification answer" in verdict.reasons[0] and "the exporter got another one" in verdict.reasons[0]

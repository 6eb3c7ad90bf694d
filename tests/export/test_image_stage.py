"""The whole stage on a small HazardNet line: its own questions for every image, groups, constrained answers."""

from pathlib import Path

import pytest

from hazardline.device.bundle import MANIFEST_NAME, verify_bundle
from hazardline.device.config import HealthLimits
from hazardline.device.health import check_health
from hazardline.device.manifest import GOLDEN_NAME, PROMPTS_NAME, BundleManifest, GoldenSet, Prompts
from hazardline.errors import UserError
from hazardline.evaluate import stage as evaluate
from hazardline.evaluate.config import AnswerLimits, EvaluateConfig
from hazardline.evaluate.scored import CLIP_METRICS
from hazardline.evaluate.testset import read_splits
from hazardline.export.answering import Job
from hazardline.export.config import MAX_DROP, ExportConfig, GoldenConfig, QualityLimits, StructuralLimits
from hazardline.export.document import PARITY_NAME, Parity
from hazardline.export.quality import allowed_drops, jobs_of
from hazardline.export.stage import run
from hazardline.hazardnet import CLASSIFICATION, TOPICS, classification_schema
from hazardline.progress import SilentReporter
from tests.evaluate.image_world import write_image_line

SPLITS = ["train"] * 4 + ["validation"] * 6 + ["test"] * 10
LIMITS = AnswerLimits(scene_classification=160, **dict.fromkeys(TOPICS, 6))
# a random model is sure of nothing, so rounding its weights may change any answer
QUALITY = QualityLimits(
    max_mean_kl=1.0,
    min_top1_agreement=0.5,
    max_drop={"classification_macro_f1": 1.0, "qa_accuracy": 1.0, "parse_failure_rate": 0.0},
    num_forced_clips=4,
    min_slice_clips=4,
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    line = write_image_line(tmp_path_factory.mktemp("line") / "line", SPLITS)
    line["evaluate"] = tmp_path_factory.mktemp("evaluate")
    settings = EvaluateConfig(base=str(line["base"]), num_workers=1, max_new_tokens=LIMITS, num_resamples=100)
    evaluate.run(settings, line, line["evaluate"], SilentReporter())
    return line


@pytest.fixture(scope="module")
def config(inputs: dict[str, Path]) -> ExportConfig:
    return ExportConfig(
        name="hazardnet-tiny",
        base=str(inputs["base"]),
        accuracy_level=0,
        max_new_tokens=LIMITS,
        num_workers=1,
        num_resamples=100,
        structural=StructuralLimits(num_clips=3),
        quality=QUALITY,
        golden=GoldenConfig(num_clips=2, num_candidates=3),
    )


@pytest.fixture(scope="module")
def out(inputs: dict[str, Path], config: ExportConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    run(config, inputs, folder, SilentReporter())
    return folder


def test_the_bundle_holds_the_schema_and_one_question(out: Path) -> None:
    verify_bundle(out / "bundle")
    manifest = BundleManifest.read(out / "bundle" / MANIFEST_NAME)
    assert set(manifest.branches) == {"linguistic"} and manifest.prompt_version == "hazardnet-short@1"
    prompts = Prompts.read(out / "bundle" / PROMPTS_NAME)
    assert set(prompts.questions) == {CLASSIFICATION}
    assert prompts.schemas == {CLASSIFICATION: classification_schema()}
    assert list(prompts.schemas[CLASSIFICATION]["properties"]) == list(classification_schema()["properties"])


def test_both_gates_ask_every_image_its_own_questions(out: Path, inputs: dict[str, Path]) -> None:
    splits, parity = read_splits(inputs), Parity.read(out / PARITY_NAME)
    # of the first validation images with a risk and without in turn; a highway, which has no classification, is none
    assert parity.structural.num_answers == 3 * 6
    assert parity.structural.num_equal_answers + parity.structural.num_ties == 3 * 6
    quality = parity.quality
    assert quality.num_clips == len(splits.test) == 10 and quality.num_forced_clips == 4
    assert quality.equal_answers_share > 0.3
    assert {drop.metric: drop.drop.value for drop in quality.drops}["parse_failure_rate"] == 0.0
    assert quality.worst_slice is not None


def test_jobs_ask_what_evaluation_asked(inputs: dict[str, Path]) -> None:
    splits = read_splits(inputs)
    jobs = jobs_of(splits, 4)
    assert [job.clip_id for job in jobs] == [clip.clip_id for clip in splits.test]
    assert all(job.questions == clip.questions for job, clip in zip(jobs, splits.test, strict=True))
    assert sum(CLASSIFICATION not in job.questions for job in jobs) == 2  # of a highway
    assert isinstance(jobs[0], Job) and sum(job.is_forced for job in jobs) == 4


def test_golden_images_prove_a_device_healthy(out: Path) -> None:
    golden = GoldenSet.read(out / "bundle" / GOLDEN_NAME)
    assert len(golden.clips) == 2 and all(clip.path.endswith(".png") for clip in golden.clips)
    assert all(set(clip.answers) == {CLASSIFICATION} for clip in golden.clips)
    assert check_health(out / "bundle", HealthLimits()).passed


@pytest.mark.parametrize("metric", ["crash_miou", "free_parse_failure_rate"])
def test_a_metric_that_a_bundle_cannot_be_held_to_is_named(
    inputs: dict[str, Path], config: ExportConfig, tmp_path: Path, metric: str
) -> None:
    changed = config.model_copy(update={"quality": QualityLimits(max_drop={metric: 0.1})})
    with pytest.raises(UserError, match=rf"{metric} is no metric of hazardnet that a bundle can be held to; there are"):
        run(changed, inputs, tmp_path, SilentReporter())
    assert not list(tmp_path.iterdir()), "a wrong name is told before anything is made"


def test_limits_of_a_suite_are_of_its_metrics(inputs: dict[str, Path], config: ExportConfig) -> None:
    silent = config.model_copy(update={"quality": QualityLimits()})
    assert allowed_drops(silent, read_splits(inputs)) == dict(sorted(MAX_DROP["hazardnet"].items()))
    assert set(MAX_DROP["crashchat"]) <= set(CLIP_METRICS)

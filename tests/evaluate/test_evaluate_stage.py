"""The whole stage on small real clips, a random base and random branches. Slow: it starts worker processes."""

import json

import pytest

from hazardline.errors import UserError
from hazardline.evaluate.config import AnswerLimits, CeilingConfig, EvaluateConfig
from hazardline.evaluate.document import EVALUATION_NAME, Evaluation
from hazardline.evaluate.inference import find_adapters
from hazardline.evaluate.scored import CLIP_METRICS, METRIC_NAMES
from hazardline.evaluate.stage import run
from hazardline.evaluate.testset import read_splits
from hazardline.files import write_json
from hazardline.progress import SilentReporter
from hazardline.tables import CLIP_SCORES, PREDICTIONS, SCENES, read_table
from hazardline.tasks import LOCALIZATION_TASKS
from hazardline.train.encode import encode_clips
from hazardline.train.features import FEATURES_FOLDER, PLAIN, sources_of
from tests.evaluate.world import write_line, write_tables

SPLITS = ["train"] * 4 + ["validation"] * 4 + ["test"] * 8
LIMITS = AnswerLimits(crash_description=4, cause_reasoning=4, prevention_reasoning=4)


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    return write_line(tmp_path_factory.mktemp("line"), SPLITS, num_videos=len(SPLITS))


def config(line, **changes):
    given = {
        "base": str(line["base"]),
        "num_workers": 1,
        "max_new_tokens": LIMITS,
        "num_resamples": 100,
        "ceiling_probe": CeilingConfig(epochs=1, hidden_size=8),
        "num_filmstrips": 1,
    }
    return EvaluateConfig(**{**given, **changes})


@pytest.fixture(scope="module")
def outcome(line, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out, run(config(line), line, out, SilentReporter())


def test_everything_is_written_and_agrees(outcome):
    out, summary = outcome
    assert sorted(path.name for path in out.iterdir()) == [
        "clip_scores.parquet",
        "evaluation.json",
        "predictions.parquet",
        "report.html",
    ]
    evaluation = Evaluation.read(out / EVALUATION_NAME)
    assert evaluation.num_test_clips == 8 == summary["num_test_clips"]
    assert evaluation.leakage is not None and len(evaluation.leakage.audit_digest) == 64
    assert [(found.name, found.severity) for found in evaluation.leakage.findings] == [("cheap_features", "warning")]
    for model in ("base", "constant", "candidate"):
        assert set(evaluation.metrics[model]) == set(METRIC_NAMES) == set(summary["metrics"][model])
    assert set(evaluation.ceiling) == {"near_miss_auc", "normal_auc", "recognition_macro_f1", "crash_miou"}
    assert evaluation.counts["clips_crash"] == 4 == evaluation.counts["questions_crash_localization"]
    assert json.loads(json.dumps(summary)) == summary

    predictions = read_table(PREDICTIONS, out)
    for model in ("base", "candidate"):
        asked = [row for row in predictions if row["model"] == model and row["reference"]]
        assert len(asked) == 8 * 4 + 4 * 2
        scored = [row for row in asked if row["task"] == "crash_recognition"]
        assert all(row["score"] is not None for row in scored) and len({row["score"] for row in scored}) > 1
        said_yes = {row["clip_id"] for row in scored if row["prediction"].lower().rstrip(".") == "yes"}
        for row in asked:
            assert row["asked"] == (row["task"] not in LOCALIZATION_TASKS or row["clip_id"] in said_yes)
    of_base, of_candidate = (
        [row["score"] for row in predictions if row["model"] == model and row["score"] is not None]
        for model in ("base", "candidate")
    )
    assert of_base != of_candidate, "the adapters must be in the candidate and not in the base"

    rows = read_table(CLIP_SCORES, out)
    assert {row["metric"] for row in rows} == set(CLIP_METRICS)
    assert {row["model"] for row in rows} == {"base", "constant", "candidate"}


def test_identity_names_what_was_measured(line, outcome):
    identity = Evaluation.read(outcome[0] / EVALUATION_NAME).identity
    assert set(identity.adapters_digest) == {"linguistic", "perception"}
    assert identity.adapters_digest["linguistic"] != identity.adapters_digest["perception"]
    assert identity.test_data_digest == read_splits(line).test_digest()
    assert identity.prompt_version == "crashchat-short@1"


def test_answers_depend_neither_on_the_workers_nor_on_features_that_train_left(line, outcome, tmp_path):
    sources = sources_of(read_table(SCENES, line["ingest"]), set(), [PLAIN])
    encode_clips(line["base"], sources, line["train"] / FEATURES_FOLDER, 1, SilentReporter())
    run(config(line, num_workers=2, ceiling=False, num_filmstrips=0), line, tmp_path, SilentReporter())
    for name in (PREDICTIONS.file_name, CLIP_SCORES.file_name):
        assert (tmp_path / name).read_bytes() == (outcome[0] / name).read_bytes()
    assert Evaluation.read(tmp_path / EVALUATION_NAME).ceiling == {}


def test_adapters_of_another_base_are_refused(line, tmp_path):
    train = tmp_path / "train"
    for branch in ("linguistic", "perception"):
        (train / branch).mkdir(parents=True)
    write_json(train / "training.json", {"digests": {"base": "f" * 64, "encoder": "e" * 64}})
    with pytest.raises(UserError, match=r"training.json: the adapters were trained on another base \(ffffffffffff\)"):
        run(config(line), {**line, "train": train}, tmp_path, SilentReporter())


def test_a_missing_linguistic_branch_is_named(tmp_path):
    (tmp_path / "perception").mkdir()
    with pytest.raises(UserError, match="no folder linguistic/"):
        find_adapters(tmp_path)


def test_a_test_split_without_crashes_is_refused(line, tmp_path):
    videos = sorted((line["base"].parent / "videos").iterdir())
    labels = ["train", "validation", "validation", "test"]  # crash, near miss, crash, normal
    inputs = write_tables(tmp_path, labels, videos)
    with pytest.raises(UserError, match="the test split has 0 crashes among 1 clips"):
        read_splits(inputs)

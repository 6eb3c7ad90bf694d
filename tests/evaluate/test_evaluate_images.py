"""The whole stage on small real images, a random Qwen2-VL and a random branch. Slow: it starts worker processes."""

import json
import re

import pytest

from hazardline.errors import UserError
from hazardline.evaluate.config import AnswerLimits, EvaluateConfig
from hazardline.evaluate.document import EVALUATION_NAME, MAIN_METRICS, Evaluation, main_metrics
from hazardline.evaluate.hazard_scored import HAZARD_CLIP_METRICS, HAZARD_METRIC_NAMES
from hazardline.evaluate.stage import run
from hazardline.evaluate.testset import read_splits
from hazardline.hazardnet import CLASSIFICATION, TOPICS, parse_classification
from hazardline.progress import SilentReporter
from hazardline.tables import CLIP_SCORES, PREDICTIONS, QA, read_table, write_table
from tests.evaluate.image_world import write_image_line, write_image_tables

SPLITS = ["train"] * 4 + ["validation"] * 6 + ["test"] * 10
LIMITS = AnswerLimits(scene_classification=160, **dict.fromkeys(TOPICS, 6))


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    return write_image_line(tmp_path_factory.mktemp("images"), SPLITS)


def config(line, **changes):
    given = {"base": str(line["base"]), "num_workers": 1, "max_new_tokens": LIMITS, "num_resamples": 100}
    return EvaluateConfig(**{**given, "num_filmstrips": 2, **changes})


@pytest.fixture(scope="module")
def outcome(line, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out, run(config(line), line, out, SilentReporter())


def test_everything_is_written_and_agrees(line, outcome):
    out, summary = outcome
    evaluation = Evaluation.read(out / EVALUATION_NAME)
    assert evaluation.num_test_clips == 10 == summary["num_test_clips"] and evaluation.ceiling == {}
    for model in ("base", "constant", "candidate"):
        undefined = set(evaluation.undefined.get(model, []))
        assert set(evaluation.metrics[model]) == set(HAZARD_METRIC_NAMES) - undefined
        assert all(name.startswith("qa_accuracy_") for name in undefined)
    assert evaluation.identity.prompt_version == "hazardnet-short@1"
    assert set(evaluation.identity.adapters_digest) == {"linguistic"}
    assert len(set(evaluation.groups.values())) == 5 == evaluation.counts["image_groups"]
    assert evaluation.counts["images_without_scene_class"] == 2
    assert json.loads(json.dumps(summary)) == summary
    rows = read_table(CLIP_SCORES, out)
    assert {row["metric"] for row in rows} | set(evaluation.undefined.get("candidate", [])) == set(HAZARD_CLIP_METRICS)


def test_every_image_is_asked_its_own_questions(line, outcome):
    asked = {(row["clip_id"], row["task"]) for row in read_table(QA, line["synthesize"]) if row["split"] == "test"}
    predictions = read_table(PREDICTIONS, outcome[0])
    for model in ("base", "constant", "candidate"):
        mine = [row for row in predictions if row["model"] == model]
        assert {(row["clip_id"], row["task"]) for row in mine} == asked and len(mine) == len(asked)
        assert all(row["asked"] and row["score"] is None for row in mine)
    test = read_splits(line).test
    assert len({clip.questions[task] for clip in test for task in TOPICS if task in clip.questions}) > len(TOPICS)


def test_classifications_under_the_schema_parse_and_free_ones_are_measured_beside_them(outcome):
    evaluation = Evaluation.read(outcome[0] / EVALUATION_NAME)
    for model in ("base", "candidate"):
        metrics = evaluation.metrics[model]
        assert metrics["parse_failure_rate"].value == 0.0
        assert metrics["free_parse_failure_rate"].value == 1.0, "a random model writes no JSON by itself"
        assert evaluation.counts[f"{model}_unparsable_free_classification"] == 8
    assert evaluation.metrics["constant"]["free_parse_failure_rate"].value == 0.0
    told = {
        model: [row["prediction"] for row in read_table(PREDICTIONS, outcome[0])
                if row["model"] == model and row["task"] == CLASSIFICATION]
        for model in ("base", "candidate")
    }  # fmt: skip
    assert all(parse_classification(text) is not None for texts in told.values() for text in texts)
    assert told["base"] != told["candidate"], "the adapter must be in the candidate and not in the base"


def test_answers_do_not_depend_on_the_workers(line, outcome, tmp_path):
    run(config(line, num_workers=2, num_filmstrips=0), line, tmp_path, SilentReporter())
    for name in (PREDICTIONS.file_name, CLIP_SCORES.file_name, EVALUATION_NAME):
        assert (tmp_path / name).read_bytes() == (outcome[0] / name).read_bytes()
    assert "<img" not in (tmp_path / "report.html").read_text()


def test_the_test_digest_covers_the_questions_of_each_image(line, tmp_path):
    before = read_splits(line).test_digest()
    rows = read_table(QA, line["synthesize"])
    last = next(row for row in reversed(rows) if row["split"] == "test" and row["task"] in TOPICS)
    last["question"] += " Really?"
    write_table(QA, tmp_path, rows)
    assert read_splits({**line, "synthesize": tmp_path}).test_digest() != before


def test_the_page_shows_images_right_and_wrong_and_needs_nothing_beside_it(outcome):
    page = (outcome[0] / "report.html").read_text()
    assert not re.search(r"https?://|@import|url\((?!#)|<script|<link", page)
    assert all(name in page for name in HAZARD_METRIC_NAMES)
    assert "10 held-out test images of 5 scenes" in page and "Wrong fields" in page
    assert 2 <= page.count('src="data:image/jpeg;base64,') <= 4
    for text in ("IsThereRisk", "the candidate said", "reference:", 'class="wrong"', "Weather and Visibility"):
        assert text in page


def test_main_metrics_are_those_of_the_suite(outcome):
    assert main_metrics(outcome[1]["metrics"]["candidate"]) == MAIN_METRICS["hazardnet"]
    assert main_metrics({"crash_miou"}) == MAIN_METRICS["crashchat"] == main_metrics({})


def test_a_split_of_safe_images_is_refused(tmp_path):
    inputs = write_image_tables(tmp_path, ["validation", "test", "validation", "train"])  # the second has no risk
    with pytest.raises(UserError, match="the validation split has 2 risks among 2 classified images"):
        read_splits(inputs)


def test_an_assignment_of_other_images_is_refused(line, tmp_path):
    other = write_image_tables(tmp_path, ["train", "test"])
    with pytest.raises(UserError, match=r"assignment\.parquet: lacks image image_010"):
        run(config(line), {**line, "split": other["split"]}, tmp_path, SilentReporter())

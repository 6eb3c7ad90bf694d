"""Images as clips without times: what training reads of HazardNet's tables."""

from pathlib import Path

import pytest

from hazardline.hazardnet import CLASSIFICATION, TOPICS
from hazardline.train.clips import load_clips
from hazardline.train.config import TrainConfig
from tests.evaluate.image_world import write_image_tables


def test_images_are_loaded_with_their_own_questions(tmp_path: Path) -> None:
    inputs = write_image_tables(tmp_path, ["train"] * 10 + ["test"] * 2)
    clips = load_clips(inputs["ingest"], inputs["synthesize"], "linguistic", "train")
    assert [clip.clip_id for clip in clips] == [f"image_{number:03d}" for number in range(10)]
    for number, clip in enumerate(clips):
        tasks = [question.task for question in clip.questions]
        assert (CLASSIFICATION in tasks) == (number % 5 != 4), "every fifth image shows a highway"
        assert len(set(tasks) & set(TOPICS)) == 5
        assert not clip.is_crash and clip.crash_start_s is clip.event_s is None
    assert len({question.question for clip in clips for question in clip.questions}) > 10
    assert load_clips(inputs["ingest"], inputs["synthesize"], "perception", "train") == []


def test_a_branch_may_weigh_hazardnets_tasks() -> None:
    config = TrainConfig.model_validate({"branches": {"linguistic": {"task_weights": {CLASSIFICATION: 4.0}}}})
    assert config.weights_of("linguistic") == {CLASSIFICATION: 4.0}
    with pytest.raises(ValueError, match="the branch is not trained on scene_classification"):
        TrainConfig.model_validate({"branches": {"perception": {"task_weights": {CLASSIFICATION: 4.0}}}})

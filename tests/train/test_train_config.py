"""The section: what it refuses, and what a branch inherits."""

from typing import Any

import pytest

from hazardline.errors import UserError
from hazardline.train.config import TrainConfig


def parse(**values: Any) -> TrainConfig:
    return TrainConfig.parse(values, "recipe.yaml: train")


def test_defaults_train_both_branches() -> None:
    config = parse()
    assert list(config.branches) == ["linguistic", "perception"]
    assert config.weights_of("linguistic") == {"crash_recognition": 4.0}
    assert parse(**config.data()) == config


def test_a_branch_overrides_what_it_names() -> None:
    config = parse(
        learning_rate=1e-3,
        num_steps=50,
        branches={"linguistic": {}, "perception": {"learning_rate": 4e-3, "num_epochs": 2, "task_weights": {}}},
    )
    assert config.branch_learning_rate("linguistic") == 1e-3
    assert config.branch_learning_rate("perception") == 4e-3
    assert config.weights_of("perception") == {}
    assert config.steps_of("linguistic", 100) == 50
    assert config.steps_of("perception", 100) == 50  # 2 epochs of 100 clips, 4 a step
    assert parse(num_epochs=3).steps_of("linguistic", 10) == 8
    assert parse().steps_of("linguistic", 400) == 1200


def test_warm_up_is_steps_or_a_share_of_them() -> None:
    assert parse(warmup_steps=7).warmup_of(1000) == 7
    assert parse(warmup_share=0.02).warmup_of(63) == 2
    assert parse(warmup_share=0.1).warmup_of(5) == 1
    assert parse(warmup_share=0.0).warmup_of(1000) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": "fast"}, "learning_rate: .*valid number"),
        ({"learning_rte": 1.0}, "learning_rte: unknown key; allowed here: .*learning_rate"),
        ({"branches": {}}, "branches: .*at least 1 item"),
        ({"branches": {"visual": {}}}, "'linguistic' or 'perception'"),
        ({"num_steps": 3, "num_epochs": 1.0}, "num_steps or num_epochs, not both"),
        ({"branches": {"perception": {"num_steps": 3, "num_epochs": 1.0}}}, "num_steps or num_epochs, not both"),
        ({"branches": {"perception": {"task_weights": {"crash_recognition": 2.0}}}}, "not trained on crash_recog"),
        (
            {"task_weights": {"crash_localization": 0.0, "pre_crash_localization": 0.0}},
            "branches.perception: all task weights are 0",
        ),
        ({"clips_per_step": 2, "num_workers": 3}, "clips_per_step is below num_workers"),
        ({"schedule": "step"}, "'cosine' or 'linear'"),
        ({"precision": "fp16"}, "'bf16' or 'fp32'"),
        ({"augmentation": {"crop_probability": 1.5}}, "augmentation.crop_probability"),
    ],
)
def test_a_wrong_section_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(**change)

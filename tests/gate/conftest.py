"""Evaluate folders on disk, as the evaluate stage leaves them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hazardline.evaluate.document import EVALUATION_NAME, Evaluation
from hazardline.gate.document import CHAMPION_NAME, ChampionNote
from hazardline.tables import CLIP_SCORES, write_table
from tests.gate.evaluations import clip_scores, evaluation

Folder = Callable[..., Path]


@pytest.fixture
def evaluate_folder(tmp_path: Path) -> Folder:
    """Write an evaluate folder; with a version it is a champion's."""

    def write(
        name: str,
        document: Evaluation | None = None,
        rows: list[dict[str, Any]] | None = None,
        model_version: int | None = None,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (document or evaluation()).write(folder / EVALUATION_NAME)
        write_table(CLIP_SCORES, folder, clip_scores(6) if rows is None else rows)
        if model_version is not None:
            ChampionNote(model_name="m", model_version=model_version).write(folder / CHAMPION_NAME)
        return folder

    return write

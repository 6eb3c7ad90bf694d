"""Images are named by digest, and what has not been pushed is not claimed to be."""

import re
from pathlib import Path

from components.image_lock import read_lock
from components.images import PIPELINE

ROOT = Path(__file__).parents[1]


def test_components_name_a_locked_image_without_a_tag() -> None:
    images = read_lock().images
    assert PIPELINE in images
    assert [image.dockerfile for image in images.values() if not (ROOT / image.dockerfile).is_file()] == []


def test_dockerfiles_end_as_an_unprivileged_numeric_user_without_a_compiler() -> None:
    for path in (ROOT / "docker").glob("*.Dockerfile"):
        text = path.read_text()
        last_stage = text.rpartition("\nFROM ")[2]
        assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last_stage, re.MULTILINE), path.name
        assert text.count("\nFROM ${BASE_IMAGE}") == text.count("\nFROM "), "bases are pinned by an argument"
        assert not re.search(r"\b(gcc|g\+\+|build-essential|cmake)\b", last_stage)
        assert "-c constraints.txt" in text

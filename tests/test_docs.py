"""What the pages for users promise is what the code does."""

import json
import re
from pathlib import Path

import pytest

from hazardline.errors import UserError
from hazardline.native import NativeClip, Times

ROOT = Path(__file__).parents[1]


def _native_page() -> str:
    return (ROOT / "docs/native-layout.md").read_text(encoding="utf-8")


def test_the_smallest_manifest_of_the_page_is_valid() -> None:
    block = re.search(r"```json\n(.*?)```", _native_page(), re.DOTALL)
    assert block is not None
    clips = [NativeClip.parse(json.loads(line), "page") for line in block[1].splitlines()]
    assert [clip.label for clip in clips] == ["normal", "crash"]


def test_the_page_names_every_key() -> None:
    named = set(re.findall(r"`(\w+)`", _native_page()))
    assert set(NativeClip.model_fields) | set(Times.model_fields) <= named


def test_an_unknown_key_is_an_error_as_the_page_says() -> None:
    with pytest.raises(UserError, match="unknown key; allowed here"):
        NativeClip.parse({"clip_id": "a", "video": "a.mp4", "label": "normal", "wether": "sunny"}, "manifest.jsonl:1")


def test_every_linked_file_of_the_readme_exists() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\((?!https?:)([^)#]+)\)", text) + re.findall(r"`((?:docs|recipes|mlflow)/[\w./-]+)`", text)
    assert linked
    assert not [name for name in linked if "NAME" not in name and not (ROOT / name).exists()]

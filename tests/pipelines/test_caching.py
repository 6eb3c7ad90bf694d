"""What is never served stale on a cluster: KFP's cache is off, and the store's key sees the library and the data.

That every compiled task has KFP's cache switched off is in `test_compile.py`. KFP's own key would hold the image, the
command and the names of inputs: here are changes that leave all of these as they are.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import hazardline.stage_runner
from hazardline.progress import Reporter
from hazardline.stage_runner import run_stage
from hazardline.stages import Stage
from hazardline.store import StageRecord

INGEST = {"source": "native"}


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], StageRecord]:
    """One pod after another that runs the same `ingest` task: the same section, in the same store."""
    footage = tmp_path / "footage"
    footage.mkdir()
    (footage / "manifest.jsonl").write_text("one\n")
    monkeypatch.setenv("HAZARDLINE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HAZARDLINE_STORE", raising=False)
    monkeypatch.delenv("HAZARDLINE_EVENTS", raising=False)

    def work(config: Any, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
        text = (footage / "manifest.jsonl").read_text()
        (out / "clips.txt").write_text(text)
        return {"read": text}

    monkeypatch.setattr(Stage, "run_function", lambda stage: work)
    section = json.dumps({**INGEST, "root": str(footage)})
    return lambda: run_stage("ingest", section, {}, str(tmp_path / "record.json"))


def test_what_has_not_changed_is_reused(task: Callable[[], StageRecord]) -> None:
    first, again = task(), task()
    assert (first.cached, again.cached) == (False, True)
    assert first.key == again.key


def test_a_changed_data_set_is_read_anew(task: Callable[[], StageRecord], tmp_path: Path) -> None:
    first = task()
    (tmp_path / "footage" / "manifest.jsonl").write_text("two\n")
    again = task()
    assert not again.cached and again.summary == {"read": "two\n"}
    assert again.content_digest != first.content_digest


def test_a_changed_library_makes_its_outputs_anew(
    task: Callable[[], StageRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = task()
    installed = hazardline.stage_runner._version
    monkeypatch.setattr(
        hazardline.stage_runner, "_version", lambda name: "99.0" if name == "pyarrow" else installed(name)
    )
    again = task()
    assert not again.cached and again.key != first.key


def test_changed_code_makes_its_outputs_anew(task: Callable[[], StageRecord], monkeypatch: pytest.MonkeyPatch) -> None:
    first = task()
    monkeypatch.setattr(Stage, "code_digest", lambda stage: "of other code")
    again = task()
    assert not again.cached and again.key != first.key

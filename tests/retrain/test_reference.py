"""Whom today's data are compared with, and which trainings are not repeated."""

from pathlib import Path
from typing import Any

import pytest

from hazardline import environment
from hazardline.datasets.document import Changes, DatasetVersion, version_id
from hazardline.datasets.store import DatasetStore
from hazardline.files import sha256_file
from hazardline.ingest.report import REPORT_NAME, IngestReport
from hazardline.newdata.config import NewdataConfig, TriggerConfig
from hazardline.newdata.document import TRIGGER_NAME, Trigger
from hazardline.newdata.reference import REFERENCE_FOLDER, REFERENCE_NAME, ReferenceNote
from hazardline.newdata.shown import summary_text
from hazardline.newdata.stage import run
from hazardline.progress import SilentReporter
from hazardline.register.approval import put_up
from hazardline.register.lineage import DATASET_TAG
from hazardline.register.promote import GATE_TAG, SEEN_TAG, promote, rollback
from hazardline.register.reference import fetch_reference
from hazardline.store import StoredFile
from hazardline.tracking import connect, open_run
from tests.newdata.populations import Clip, population, write_version

CONFIG = NewdataConfig(
    dataset="fleet", trigger=TriggerConfig(min_new_clips=20, min_new_crashes=20, drift_on=(), num_permutations=399)
)
DIGESTS = {name: f"{number:064x}" for number, name in enumerate("abcd", start=1)}


def add_model(seen: str, data: str | None, gate: str = "open") -> int:
    """A registered version that was trained on a data set version of the given content."""
    client = connect()
    if not client.search_registered_models("name = 'm'"):
        client.create_registered_model("m")
    tags = {GATE_TAG: gate, SEEN_TAG: seen} | ({DATASET_TAG: DIGESTS[data]} if data is not None else {})
    with open_run("register", "1") as tracked:
        source = f"runs:/{tracked.run_id}/model/1"
        return int(client.create_model_version("m", source, tracked.run_id, tags=tags).version)


def champion(seen: str, data: str | None) -> int:
    """The same, promoted."""
    version = add_model(seen, data)
    promote("m", version, why="test")
    return version


def keep(content: str, clips: list[Clip], parent: str | None = None) -> str:
    """A version of the data set `fleet` in the store; its id."""
    store = DatasetStore(environment.datasets_root())
    folder = write_version(store.root.parent / f"made-{content}", clips)
    files = {path.name: path for path in folder.iterdir()}
    found = version_id(DIGESTS[content], parent)
    version = DatasetVersion(
        name="fleet",
        version_id=found,
        parent=parent,
        content_digest=DIGESTS[content],
        sources=(),
        created_at="2026-01-01T00:00:00+00:00",
        num_clips=len(clips),
        num_quarantined=0,
        by_label={},
        by_source={},
        by_reason={},
        changes=Changes(num_added=0, num_changed=0, num_removed=0, num_unchanged=0),
        files={
            name: StoredFile(size_bytes=path.stat().st_size, sha256=sha256_file(path)) for name, path in files.items()
        },
    )
    store.add(version, files, {})
    return found


def fetched(tmp_path: Path) -> tuple[ReferenceNote, Path]:
    out = tmp_path / f"fetched{len(list(tmp_path.glob('fetched*')))}"
    out.mkdir()
    fetch_reference("m", "fleet", out)
    return ReferenceNote.read(out / REFERENCE_NAME), out


def decided(tmp_path: Path, content: str, clips: list[Clip]) -> tuple[dict[str, Any], Trigger]:
    """What the stage says of today's clips."""
    _, known = fetched(tmp_path)
    today, out = tmp_path / f"today-{known.name}", tmp_path / f"out-{known.name}"
    write_version(today, clips)
    counts: dict[str, Any] = {
        name: {} for name in ("by_label", "by_source", "labels_by_source", "by_scenario", "by_reason")
    }
    report = {"sources": [], "num_clips": len(clips), "num_quarantined": 0, "total_s": 1.0, **counts}
    report |= {"decoder": {"backend": "pyav", "reason": "x"}, "dataset_digest": DIGESTS[content]}
    IngestReport.parse(report, "test").write(today / REPORT_NAME)
    out.mkdir()
    summary = run(CONFIG, {"ingest": today, "champion": known}, out, SilentReporter())
    return summary, Trigger.read(out / TRIGGER_NAME)


OLD = population("clip", 60, seed=1)
NEW = [*OLD, *population("fresh", 25, seed=2)]


def test_without_a_champion_the_first_training_is_due(home: Path, tmp_path: Path) -> None:
    note, _ = fetched(tmp_path)
    assert (note.model_version, note.dataset_version, note.unknown, note.trained) == (None, None, None, {})
    summary, trigger = decided(tmp_path, "a", OLD)
    assert summary["retrain"] and trigger.reasons[0].kind == "first_training"


def test_the_reference_is_what_the_champion_was_trained_on(home: Path, tmp_path: Path) -> None:
    first = keep("a", OLD)
    champion("none", "a")
    second = keep("b", NEW, parent=first)
    keep("c", NEW, parent=second)
    note, folder = fetched(tmp_path)
    assert note.dataset_version == first, "not the newest version"
    kept = DatasetStore(environment.datasets_root()).version_folder(first)
    for path in (folder / REFERENCE_FOLDER).iterdir():
        assert path.read_bytes() == (kept / path.name).read_bytes()


def test_what_is_new_since_then_decides(home: Path, tmp_path: Path) -> None:
    keep("a", OLD)
    champion("none", "a")
    nothing, trigger = decided(tmp_path, "a", OLD)
    assert not nothing["retrain"] and trigger.reasons[0].kind == "nothing_new"
    few, trigger = decided(tmp_path, "b", NEW[:70])
    assert not few["retrain"] and few["num_new"] == 10
    assert "10 clips with new bytes, fewer than 20" in summary_text(trigger)
    enough, trigger = decided(tmp_path, "b", NEW)
    assert enough["retrain"] and enough["champion_version"] == 1
    assert summary_text(trigger).startswith("# A training is due")


@pytest.mark.parametrize("data, words", [(None, "does not say which version"), ("d", "on other data than any version")])
def test_an_unknown_reference_asks_for_a_training_and_says_why(
    home: Path, tmp_path: Path, data: str | None, words: str
) -> None:
    keep("a", OLD)
    champion("none", data)
    summary, trigger = decided(tmp_path, "b", OLD)
    assert summary["retrain"] and trigger.reasons[0].kind == "unknown_reference"
    assert words in trigger.reasons[0].sentence and "champion version 1" in trigger.reasons[0].sentence


def test_a_training_that_would_come_to_the_same_end_is_not_repeated(home: Path, tmp_path: Path) -> None:
    keep("a", OLD)
    champion("none", "a")
    refused = add_model("1", "b", gate="closed")
    summary, trigger = decided(tmp_path, "b", NEW)
    assert not summary["retrain"] and trigger.reasons[0].kind == "already_trained"
    assert trigger.reasons[0].sentence.endswith(f"version {refused}; its gate stayed closed against champion version 1")
    assert decided(tmp_path, "c", NEW)[0]["retrain"], "other data"


def test_what_waits_or_was_rolled_back_is_not_trained_again(home: Path, tmp_path: Path) -> None:
    keep("a", OLD)
    champion("none", "a")
    waiting = add_model("1", "b")
    put_up("m", waiting)
    assert fetched(tmp_path)[0].trained == {
        DIGESTS["b"]: f"a training ran already on today's version: version {waiting}; it waits for approval"
    }
    champion("1", "c")
    rollback("m", why="test")
    assert "was champion and is no more" in fetched(tmp_path)[0].trained[DIGESTS["c"]]


def test_a_run_that_was_killed_or_lost_a_race_goes_on(home: Path, tmp_path: Path) -> None:
    keep("a", OLD)
    champion("none", "a")
    add_model("1", "b")  # its gate is open, and nobody need be asked: it was killed before its promotion
    add_model("none", "c")  # lost a race
    add_model("none", "d", gate="closed")  # was held against another champion
    assert fetched(tmp_path)[0].trained == {}


def test_what_waits_against_a_champion_that_is_gone_is_judged_again(home: Path, tmp_path: Path) -> None:
    keep("a", OLD)
    champion("none", "a")
    put_up("m", add_model("1", "b"))
    champion("1", "c")
    assert DIGESTS["b"] not in fetched(tmp_path)[0].trained

"""Only what is new or changed is looked at, and every state of a data set is a version that never changes."""

import shutil
from pathlib import Path

import pytest

from hazardline.datasets.document import DatasetVersion
from hazardline.datasets.store import DatasetStore
from hazardline.errors import UserError
from hazardline.ingest import stage
from hazardline.ingest.config import IngestConfig
from hazardline.tables import SCENES, read_table
from tests.ingest.datasets import clip, write_manifest
from tests.ingest.test_frame_folder import write_frames
from tests.video_files import moving_pictures, write_clip


class Notes:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.decoded = 0

    def phase(self, name: str, total: int = 0) -> None:
        if name == "decode clips":
            self.decoded = total

    def advance(self, n: int = 1) -> None:
        """Nothing is kept of it."""

    def note(self, text: str) -> None:
        self.notes.append(text)


def ingest(root: Path, out: Path, **more: object) -> Notes:
    notes = Notes()
    out.mkdir()
    stage.run(IngestConfig(root=str(root), dataset="mine", num_workers=1, **more), {}, out, notes)
    return notes


def head(datasets: Path) -> DatasetVersion:
    found = DatasetStore(datasets).head("mine")
    assert found is not None
    return found


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    root = tmp_path / "footage"
    for k in range(3):
        write_clip(root / f"{k}.mp4", moving_pictures(k, 10))
    write_frames(root / "frames", ".png", 10)
    lines = [clip(f"c{k}", f"{k}.mp4") for k in range(3)]
    return write_manifest(root, [*lines, clip("f", "frames", fps=10)])


def _settled(root: Path) -> None:
    """As if the files had been written a minute ago: a file of this very second is never trusted."""
    import os
    import time

    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - 60,) * 2)
    time.sleep(2.1)  # the time of the last change of a file's status cannot be set


def test_a_second_ingest_decodes_what_is_new(footage: Path, tmp_path: Path, datasets_of_this_test: Path) -> None:
    _settled(footage)
    assert ingest(footage, tmp_path / "1").decoded == 4
    first = head(datasets_of_this_test)
    again = ingest(footage, tmp_path / "2")
    assert again.decoded == 0 and any("nothing has changed" in note for note in again.notes)
    assert head(datasets_of_this_test) == first
    for name in ("scenes.parquet", "features.parquet", "records.parquet", "quarantine.parquet", "ingest.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()

    write_clip(footage / "1.mp4", moving_pictures(9, 10))
    write_clip(footage / "new.mp4", moving_pictures(8, 10))
    lines = [clip("c0", "0.mp4", "near_miss"), clip("c1", "1.mp4"), clip("n", "new.mp4")]
    write_manifest(footage, [*lines, clip("f", "frames", fps=10)])
    third = ingest(footage, tmp_path / "3")
    assert third.decoded == 2 and "2 clips are known from an earlier ingest" in third.notes
    second = head(datasets_of_this_test)
    assert second.parent == first.version_id
    assert second.changes.data() == {"num_added": 1, "num_changed": 2, "num_removed": 1, "num_unchanged": 1}
    store = DatasetStore(datasets_of_this_test)
    assert store.version(first.version_id) == first
    assert len(read_table(SCENES, store.version_folder(first.version_id))) == 4
    assert (store.version_folder(second.version_id) / "scenes.parquet").read_bytes() == (
        tmp_path / "3/scenes.parquet"
    ).read_bytes()


def test_going_back_is_a_new_version(footage: Path, tmp_path: Path, datasets_of_this_test: Path) -> None:
    manifest = (footage / "manifest.jsonl").read_text()
    versions = []
    for number, text in enumerate((manifest, manifest.splitlines()[0] + "\n", manifest)):
        (footage / "manifest.jsonl").write_text(text)
        ingest(footage, tmp_path / str(number))
        versions.append(head(datasets_of_this_test))
    assert versions[0].content_digest == versions[2].content_digest
    assert len({version.version_id for version in versions}) == 3
    assert [version.parent for version in versions] == [None, versions[0].version_id, versions[1].version_id]


def test_footage_that_was_moved_is_not_decoded_again(footage: Path, tmp_path: Path) -> None:
    ingest(footage, tmp_path / "1")
    shutil.move(footage, tmp_path / "elsewhere")
    moved = ingest(tmp_path / "elsewhere", tmp_path / "2")
    assert any("nothing has changed" in note for note in moved.notes)


def test_a_file_that_changes_under_the_same_stamp_of_the_same_second_is_seen(footage: Path, tmp_path: Path) -> None:
    ingest(footage, tmp_path / "1")
    before = {row["clip_id"]: row["sha256"] for row in read_table(SCENES, tmp_path / "1")}
    write_clip(footage / "0.mp4", moving_pictures(7, 10))
    ingest(footage, tmp_path / "2")
    after = {row["clip_id"]: row["sha256"] for row in read_table(SCENES, tmp_path / "2")}
    assert {clip_id for clip_id in before if before[clip_id] != after[clip_id]} == {"c0"}


def test_several_data_sets_become_one(footage: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_clip(other / "a.mp4", moving_pictures(5, 10))
    write_clip(other / "b.mp4", moving_pictures(6, 10))
    write_manifest(other, [clip("x", "a.mp4", source="two"), clip("c0", "b.mp4", source="two")])
    ingest(footage, tmp_path / "out", also=({"source": "native", "root": str(other)},), max_quarantined_share=0.5)
    assert [row["clip_id"] for row in read_table(SCENES, tmp_path / "out")] == ["c0", "c1", "c2", "f", "x"]
    with pytest.raises(UserError, match=r"also\.0\.root: missing"):
        ingest(footage, tmp_path / "none", also=({"source": "native"},))


def test_two_annotations_of_one_file_are_looked_at_once(tmp_path: Path) -> None:
    write_clip(tmp_path / "d/a.mp4", moving_pictures(5, 10))
    write_manifest(tmp_path / "d", [clip("x", "a.mp4"), clip("y", "a.mp4")])
    notes = ingest(tmp_path / "d", tmp_path / "out", max_quarantined_share=0.5)
    assert notes.decoded == 1 and any("duplicate_bytes 1" in note for note in notes.notes)


def test_a_clip_that_was_lost_is_tried_again(footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hazardline.ingest import executors

    _settled(footage)

    def lose(pending, **_):  # type: ignore[no-untyped-def]
        return ((item.number, executors.lost("the decoding process died (exit code -9)")) for item in pending)

    with monkeypatch.context() as patch:
        patch.setattr(executors, "in_processes", lose)
        with pytest.raises(UserError, match="exit code -9"):
            ingest(footage, tmp_path / "1")
    assert ingest(footage, tmp_path / "2").decoded == 4

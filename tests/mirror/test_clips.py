"""Clips and versions of data sets on their way to other pods, with the real ingest."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hazardline.datasets.store import DatasetStore
from hazardline.datasets.verify import verify
from hazardline.errors import UserError
from hazardline.files import sha256_file
from hazardline.ingest.config import IngestConfig
from hazardline.mirror.clips import make_present
from hazardline.mirror.objects import object_name
from hazardline.progress import Reporter, SilentReporter
from hazardline.stage_runner import make_or_reuse
from hazardline.stages import RunFunction, stage_named
from hazardline.store import StageRecord, Store
from hazardline.tables import SCENES, read_table
from tests.ingest.datasets import clip, write_manifest
from tests.ingest.test_frame_folder import write_frames
from tests.mirror.conftest import PREFIX, Bucket, Pod
from tests.test_store import Notes, TestStage, WriteConfig
from tests.video_files import moving_pictures, write_clip


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """A mounted volume: a video, and frames of which ingest makes a file of its own."""
    root = tmp_path / "footage"
    write_clip(root / "0.mp4", moving_pictures(0, 10))
    write_frames(root / "frames", ".png", 10)
    return write_manifest(root, [clip("file", "0.mp4"), clip("made", "frames", fps=10)])


def ingest(pod: Pod, root: Path, notes: Notes | None = None) -> StageRecord:
    config = IngestConfig(root=str(root), dataset="mine", num_workers=1)
    return make_or_reuse(stage_named("ingest"), config, {}, Store(pod.store), notes or Notes())


def clips_of(record: StageRecord) -> dict[str, tuple[Path, str]]:
    rows = read_table(SCENES, record.output)
    return {row["clip_id"]: (Path(row["video_uri"]), row["sha256"]) for row in rows}


def test_a_clip_that_ingest_made_reaches_another_pod(bucket: Bucket, pod: Pod, footage: Path) -> None:
    clips = clips_of(ingest(pod, footage))
    pod.renew()
    assert ingest(pod, footage).cached, "the output is in the mirror"
    (made, digest), (file, _) = clips["made"], clips["file"]
    assert made.is_relative_to(pod.datasets) and not made.exists(), "clips come when they are needed"
    assert object_name(sha256_file(file)) not in "".join(bucket.keys()), "footage on a volume stays there"
    file.rename(file.with_suffix(".gone"))
    make_present(clips.values())
    assert sha256_file(made) == digest and not file.exists()
    make_present(clips.values())


def test_a_damaged_clip_is_named_and_a_missing_one_is_made_again(bucket: Bucket, pod: Pod, footage: Path) -> None:
    path, digest = clips_of(ingest(pod, footage))["made"]
    key = f"{PREFIX}/{object_name(digest)}"
    bucket.put(key, bucket.body(key)[:-1])
    pod.renew()
    with pytest.raises(UserError, match=f"{key} is damaged.*remove it there and run the line again"):
        make_present([(path, digest)])
    assert not list(pod.datasets.rglob("*.mov"))
    bucket.remove(key)
    notes = Notes()
    assert not ingest(pod, footage, notes).cached
    assert f"{key} is missing" in notes.notes[0] and "made again" in notes.notes[0]
    pod.renew()
    make_present([(path, digest)])
    assert sha256_file(path) == digest


def test_a_later_pod_finds_the_parent_of_its_version(bucket: Bucket, pod: Pod, footage: Path) -> None:
    ingest(pod, footage)
    first = DatasetStore(pod.datasets).head("mine")
    pod.renew()
    write_clip(footage / "1.mp4", moving_pictures(1, 10))
    lines = [clip("file", "0.mp4"), clip("made", "frames", fps=10), clip("new", "1.mp4")]
    write_manifest(footage, lines)
    ingest(pod, footage)
    pod.renew()
    store = DatasetStore(pod.datasets)
    second = store.head("mine")
    assert first is not None and second is not None and second.parent == first.version_id
    assert (second.changes.num_added, second.changes.num_unchanged) == (1, 2)
    assert len(read_table(SCENES, store.version_folder(second.version_id))) == 3
    assert verify(store, SilentReporter()).observations == (), "the parent and the clips are in the mirror"


def test_a_data_set_from_before_its_mirror_is_shared(
    bucket: Bucket, pod: Pod, footage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.delenv("HAZARDLINE_STORE_MIRROR")
        ingest(pod, footage)
        write_clip(footage / "1.mp4", moving_pictures(1, 10))
        write_manifest(footage, [clip("file", "0.mp4"), clip("new", "1.mp4")])
        ingest(pod, footage)
    second = DatasetStore(pod.datasets).head("mine")
    assert second is not None and second.parent is not None
    pod.renew()
    store = DatasetStore(pod.datasets)
    assert store.head("mine") == second
    assert store.version(second.parent).num_clips == 2, "and the version before it"


def test_a_check_fetches_nothing(bucket: Bucket, pod: Pod, footage: Path) -> None:
    ingest(pod, footage)
    head = DatasetStore(pod.datasets).head("mine")
    assert head is not None
    shutil.rmtree(pod.datasets / "versions")
    store = DatasetStore(pod.datasets)
    assert verify(store, SilentReporter()).observations == (), "the mirror has it"
    assert not store.version_folder(head.version_id).exists()
    for key in bucket.keys("datasets/versions/"):
        bucket.remove(key)
    (found,) = verify(store, SilentReporter()).observations
    assert found.severity == "damage" and "names no readable version" in found.what


def test_a_damaged_version_is_named(bucket: Bucket, pod: Pod, footage: Path) -> None:
    output = ingest(pod, footage).output
    key = f"{PREFIX}/{object_name(sha256_file(output / SCENES.file_name))}"
    bucket.put(key, b"damaged")
    pod.renew()
    with pytest.raises(UserError, match=f"data set mine: version .* not whole in the mirror: .*{key} is damaged"):
        DatasetStore(pod.datasets).head("mine")
    assert list((pod.datasets / "versions").iterdir()) == []


@dataclass(frozen=True, kw_only=True)
class Filming(TestStage):
    """Writes clips into its output, as the simulator does."""

    def run_function(self) -> RunFunction:
        def run(config: Any, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
            for number in range(3):
                write_clip(out / f"videos/{number}.mp4", moving_pictures(number, 5))
            return {}

        return run


def test_only_the_wanted_clips_of_an_output_are_fetched(bucket: Bucket, pod: Pod) -> None:
    stage, store = Filming(name="simulate", description=""), Store(pod.store)
    record = make_or_reuse(stage, WriteConfig(), {}, store, Notes())
    wanted = record.output / "videos/1.mp4"
    digest = record.files["videos/1.mp4"].sha256
    pod.renew()
    make_present([(wanted, digest)])
    assert sha256_file(wanted) == digest
    assert [path.name for path in wanted.parent.iterdir()] == ["1.mp4"]
    assert store.find("simulate", record.key) is None, "some clips are no output"
    notes = Notes()
    assert make_or_reuse(stage, WriteConfig(), {}, store, notes).cached and notes.notes == []
    assert len(list(wanted.parent.iterdir())) == 3
    assert [path.name for path in (pod.store / "simulate").iterdir()] == [record.key]
    shutil.rmtree(wanted.parent)
    make_present([(wanted, digest)])  # of an output that is here and damaged
    assert wanted.is_file()


def test_paths_elsewhere_are_left_alone(bucket: Bucket, pod: Pod, tmp_path: Path) -> None:
    outside = tmp_path / "other" / "clip.mp4"
    make_present([(outside, "0" * 64), (pod.datasets / "media/../../../clip.mp4", "0" * 64)])
    assert not outside.parent.exists()
    inside = pod.datasets / "media" / "00" / f"{'0' * 64}.mp4"
    with pytest.raises(UserError, match="is missing"):
        make_present([(inside, "0" * 64)])

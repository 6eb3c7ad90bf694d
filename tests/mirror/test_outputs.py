"""A line over pods that share nothing but a bucket: what is kept, fetched, damaged, cut off, made twice."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hazardline import s3
from hazardline.errors import UserError
from hazardline.mirror import objects
from hazardline.progress import Reporter
from hazardline.stage_runner import make_or_reuse
from hazardline.stages import RunFunction
from hazardline.store import StageRecord, Store
from tests.mirror.conftest import BUCKET, PREFIX, Bucket
from tests.test_store import Notes, TestStage, WriteConfig

pytestmark = pytest.mark.usefixtures("pod")
FIRST, SECOND = TestStage(name="first", description=""), TestStage(name="second", description="", inputs=("first",))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "one")


@pytest.fixture
def other(tmp_path: Path) -> Store:
    """Of another pod."""
    return Store(tmp_path / "other")


def make(store: Store, stage: TestStage = FIRST, notes: Notes | None = None, **config: Any) -> StageRecord:
    return make_or_reuse(stage, WriteConfig(**config), {}, store, notes or Notes())


def make_second(store: Store, first: StageRecord, notes: Notes | None = None) -> StageRecord:
    return make_or_reuse(SECOND, WriteConfig(text="second"), {"first": first}, store, notes or Notes())


def test_what_one_pod_made_another_finds(bucket: Bucket, store: Store, other: Store) -> None:
    made = make(store)
    found = make(other)
    assert (made.cached, found.cached) == (False, True)
    assert found.output.is_relative_to(other.root) and found.content_digest == made.content_digest
    assert (found.output / "made.txt").read_text() == "hello"
    assert (found.output / "folder" / "first.txt").read_text() == ""
    assert other.find("first", made.key, check_contents=True) is not None


def test_an_input_is_fetched_by_its_record_alone(bucket: Bucket, store: Store, other: Store) -> None:
    """What KFP hands on is the record's text; the pod of the next stage has an empty disk."""
    first = StageRecord.parse_json(make(store).model_dump_json(), "artifact")
    second = make_second(other, first)
    assert (second.output / "folder" / "first.txt").read_text() == "hello"
    assert second.inputs == {"first": first.content_digest}
    assert make_second(store, first).cached, "and the first pod finds the second stage's output"


def test_an_uncacheable_output_reaches_the_next_pod(bucket: Bucket, store: Store, other: Store) -> None:
    stage = TestStage(name="first", description="", is_cacheable=False)
    first, again = make(store, stage), make(store, stage)
    assert first.output != again.output
    assert (make_second(other, first).output / "folder" / "first.txt").read_text() == "hello"
    assert len(bucket.keys("outputs/first/")) == 2


def test_equal_files_are_uploaded_once_and_the_record_last(
    bucket: Bucket, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads: list[str] = []

    def before(params: Any, **_: Any) -> None:
        uploads.append(params["Key"].removeprefix(f"{PREFIX}/"))

    client = objects.s3_client()
    client.meta.events.register("provide-client-params.s3.PutObject", before)
    monkeypatch.setattr(objects, "s3_client", lambda **_: client)
    record = make(store, text="")  # made.txt and first.txt are both empty
    digests = {file.sha256 for file in record.files.values()}
    assert len(record.files) == 2 and len(digests) == 1
    assert uploads == [f"objects/{d[:2]}/{d}" for d in digests] + [f"outputs/first/{record.key}.json"]
    make(store, text="")
    assert len(uploads) == 2, "a reused output is not uploaded again"


def test_an_output_from_before_the_mirror_is_uploaded(
    bucket: Bucket, store: Store, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.delenv("HAZARDLINE_STORE_MIRROR")
        make(store)
        assert bucket.keys() == []
    assert make(store).cached and make(other).cached


def test_an_upload_that_was_cut_off_is_not_seen_and_goes_on(
    bucket: Bucket, store: Store, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_it(self: objects.Mirror, name: str, document: Any) -> None:
        raise UserError("S3 cannot be reached")

    with monkeypatch.context() as patch:
        patch.setattr(objects.Mirror, "put_document", lose_it)
        with pytest.raises(UserError, match="cannot be reached"):
            make(store)
    assert len(bucket.keys("objects/")) == 2 and bucket.keys("outputs/") == []
    assert not make(other, notes=Notes()).cached, "half an output is none: the other pod makes its own"
    assert make(store).cached, "what the first pod made is kept there"


@pytest.mark.parametrize("harm", ["changed", "shorter", "missing"])
def test_a_damaged_object_is_named_and_made_again(bucket: Bucket, store: Store, other: Store, harm: str) -> None:
    make(store)
    key = bucket.key_of(b"hello")
    if harm == "missing":
        bucket.remove(key)
    else:
        bucket.put(key, b"jello" if harm == "changed" else b"hell")
    notes = Notes()
    assert not make(other, notes=notes).cached
    assert key in notes.notes[0] and "is made again" in notes.notes[0]
    assert bucket.body(key) == b"hello", "and whole in the mirror"
    assert make(Store(other.root.with_name("third"))).cached


def test_a_damaged_input_is_named_with_the_remedy(bucket: Bucket, store: Store, other: Store) -> None:
    first = make(store)
    key = bucket.key_of(b"hello")
    bucket.put(key, b"jello")
    with pytest.raises(UserError, match=f"{BUCKET}/{key} is damaged.*run the line again: first makes it anew"):
        make_second(other, first)
    assert list((other.root / "first").iterdir()) == [], "nothing of it is left"
    make(other)
    assert not make_second(other, first).cached


def test_a_local_output_that_was_damaged_is_fetched(bucket: Bucket, store: Store) -> None:
    first = make(store)
    (first.output / "made.txt").write_text("hell")
    notes = Notes()
    assert (make_second(store, first, notes).output / "folder" / "first.txt").read_text() == "hello"
    assert "damaged and is fetched again" in notes.notes[0]


@dataclass(frozen=True, kw_only=True)
class Counting(TestStage):
    """A stage that never comes out the same: two pods that make it at once make two outputs."""

    ticket: list[int]
    barrier: threading.Barrier

    def run_function(self) -> RunFunction:
        def run(config: Any, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
            self.ticket.append(0)
            (out / "made.txt").write_text(f"take {len(self.ticket)}")
            (out / "same.txt").write_text("the same")
            self.barrier.wait(60)
            return {}

        return run


def test_two_pods_that_make_the_same_at_once_do_no_harm(
    bucket: Bucket, store: Store, other: Store, tmp_path: Path
) -> None:
    stage = Counting(name="first", description="", ticket=[], barrier=threading.Barrier(2))
    records: dict[str, StageRecord] = {}
    threads = [
        threading.Thread(target=lambda s=s: records.update({s.root.name: make(s, stage)})) for s in (store, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one, two = records["one"], records["other"]
    assert one.key == two.key and one.content_digest != two.content_digest
    assert len(bucket.keys("outputs/first/")) == 1
    third = Store(tmp_path / "third")
    found = make(third, stage)
    assert found.cached and found.content_digest in (one.content_digest, two.content_digest)
    for record in (one, two):  # whichever was handed on, its reader gets what it was handed, also side by side
        read = make_second(third, record).output / "folder" / "first.txt"
        assert read.read_text() == (record.output / "made.txt").read_text()


def test_a_record_cannot_lead_out_of_the_store(bucket: Bucket, store: Store, other: Store) -> None:
    first = make(store)
    names = dict(first.files)
    names["../../../stolen.txt"] = names["made.txt"]
    with pytest.raises(UserError, match="outside of the output"):
        make_second(other, first.model_copy(update={"files": names}))
    with pytest.raises(UserError, match="which no stage has written"):
        make_second(other, first.model_copy(update={"uri": "file:///a/../output"}))
    assert list(other.root.rglob("stolen.txt")) == []


def test_refusals_of_s3_are_one_line(bucket: Bucket, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAZARDLINE_STORE_MIRROR", "s3://no-such-bucket/x")
    with pytest.raises(UserError, match=r"s3://no-such-bucket/x/outputs.*S3 refuses \(NoSuchBucket\)"):
        make(store)
    monkeypatch.setenv("HAZARDLINE_STORE_MIRROR", "/var/lib/mirror")
    with pytest.raises(UserError, match=r"HAZARDLINE_STORE_MIRROR=/var/lib/mirror: expected s3://bucket/prefix"):
        make(store)
    monkeypatch.setenv("HAZARDLINE_STORE_MIRROR", f"s3://{BUCKET}/{PREFIX}")
    monkeypatch.setenv("HAZARDLINE_S3_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(s3, "_PATIENT", s3._IMPATIENT)
    with pytest.raises(UserError, match="cannot be reached"):
        make(store)


def test_without_a_mirror_nothing_is_fetched(store: Store, other: Store) -> None:
    first = make(store)
    assert not make(other).cached
    with pytest.raises(UserError, match=r"is gone.*HAZARDLINE_STORE_MIRROR"):
        make_second(other, first.model_copy(update={"uri": (other.root / "first/x/output").as_uri()}))

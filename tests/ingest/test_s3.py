"""Ingest from a bucket, of a real S3 server (moto) and of one that breaks off."""

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hazardline.errors import UserError
from hazardline.ingest import s3_media, stage
from hazardline.ingest.config import IngestConfig
from hazardline.ingest.s3_media import ObjectChangedError, fetch_object
from hazardline.ingest.s3_place import S3Place
from hazardline.tables import QUARANTINE, SCENES, read_table
from tests.ingest.datasets import clip, write_manifest
from tests.ingest.test_frame_folder import write_frames
from tests.ingest.test_incremental import Notes
from tests.s3_service import s3_client, s3_service
from tests.video_files import moving_pictures, write_clip


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with s3_service() as address:
        yield address


def upload(client: Any, bucket: str, root: Path, prefix: str) -> None:
    for path in root.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), bucket, f"{prefix}{path.relative_to(root).as_posix()}")


def ingest(root: str, out: Path) -> Notes:
    out.mkdir()
    notes = Notes()
    stage.run(IngestConfig(root=root, dataset="mine", num_workers=1, max_quarantined_share=0.9), {}, out, notes)
    return notes


def test_a_bucket_gives_what_the_folder_gives(service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = s3_client(service, "clips", monkeypatch)
    root = tmp_path / "footage"
    write_clip(root / "videos/Ünï one.mp4", moving_pictures(1, 10))
    write_frames(root / "frames/a", ".png", 10)
    lines = [clip("one", "videos/Ünï one.mp4"), clip("a", "frames/a", fps=10), clip("dots", "../one.mp4")]
    write_manifest(root, [*lines, clip("rate", "frames/a"), clip("gone", "videos/none.mp4")])
    upload(client, "clips", root, "set/v1/")
    upload(client, "clips", root, "set/v10/")  # a prefix is a folder, not the beginning of a name

    here = ingest(str(root), tmp_path / "here")
    there = ingest("s3://clips/set/v1/", tmp_path / "there")
    assert (here.decoded, there.decoded) == (2, 2)
    same = [name for name in ("features.parquet", "records.parquet")]
    assert all((tmp_path / "here" / n).read_bytes() == (tmp_path / "there" / n).read_bytes() for n in same)
    by_place = [{row["clip_id"]: row for row in read_table(SCENES, tmp_path / where)} for where in ("here", "there")]
    assert {row["sha256"] for row in by_place[0].values()} == {row["sha256"] for row in by_place[1].values()}
    assert "/data-set-store/media/" in by_place[1]["one"]["video_uri"]
    reasons = [
        {row["clip_id"]: row["reason"] for row in read_table(QUARANTINE, tmp_path / w)} for w in ("here", "there")
    ]
    assert reasons[0] == {"dots": "path_outside_root", "rate": "unknown_rate", "gone": "missing_file"}
    assert reasons[1] == {"dots": "missing_file", "rate": "unknown_rate", "gone": "missing_file"}
    again = ingest("s3://clips/set/v1", tmp_path / "again")
    assert again.decoded == 0 and any("nothing has changed" in note for note in again.notes)

    write_clip(root / "videos/Ünï one.mp4", moving_pictures(2, 10))
    upload(client, "clips", root, "set/v1/")
    assert ingest("s3://clips/set/v1", tmp_path / "changed").decoded == 1
    shutil.rmtree(root)


def test_what_is_not_there_is_said(service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s3_client(service, "empty", monkeypatch)
    with pytest.raises(UserError, match="nothing is there"):
        ingest("s3://empty/set", tmp_path / "1")
    with pytest.raises(UserError, match="S3 refuses"):
        ingest("s3://no-such-bucket/set", tmp_path / "2")
    monkeypatch.setenv("HAZARDLINE_S3_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="cannot be reached"):
        ingest("s3://clips/set", tmp_path / "3")


def test_an_object_that_changed_since_it_was_listed_is_refused(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = s3_client(service, "moving", monkeypatch)
    client.put_object(Bucket="moving", Key="a", Body=b"one")
    etag = client.head_object(Bucket="moving", Key="a")["ETag"].strip('"')
    client.put_object(Bucket="moving", Key="a", Body=b"two")
    with pytest.raises(ObjectChangedError, match="changed since it was listed"):
        fetch_object("moving", "a", etag, tmp_path / "a")
    assert list(tmp_path.glob("*a*")) == []


def test_ranges_and_empty_objects(service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = s3_client(service, "ranges", monkeypatch)
    monkeypatch.setattr(s3_media, "RANGE_BYTES", 1000)
    for size in (0, 1, 999, 1000, 1001, 5000):
        body = bytes(k % 251 for k in range(size))
        client.put_object(Bucket="ranges", Key="a", Body=body)
        etag = client.head_object(Bucket="ranges", Key="a")["ETag"].strip('"')
        fetch_object("ranges", "a", etag, tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == body


class _BreaksOff(BaseHTTPRequestHandler):
    """Serves one object, and closes the connection in the middle of most answers."""

    body = bytes(k % 253 for k in range(100_000))
    answers: list[str] = []  # noqa: RUF012 - the server's own diary

    def do_GET(self) -> None:
        first, last = (int(part) for part in self.headers["Range"].removeprefix("bytes=").split("-"))
        part = self.body[first : last + 1]
        self.answers.append(self.headers["Range"])
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(self.body)}")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("ETag", '"tag"')
        self.end_headers()
        self.wfile.write(part if len(self.answers) % 3 == 0 else part[: len(part) // 2])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_broken_download_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _BreaksOff)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(s3_media, "RANGE_BYTES", 40_000)
    for name, value in {
        "HAZARDLINE_S3_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    try:
        fetch_object("b", "k", "tag", tmp_path / "a")
    finally:
        server.shutdown()
        server.server_close()
    assert (tmp_path / "a").read_bytes() == _BreaksOff.body
    begins = [int(answer.removeprefix("bytes=").split("-")[0]) for answer in _BreaksOff.answers]
    assert begins == sorted(begins) and len(begins) > 3


def test_names_of_a_bucket_are_names_and_not_paths(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = s3_client(service, "hostile", monkeypatch)
    for key in ("set/../../etc/passwd", "set//absolute", "set/a/./b.csv", "set/folder/"):
        client.put_object(Bucket="hostile", Key=key, Body=b"x")
    place = S3Place("hostile", "set", tmp_path / "place")
    assert sorted(place.find("**/*")) == ["../../etc/passwd", "a/./b.csv"]
    local = place.file("../../etc/passwd")
    assert local is not None and local.parent == tmp_path / "place" and local.read_bytes() == b"x"
    assert place.file("none.csv") is None

"""Objects of the mirror: large files in parts, transfers that break off, and a service that refuses credentials."""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import botocore.endpoint
import pytest

from hazardline.errors import UserError
from hazardline.mirror import objects
from hazardline.mirror.objects import Content, Mirror, open_mirror
from hazardline.progress import SilentReporter
from tests.mirror.conftest import BUCKET, PREFIX, Bucket
from tests.test_store import Notes

QUIET = SilentReporter()


def mirror() -> Mirror:
    found = open_mirror()
    assert found is not None
    return found


def content(path: Path, body: bytes) -> Content:
    path.write_bytes(body)
    return Content(path, hashlib.sha256(body).hexdigest())


def test_a_large_file_goes_in_parts_and_is_an_object_only_when_all_are_there(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_PART_BYTES", 5 << 20)  # S3's least
    monkeypatch.setattr(objects, "_WORTH_A_NOTE_BYTES", 10 << 20)
    large = content(tmp_path / "large", os.urandom(12 << 20))
    parts: list[int] = []
    client, is_down = objects.s3_client(), True

    def before(params: Any, **_: Any) -> None:
        parts.append(params["PartNumber"])
        if is_down and params["PartNumber"] == 3:
            raise ConnectionError("broken off")

    client.meta.events.register("provide-client-params.s3.UploadPart", before)
    monkeypatch.setattr(objects, "s3_client", lambda **_: client)
    with pytest.raises(UserError, match="cannot be reached"):
        mirror().put([large], QUIET, "features")
    assert 3 in parts and bucket.keys() == []
    is_down = False
    parts.clear()
    notes = Notes()
    mirror().put([large], notes, "features")
    mirror().put([large], notes, "features")
    assert sorted(parts) == [1, 2, 3], "the second time it was there"
    assert len(notes.notes) == 1 and notes.notes[0].startswith("upload features: 13 MB in ")
    mirror().fetch([Content(tmp_path / "again", large.sha256)], QUIET, "features")
    assert (tmp_path / "again").read_bytes() == large.path.read_bytes()


def test_nothing_takes_its_name_before_it_was_checked(bucket: Bucket, tmp_path: Path) -> None:
    whole, other = content(tmp_path / "whole", b"whole"), content(tmp_path / "other", b"other")
    mirror().put([whole, other], QUIET, "clips")
    bucket.put(f"{PREFIX}/{objects.object_name(other.sha256)}", b"ether")
    target = tmp_path / "folder"
    with pytest.raises(objects.DamagedObjectError, match=other.sha256):
        mirror().fetch([Content(target / "other", other.sha256)], QUIET, "clips")
    assert list(target.iterdir()) == []
    assert mirror().lacks([whole, Content(tmp_path, "f" * 64), other]) == [Content(tmp_path, "f" * 64)]


class _Refuses(BaseHTTPRequestHandler):
    """Answers whatever it is asked as S3 answers credentials that have expired."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
        self.send_response(400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


class _BreaksOff(BaseHTTPRequestHandler):
    """Serves one object, and closes the connection in the middle of the first two answers."""

    body = bytes(k % 253 for k in range(300_000))
    num_answers = 0

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.send_header("ETag", '"x"')
        self.end_headers()

    def do_GET(self) -> None:
        _BreaksOff.num_answers += 1
        self.do_HEAD()
        self.wfile.write(self.body[: 100_000 if self.num_answers < 3 else None])
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_expired_credentials_are_said(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = content(tmp_path / "one", b"one")
    with serving(_Refuses) as address:
        monkeypatch.setenv("HAZARDLINE_S3_ENDPOINT", address)
        with pytest.raises(UserError, match=rf"s3://{BUCKET}/.*refuses the credentials \(ExpiredToken\).*renew them"):
            mirror().document("outputs/first/x.json", objects.Document)
        with pytest.raises(UserError, match=r"refuses the credentials \(ExpiredToken\)"):
            mirror().put_document("outputs/first/x.json", objects.Document())
        with pytest.raises(UserError, match="S3 refuses"):  # the answer to HEAD has no body, and so no reason
            mirror().put([one], QUIET, "clips")


def test_a_service_that_is_away_is_waited_for_also_by_many_threads(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two minutes on average for each of many calls; no call uses up the tries of another."""
    slept: list[float] = []
    monkeypatch.setattr(botocore.endpoint.time, "sleep", slept.append)
    monkeypatch.setattr("random.random", lambda: 0.5)
    monkeypatch.setenv("HAZARDLINE_S3_ENDPOINT", "http://127.0.0.1:9")
    client = mirror()
    for number in range(16):
        slept.clear()
        with pytest.raises(UserError, match="cannot be reached"):
            client.put([content(tmp_path / str(number), b"%d" % number)], QUIET, "clips")
        assert sum(slept) == 127.5


def test_a_transfer_that_breaks_off_is_tried_again(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(_BreaksOff.body).hexdigest()
    with serving(_BreaksOff) as address:
        monkeypatch.setenv("HAZARDLINE_S3_ENDPOINT", address)
        mirror().fetch([Content(tmp_path / "got", digest)], QUIET, "clips")
    assert (tmp_path / "got").read_bytes() == _BreaksOff.body and _BreaksOff.num_answers >= 3

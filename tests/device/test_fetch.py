"""Fetching over HTTP: resuming, broken connections, servers that cannot or will not."""

from pathlib import Path

import pytest

from hazardline.device.config import FetchLimits
from hazardline.device.fetch import ReleaseSource
from hazardline.errors import UserError
from tests.device.web import Behaviour, serving
from tests.release.world import World, noise, write_bundle

DECODER_BYTES = 300_000
BROKEN_BYTES = 2 << 16
"""Two of the pieces in which a device writes what it receives."""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    world = World.at(tmp_path)
    world.release(write_bundle(tmp_path / "bundle", decoder=noise("big decoder", DECODER_BYTES)))
    return world


def decoder_digest(world: World) -> str:
    from hazardline.files import sha256_file

    return sha256_file(world.root / "bundle/decoder.onnx")


def test_an_update_over_http(world: World) -> None:
    behaviour = Behaviour()
    with serving(world.repository, behaviour) as url:
        assert world.update(world.device(), repository=url).status == "installed"
        before = len(behaviour.requests)
        assert world.update(world.device(), repository=url + "/").status == "unchanged"
    assert not [path for path, _ in behaviour.requests[before:] if "/files/" in path]


def test_a_broken_download_goes_on_where_it_broke_off(world: World) -> None:
    behaviour = Behaviour(breaks_after_bytes=BROKEN_BYTES)
    with serving(world.repository, behaviour) as url:
        assert world.update(world.device(), repository=url).status == "installed"
    assert behaviour.asked(decoder_digest(world)) == [None, "bytes=131072-", "bytes=262144-"]


def test_what_one_update_could_not_finish_the_next_one_resumes(world: World) -> None:
    behaviour = Behaviour(breaks_after_bytes=BROKEN_BYTES)
    device = world.device()
    once = FetchLimits(attempts=1, socket_timeout_s=5.0)
    digest = decoder_digest(world)
    with serving(world.repository, behaviour) as url:
        outcome = world.update(device, repository=url, fetch=once)
        assert (outcome.status, outcome.kind) == ("failed", "DownloadError")
        assert "broke" in outcome.reason
        assert (device.downloads / f"{digest}.part").stat().st_size == BROKEN_BYTES
        behaviour.breaks_after_bytes = None
        assert world.update(device, repository=url, fetch=once).status == "installed"
    assert behaviour.asked(digest) == [None, "bytes=131072-"]


def test_a_server_without_ranges_sends_the_whole_again(world: World) -> None:
    behaviour = Behaviour(breaks_after_bytes=BROKEN_BYTES, knows_ranges=False)
    device = world.device()
    with serving(world.repository, behaviour) as url:
        assert world.update(device, repository=url).kind == "DownloadError"
        behaviour.breaks_after_bytes = None
        assert world.update(device, repository=url).status == "installed"


def test_a_damaged_part_is_thrown_away_and_the_file_fetched_whole(world: World) -> None:
    device = world.device()
    digest = decoder_digest(world)
    (device.downloads / f"{digest}.part").write_bytes(b"x" * 50_000)
    behaviour = Behaviour()
    with serving(world.repository, behaviour) as url:
        assert world.update(device, repository=url).status == "installed"
    assert behaviour.asked(digest) == ["bytes=50000-", None]


def test_a_part_that_is_longer_than_the_file_is_begun_again(world: World) -> None:
    device = world.device()
    digest = decoder_digest(world)
    (device.downloads / f"{digest}.part").write_bytes(b"x" * (DECODER_BYTES + 1))
    assert world.update(device).status == "installed"


def test_a_file_that_never_ends(world: World) -> None:
    device = world.device()
    behaviour = Behaviour(endless=decoder_digest(world))
    with serving(world.repository, behaviour) as url:
        outcome = world.update(device, repository=url)
    assert (outcome.status, outcome.kind, outcome.version) == ("failed", "DownloadLengthMismatchError", None)
    assert not list(device.downloads.glob(f"{decoder_digest(world)}*"))


def test_a_server_that_sends_too_slowly_is_given_up(world: World) -> None:
    """The time for a file is the socket's timeout and the file at the least rate: here, next to nothing."""
    device = world.device()
    behaviour = Behaviour(breaks_after_bytes=10)
    slow = FetchLimits(attempts=100, socket_timeout_s=0.05, min_bytes_per_s=1 << 40)
    with serving(world.repository, behaviour) as url:
        outcome = world.update(device, repository=url, fetch=slow)
    assert outcome.status == "failed" and outcome.version is None
    assert len(behaviour.requests) < 100


def test_nobody_listens(world: World) -> None:
    with serving(world.repository, Behaviour()) as url:
        pass
    outcome = world.update(world.device(), repository=url)
    assert (outcome.status, outcome.kind) == ("failed", "DownloadError")


def test_addresses(world: World) -> None:
    device = world.device()
    assert world.update(device, repository=world.repository.as_uri()).status == "installed"
    assert world.update(device, repository=str(world.root / "nothing here")).kind == "DownloadHTTPError"
    with pytest.raises(UserError, match="expected a folder, or a file://"):
        ReleaseSource("s3://bucket/prefix", device, FetchLimits())
    device.anchor.write_bytes(b"{}")
    with pytest.raises(UserError, match="trust anchor"):
        ReleaseSource(str(world.repository), device, FetchLimits())

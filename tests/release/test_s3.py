"""Publishing to S3, against a real server in this process (moto), and a device that updates from it over HTTP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from hazardline.errors import UserError
from hazardline.release.destination import (
    PublishConflictError,
    S3Destination,
    Stamp,
    open_destination,
)
from tests.release.world import MODEL, World, write_bundle
from tests.s3_service import s3_service


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_service() as address:
        yield address


@pytest.fixture
def client(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HAZARDLINE_S3_ENDPOINT", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tester")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="releases", ACL="public-read")
    yield client
    for item in client.list_objects_v2(Bucket="releases").get("Contents", []):
        client.delete_object(Bucket="releases", Key=item["Key"])
    client.delete_bucket(Bucket="releases")


@pytest.fixture
def destination(client: Any) -> S3Destination:
    destination = open_destination("s3://releases/vehicles")
    assert isinstance(destination, S3Destination)
    return destination


def allow_reading(client: Any) -> None:
    for item in client.list_objects_v2(Bucket="releases")["Contents"]:
        client.put_object_acl(Bucket="releases", Key=item["Key"], ACL="public-read")


def test_releases_through_s3_to_a_device(tmp_path: Path, client: Any, endpoint: str, destination: Any) -> None:
    world = World.at(tmp_path)
    first, second, third = (write_bundle(tmp_path / f"bundle-{number}", str(number)) for number in (1, 2, 3))
    assert world.release(first, destination).num_files_uploaded == 8
    again = world.release(first, destination)
    assert (again.version, again.is_new) == (1, False)

    keys = [item["Key"] for item in client.list_objects_v2(Bucket="releases")["Contents"]]
    assert len(keys) == 15 and all(key.startswith("vehicles/") for key in keys)
    for key in keys:
        # Only the timestamp may not be cached.
        caching = client.head_object(Bucket="releases", Key=key)["CacheControl"]
        assert ("no-cache" in caching) == (key == "vehicles/metadata/timestamp.json"), key
        assert ("immutable" in caching) == (key != "vehicles/metadata/timestamp.json"), key

    class Overtaken(S3Destination):
        """Another publisher gets through between reading and committing: it wins, and this one is told."""

        def commit(self, data: bytes, previous: Stamp | None) -> None:
            assert world.release(second, destination).version == 2
            super().commit(data, previous)

    slow = Overtaken("s3://releases/vehicles", None, endpoint)
    with pytest.raises(PublishConflictError, match=r"timestamp\.json: another publisher"):
        world.release(third, slow)
    device = world.device()
    assert destination.address() == f"{endpoint}/releases/vehicles"
    allow_reading(client)
    outcome = world.update(device, repository=destination.address())
    assert (outcome.status, outcome.version) == ("installed", 2)

    published = world.release(third, destination)
    assert (published.version, published.num_files_uploaded) == (3, 0)
    allow_reading(client)
    outcome = world.update(device, repository=destination.address())
    assert (outcome.status, outcome.version) == ("installed", 3)
    assert 3 <= outcome.num_downloaded <= 4  # two adapters, the manifest, and golden answers where they differ


def test_immutable_objects_are_written_once(client: Any, destination: Any) -> None:
    destination.add("metadata/1.root.json", b"one")
    destination.add("metadata/1.root.json", b"one")
    with pytest.raises(PublishConflictError, match=r"s3://releases/vehicles/metadata/1\.root\.json"):
        destination.add("metadata/1.root.json", b"two")
    assert destination.names("metadata") == ["1.root.json"] and destination.names("targets") == []
    assert destination.read("metadata/1.root.json") == b"one" and destination.read("metadata/2.root.json") is None


def test_troubles_are_told_without_a_traceback(tmp_path: Path, client: Any, destination: Any) -> None:
    world = World.at(tmp_path)
    bundle = write_bundle(tmp_path / "first", "1")
    with pytest.raises(UserError, match=r"s3://nowhere/x: publishing to .* failed"):
        world.release(bundle, open_destination("s3://nowhere/x"))
    with pytest.raises(UserError, match=r"expected s3://bucket/prefix"):
        open_destination("s3:///x")
    with pytest.raises(UserError, match=r"expected a folder or s3://bucket/prefix"):
        open_destination("ftp://host/x")
    named = open_destination("s3://releases/vehicles", "https://updates.example/vehicles")
    assert named.address() == "https://updates.example/vehicles"
    assert MODEL not in str([key["Key"] for key in client.list_objects_v2(Bucket="releases").get("Contents", [])])

"""Pods: machines with disks of their own, and one mirror in a real S3 server (moto)."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.s3_service import s3_client, s3_service

BUCKET = "mirror"
PREFIX = "team/line"


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with s3_service() as address:
        yield address


class Bucket:
    """The mirror's bucket as a test sees it."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def keys(self, below: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{PREFIX}/{below}")
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def body(self, key: str) -> bytes:
        found: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return found

    def key_of(self, content: bytes) -> str:
        (key,) = [key for key in self.keys("objects/") if self.body(key) == content]
        return key

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=key)

    def clear(self) -> None:
        for key in self.keys():
            self.remove(key)


@pytest.fixture
def bucket(service: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.setenv("HAZARDLINE_STORE_MIRROR", f"s3://{BUCKET}/{PREFIX}")
    found = Bucket(s3_client(service, BUCKET, monkeypatch))
    yield found
    found.clear()


class Pod:
    """A disk at the path that all pods share: a new pod finds it empty."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.store = home / "store"
        self.datasets = home / "datasets"

    def renew(self) -> None:
        shutil.rmtree(self.home)


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pod:
    found = Pod(tmp_path / "home")
    monkeypatch.setenv("HAZARDLINE_HOME", str(found.home))
    monkeypatch.setenv("HAZARDLINE_STORE", str(found.store))
    monkeypatch.setenv("HAZARDLINE_DATASETS", str(found.datasets))
    return found

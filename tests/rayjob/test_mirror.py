"""Component and cluster on disks of their own, with the store's mirror in S3 between them."""

from pathlib import Path

import pytest

from hazardline.progress import SilentReporter
from hazardline.stage_runner import open_output_mirror
from hazardline.store import StageRecord
from tests.rayjob.conftest import Place
from tests.s3_service import s3_client, s3_service

MIRROR = "s3://hazardline/mirror"


def test_the_output_comes_through_the_mirror(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_service() as service:
        bucket = s3_client(service, "hazardline", monkeypatch)
        monkeypatch.setenv("HAZARDLINE_STORE_MIRROR", MIRROR)
        mirror = open_output_mirror()
        assert mirror is not None
        for path in place.inputs.values():
            mirror.keep(StageRecord.read(path), SilentReporter())
        place.variables |= {"HAZARDLINE_STORE_MIRROR": MIRROR, "HAZARDLINE_S3_ENDPOINT": service}
        place.fake.secrets["hazardline-s3"] = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        node = tmp_path / "node"
        folders = {"HAZARDLINE_HOME": str(node), "HAZARDLINE_STORE": str(node / "store")}
        record = place.run(env={**folders, "AWS_DEFAULT_REGION": "us-east-1"})
        assert not record.cached and record.output.is_relative_to(place.store)
        assert (record.output / "adapter.txt").read_text() == "weights"
        assert list(node.glob("store/train/*/output/adapter.txt")), "it was made on the node's own disk"
        keys = [item["Key"] for item in bucket.list_objects_v2(Bucket="hazardline")["Contents"]]
        assert [key for key in keys if "/rayjobs/" in key] == []

        elsewhere = tmp_path / "elsewhere"
        place.variables["HAZARDLINE_STORE"] = str(elsewhere)
        again = place.run()
        assert again.cached and again.output.is_relative_to(elsewhere) and len(place.fake.created) == 1
        assert again.content_digest == record.content_digest

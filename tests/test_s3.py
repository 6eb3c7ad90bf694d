"""The way to S3, without a service."""

import pytest

from hazardline.s3 import s3_client


def test_credentials_are_those_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    for key in ("first", "second"):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        address = s3_client("http://127.0.0.1:9").generate_presigned_url("list_buckets")
        assert f"AWSAccessKeyId={key}" in address or f"Credential={key}" in address

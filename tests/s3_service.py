"""A real S3 server (moto) in this process, for tests that speak to one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer


@contextmanager
def s3_service() -> Iterator[str]:
    """Its address for the length of a block."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def s3_client(service: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of a server, with a new bucket; what runs in this process finds the server by the environment."""
    for name, value in {
        "HAZARDLINE_S3_ENDPOINT": service,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    found = boto3.client("s3", endpoint_url=service)
    found.create_bucket(Bucket=bucket)
    return found

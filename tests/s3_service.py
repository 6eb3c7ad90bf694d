"""A real S3 server (moto) in this process, for tests that speak to one.

All that run in one process share what they hold, so there is one at a time, and each begins empty.
"""

import urllib.request
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
    address = f"http://{host}:{port}"
    try:
        urllib.request.urlopen(urllib.request.Request(f"{address}/moto-api/reset", method="POST")).close()
        yield address
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

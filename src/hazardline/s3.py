"""The one way to an S3 service: endpoint from `HAZARDLINE_S3_ENDPOINT`, credentials as boto3 finds them."""

from typing import Any

from hazardline import environment


def s3_client(endpoint: str | None = None) -> Any:
    """A boto3 client; without an endpoint, of the one in the environment, or of AWS."""
    import boto3
    from botocore.config import Config

    endpoint = endpoint or environment.s3_endpoint()
    style = {"addressing_style": "path"} if endpoint else {}
    return boto3.client("s3", endpoint_url=endpoint, config=Config(s3=style, retries={"max_attempts": 5}))

"""The one way to an S3 service: endpoint from `HAZARDLINE_S3_ENDPOINT`, credentials as boto3 finds them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hazardline import environment
from hazardline.errors import UserError


def s3_client(endpoint: str | None = None) -> Any:
    """A boto3 client; without an endpoint, of the one in the environment, or of AWS."""
    import boto3
    from botocore.config import Config

    endpoint = endpoint or environment.s3_endpoint()
    style = {"addressing_style": "path"} if endpoint else {}
    return boto3.client("s3", endpoint_url=endpoint, config=Config(s3=style, retries={"max_attempts": 5}))


@contextmanager
def clear_s3_errors(named: str) -> Iterator[None]:
    """What S3 says, in one line that names the object and the remedy.

    Raises:
        UserError: no credentials, a refusal, a service that cannot be reached.
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except NoCredentialsError:
        raise UserError(
            f"{named}: no credentials for S3; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        ) from None
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        raise UserError(
            f"{named}: S3 refuses ({code}); expected a bucket that these credentials may list and read"
        ) from None
    except (BotoCoreError, HTTPError, ConnectionError) as error:
        raise UserError(
            f"{named}: S3 cannot be reached ({' '.join(str(error).split())}); see HAZARDLINE_S3_ENDPOINT"
        ) from None

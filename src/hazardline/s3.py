"""The one way to an S3 service: endpoint from `HAZARDLINE_S3_ENDPOINT`, credentials as boto3 finds them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hazardline import environment
from hazardline.errors import UserError

_REFUSED_KEYS = ("ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch", "TokenRefreshRequired")


def s3_client(
    endpoint: str | None = None, max_connections: int = 10, retries: Mapping[str, int | str] | None = None
) -> Any:
    """A boto3 client; without an endpoint, of the one in the environment, or of AWS.

    Args:
        endpoint: address of the service.
        max_connections: that are kept open, for threads that share the client.
        retries: as botocore's `Config` takes them; five attempts without it.
    """
    import boto3
    from botocore.config import Config

    endpoint = endpoint or environment.s3_endpoint()
    style = {"addressing_style": "path"} if endpoint else {}
    config = Config(s3=style, retries=dict(retries or {"max_attempts": 5}), max_pool_connections=max_connections)
    return boto3.client("s3", endpoint_url=endpoint, config=config)


def error_code(error: Any) -> str:
    """The code in a `ClientError`: `NoSuchKey`, or the bare status where an answer has no body (`404`)."""
    code: str = error.response.get("Error", {}).get("Code", "")
    return code


@contextmanager
def clear_s3_errors(named: str, rights: str = "list and read") -> Iterator[None]:
    """What S3 says, in one line that names the object and the remedy.

    Args:
        named: the object or prefix.
        rights: what the credentials must allow.

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
        code = error_code(error)
        if code in _REFUSED_KEYS:
            raise UserError(
                f"{named}: S3 refuses the credentials ({code}): they have expired or are wrong; renew them "
                "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE) and run again"
            ) from None
        raise UserError(
            f"{named}: S3 refuses ({code}); expected a bucket that these credentials may {rights}"
        ) from None
    except (BotoCoreError, HTTPError, ConnectionError) as error:
        raise UserError(
            f"{named}: S3 cannot be reached ({' '.join(str(error).split())}); see HAZARDLINE_S3_ENDPOINT"
        ) from None

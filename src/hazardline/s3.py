"""The one way to an S3 service: endpoint from `HAZARDLINE_S3_ENDPOINT`, credentials as boto3 finds them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from hazardline import environment
from hazardline.errors import UserError

_PATIENT = {"mode": "legacy", "total_max_attempts": 9}
"""The waits of a call that is tried again double from one second: two minutes altogether on average. botocore's mode
`standard` waits for seconds, and all threads of a client share its tries: sixteen of them gave up in half a second."""
_IMPATIENT = {"mode": "standard", "total_max_attempts": 6}
_REFUSED_KEYS = ("ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch", "TokenRefreshRequired")


def s3_client(endpoint: str | None = None, max_connections: int = 10, is_patient: bool = False) -> Any:
    """A boto3 client; without an endpoint, of the one in the environment, or of AWS.

    Args:
        endpoint: address of the service.
        max_connections: that are kept open, for threads that share the client.
        is_patient: for what has cost hours: calls wait for a service that is away for a minute or two. Others give up
            after a second or two.
    """
    import boto3
    import botocore.session
    from botocore.config import Config

    endpoint = endpoint or environment.s3_endpoint()
    style = {"addressing_style": "path"} if endpoint else {}
    retries = dict(_PATIENT if is_patient else _IMPATIENT)
    config = Config(s3=style, retries=retries, max_pool_connections=max_connections)
    # A session of its own: boto3's default one keeps the first credentials that this process ever found.
    session = botocore.session.Session()
    session.register_component("data_loader", _service_models())
    return boto3.Session(botocore_session=session).client("s3", endpoint_url=endpoint, config=config)


@cache
def _service_models() -> Any:
    """Botocore's descriptions of services, which take ten times as long to read as a client takes to make."""
    import botocore.loaders

    return botocore.loaders.create_loader()


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

"""The S3 side of the services: which server, with which keys, and the buckets.

<prefix>-mlflow      artifacts; MLflow's server alone uses it, and hands them on to its users
<prefix>-work        the store's mirror and checkpoints of runs
<prefix>-releases    signed releases, which anyone who reaches the server may read: devices have no keys
"""

import json
import os
from typing import Any

from hazardline import environment
from hazardline.errors import UserError
from hazardline.s3 import clear_s3_errors
from hazardline.services.ceph import Ceph
from hazardline.services.daemon import NotReadyError
from hazardline.services.installation import Installation, Purpose, S3Keys, Settings

_NAMELESS_REGION = "us-east-1"
"""Where a bucket is made if nothing else is said; S3 refuses to be told so."""
ACCOUNTS = ("mlflow", "line")
_BUCKETS_OF: dict[str, tuple[Purpose, ...]] = {"mlflow": ("mlflow",), "line": ("work", "releases")}
_MISSING = ("404", "NoSuchBucket", "NotFound")


class ObjectStorage:
    """Ceph on this machine, or a team's own server, behind the same few operations."""

    name = "s3"

    def __init__(self, installation: Installation, settings: Settings) -> None:
        """Refer to the server that the settings name."""
        self._installation = installation
        self._settings = settings
        self.ceph = None if settings.s3_endpoint else Ceph(installation, settings)

    def start(self, timeout_s: float) -> None:
        """Start the server where it is ours; then see that keys and buckets are there.

        Raises:
            UserError: it does not come up, or refuses.
        """
        if self.ceph:
            self.ceph.start(timeout_s)
            for account in ACCOUNTS:
                if not self._installation.has_secret(f"s3-{account}"):
                    self._installation.put_secret(f"s3-{account}", self.ceph.keys(account).text())
        else:
            self._take_keys()
        for account in ACCOUNTS:
            self._ensure_buckets(account)

    def stop(self) -> None:
        """End the server, where it is ours."""
        if self.ceph:
            self.ceph.stop()

    def is_running(self) -> bool:
        """Whether the processes live; of a team's own server this machine knows nothing."""
        return self.ceph.is_running() if self.ceph else True

    def check(self) -> None:
        """Ask for the buckets with the keys of a run.

        Raises:
            NotReadyError: no answer, or not the right one.
        """
        if self.ceph:
            self.ceph.check()
        try:
            with clear_s3_errors(self._settings.s3_address()):
                for account in ACCOUNTS:
                    for purpose in _BUCKETS_OF[account]:
                        self.client(account).head_bucket(Bucket=self._settings.bucket(purpose))
        except UserError as error:
            raise NotReadyError(str(error)) from None

    def keys(self, account: str) -> S3Keys:
        """The key of `mlflow` or of `line`."""
        return S3Keys.parse_json(self._installation.secret(f"s3-{account}"), f"secrets/s3-{account}")

    def client(self, account: str) -> Any:
        """A boto3 client of an account."""
        import boto3
        from botocore.config import Config

        keys = self.keys(account)
        return boto3.client(
            "s3",
            endpoint_url=self._settings.s3_address(),
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            region_name=self._settings.s3_region,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 5}, proxies=self._proxies()),
        )

    def add_keys(self) -> None:
        """Make new keys and put them into the secrets; the old ones hold until `drop_old_keys`.

        Of a team's own server nothing is changed.
        """
        if self.ceph:
            for account in ACCOUNTS:
                self._installation.put_secret(f"s3-{account}", self.ceph.add_keys(account).text())

    def drop_old_keys(self) -> None:
        """Take all keys away but those in the secrets."""
        if self.ceph:
            for account in ACCOUNTS:
                self.ceph.drop_keys(account, but=self.keys(account))

    def _proxies(self) -> dict[str, str] | None:
        """A proxy of the environment is not asked for what is on this machine."""
        return {} if self.ceph else None

    def _take_keys(self) -> None:
        """Keys of a team's own server are what the environment says, or said at an earlier start."""
        access_key, secret_key = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        if access_key and secret_key:
            text = S3Keys(access_key=access_key, secret_key=secret_key).text()
            for account in ACCOUNTS:
                self._installation.put_secret(f"s3-{account}", text)
        elif not self._installation.has_secret("s3-line"):
            raise UserError(
                f"{environment.S3_ENDPOINT} names your own S3 server: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
                "for the first start as well"
            )

    def _ensure_buckets(self, account: str) -> None:
        from botocore.exceptions import ClientError

        client = self.client(account)
        for purpose in _BUCKETS_OF[account]:
            bucket = self._settings.bucket(purpose)
            with clear_s3_errors(f"{self._settings.s3_address()}: bucket {bucket}"):
                try:
                    client.head_bucket(Bucket=bucket)
                except ClientError as error:
                    if error.response.get("Error", {}).get("Code") not in _MISSING:
                        raise
                    place = {"LocationConstraint": self._settings.s3_region}
                    is_nameless = self._settings.s3_region == _NAMELESS_REGION
                    client.create_bucket(Bucket=bucket, **({} if is_nameless else {"CreateBucketConfiguration": place}))
                if purpose == "releases" and self.ceph and not _has_policy(client, bucket):
                    client.put_bucket_policy(Bucket=bucket, Policy=_readable_by_all(bucket))


def _has_policy(client: Any, bucket: str) -> bool:
    from botocore.exceptions import ClientError

    try:
        return bool(client.get_bucket_policy(Bucket=bucket)["Policy"])
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "NoSuchBucketPolicy":
            raise
        return False


def _readable_by_all(bucket: str) -> str:
    allowed = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed]})

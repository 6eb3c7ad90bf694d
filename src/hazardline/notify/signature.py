"""Signed webhooks after the Standard Webhooks specification (https://www.standardwebhooks.com), as MLflow's own are.

HMAC-SHA256 over `id.timestamp.body`, in Base64, behind the version `v1`. The secret is taken as it is; one that begins
with `whsec_` is Base64, as that specification has it and MLflow has not.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from hazardline.errors import UserError


@dataclass(frozen=True)
class Dialect:
    """In what senders differ: names of the three headers, in lower case, and how a secret is read."""

    id: str
    timestamp: str
    signature: str
    knows_base64: bool
    """Whether a secret that begins with `whsec_` is Base64."""


STANDARD = Dialect("webhook-id", "webhook-timestamp", "webhook-signature", knows_base64=True)
MLFLOW = Dialect("x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature", knows_base64=False)
TOLERANCE_S = 300
"""How old or how far ahead a delivery may be: one that was recorded and is sent again later is refused."""
_PREFIX = "whsec_"
_MIN_SECRET_BYTES = 16


class RefusedDeliveryError(Exception):
    """A delivery that is not from whom it should be, or too old."""


def headers_of(secret: str, delivery_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The headers of a delivery.

    Raises:
        UserError: the secret is too short or damaged.
    """
    signature = f"v1,{_signature(key_of(secret), delivery_id, str(timestamp_s), body)}"
    return {STANDARD.id: delivery_id, STANDARD.timestamp: str(timestamp_s), STANDARD.signature: signature}


def verify(secret: str, headers: Mapping[str, str], body: bytes, now_s: float, dialect: Dialect = STANDARD) -> str:
    """Check a delivery; returns its id, which is the same where the same thing is told again.

    Args:
        secret: shared with the sender.
        headers: of the request, their names in lower case.
        body: of the request, byte for byte.
        now_s: seconds since 1970.
        dialect: the sender's.

    Raises:
        RefusedDeliveryError: a header is missing, the signature is wrong, or the time is too far away.
        UserError: the secret is too short or damaged.
    """
    key = key_of(secret, dialect)
    try:
        delivery_id, timestamp = headers[dialect.id], headers[dialect.timestamp]
        signatures = headers[dialect.signature].split()
    except KeyError as error:
        raise RefusedDeliveryError(f"header {error.args[0]} is missing") from None
    if not timestamp.isdecimal() or abs(now_s - int(timestamp)) > TOLERANCE_S:
        raise RefusedDeliveryError(f"its time is not within {TOLERANCE_S} s of now")
    expected = f"v1,{_signature(key, delivery_id, timestamp, body)}".encode()
    if not any(hmac.compare_digest(expected, found.encode()) for found in signatures):
        raise RefusedDeliveryError("no signature fits")
    return delivery_id


def _signature(key: bytes, delivery_id: str, timestamp: str, body: bytes) -> str:
    signed = b".".join([delivery_id.encode(), timestamp.encode(), body])
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def key_of(secret: str, dialect: Dialect = STANDARD) -> bytes:
    """The key that a secret stands for.

    Raises:
        UserError: it is too short, or damaged.
    """
    if not (dialect.knows_base64 and secret.startswith(_PREFIX)):
        key = secret.encode()
    else:
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            raise UserError(f"the webhook's secret begins with {_PREFIX}, and no Base64 follows") from None
    if len(key) < _MIN_SECRET_BYTES:
        raise UserError(f"the webhook's secret has {len(key)} bytes; expected at least {_MIN_SECRET_BYTES}, by chance")
    return key

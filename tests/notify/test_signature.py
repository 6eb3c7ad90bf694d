"""Signatures: those of the specification, those of MLflow, and those that are refused."""

import pytest
from mlflow.webhooks.delivery import _generate_hmac_signature

from hazardline.errors import UserError
from hazardline.notify.signature import RefusedDeliveryError, headers_of, verify

SECRET = "a secret of the team's own"
BODY = b'{"outcome": "promoted"}'
NOW = 1_700_000_000


def test_the_example_of_the_specification_is_signed_as_it_says() -> None:
    """From the specification's own libraries (standard-webhooks/standard-webhooks, their tests)."""
    body = b'{"test": 2432232314}'
    headers = headers_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_mlflow_signs_alike() -> None:
    ours = headers_of(SECRET, "id-1", NOW, BODY)["webhook-signature"]
    assert ours == _generate_hmac_signature(SECRET, "id-1", str(NOW), BODY.decode())


def test_what_was_signed_is_accepted() -> None:
    assert verify(SECRET, headers_of(SECRET, "id-1", NOW, BODY), BODY, NOW + 200.0) == "id-1"
    both = headers_of("the secret that comes next", "id-1", NOW, BODY)["webhook-signature"]
    headers = headers_of(SECRET, "id-1", NOW, BODY)
    headers["webhook-signature"] = f"v1a,xyz {both} {headers['webhook-signature']}"
    assert verify(SECRET, headers, BODY, NOW) == "id-1", "while a secret is changed there are several signatures"


@pytest.mark.parametrize(
    "changes, body, now",
    [
        ({}, BODY + b" ", NOW),
        ({"webhook-id": "id-2"}, BODY, NOW),
        ({"webhook-timestamp": str(NOW + 1)}, BODY, NOW),
        ({"webhook-timestamp": "soon"}, BODY, NOW),
        ({"webhook-signature": "v1,"}, BODY, NOW),
        ({"webhook-signature": ""}, BODY, NOW),
        ({"webhook-signature": "v1,\u00e9"}, BODY, NOW),
        ({"webhook-id": None}, BODY, NOW),
        ({"webhook-timestamp": None}, BODY, NOW),
        ({"webhook-signature": None}, BODY, NOW),
        ({}, BODY, NOW + 301),
        ({}, BODY, NOW - 301),
    ],
)
def test_anything_else_is_refused(changes: dict[str, str | None], body: bytes, now: float) -> None:
    changed = {**headers_of(SECRET, "id-1", NOW, BODY), **changes}
    headers = {name: value for name, value in changed.items() if value is not None}
    with pytest.raises(RefusedDeliveryError):
        verify(SECRET, headers, body, now)


def test_another_secret_is_refused() -> None:
    with pytest.raises(RefusedDeliveryError, match="no signature fits"):
        verify("another secret altogether", headers_of(SECRET, "id-1", NOW, BODY), BODY, NOW)


@pytest.mark.parametrize("secret", ["short", "whsec_c2hvcnQ=", "whsec_not base 64 at all"])
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(UserError, match="secret") as error:
        headers_of(secret, "id-1", NOW, BODY)
    assert secret not in str(error.value)

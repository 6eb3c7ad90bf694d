"""Made-up secrets, one for every place of a secret in an environment; how each may be written, and how it shows in use.

A canary that nobody has read cannot leak: a search for it says nothing.
"""

import base64
import hashlib
import hmac
import re
from urllib.parse import quote

USER = "ann-of-the-canaries"
"""Not a secret: it shows that a name and a password went to the server."""
CANARIES = {
    name: f"canary/{number}+{name.lower()}"
    for number, name in enumerate(
        [
            "MLFLOW_TRACKING_PASSWORD",
            "MLFLOW_TRACKING_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "HAZARDLINE_ANNOTATOR_KEY",
            "HAZARDLINE_KFP_TOKEN",
            "HAZARDLINE_KFP_COOKIES",
            "HAZARDLINE_LABEL_STUDIO_KEY",
            "HAZARDLINE_WEBHOOK_SECRET",
            "HAZARDLINE_MLFLOW_WEBHOOK_SECRET",
        ]
    )
}
_REQUEST = re.compile(
    rb"(?P<method>[A-Z]+) (?P<path>[^ ?]+)(?:\?(?P<query>[^ ]*))? HTTP/1\.1\r\n(?P<headers>(?:[^\r\n]+\r\n)+)\r\n"
)
_SIGNATURE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^/]+/(?P<scope>[^,]+), ?SignedHeaders=(?P<names>[^,]+), ?Signature=(?P<hex>\w+)"
)


def forms(secret: str) -> list[bytes]:
    """A secret as it stands, quoted for an address, and in base64 with a name before it or without."""
    pair = base64.b64encode(f"{USER}:{secret}".encode()).rstrip(b"=")
    return [
        secret.encode(),
        quote(secret, safe="").encode(),
        base64.b64encode(secret.encode()).rstrip(b"="),
        pair[-24:],
    ]


def is_in(secret: str, data: bytes) -> bool:
    """Whether data hold a secret in one of its forms."""
    return any(form in data for form in forms(secret))


def has_signed(secret: str, sent: bytes) -> bool:
    """Whether one of the requests that were sent to S3 is signed with a key (AWS's Signature Version 4)."""
    return any(_is_signed_with(secret, request) for request in _REQUEST.finditer(sent))


def _is_signed_with(secret: str, request: "re.Match[bytes]") -> bool:
    lines = (line.partition(":")[::2] for line in request["headers"].decode().splitlines())
    headers = {name.lower(): value.strip() for name, value in lines}
    found = _SIGNATURE.fullmatch(headers.get("authorization", ""))
    if found is None:
        return False
    named = "".join(f"{name}:{headers[name]}\n" for name in found["names"].split(";"))
    method, path, query = ((request[name] or b"").decode() for name in ("method", "path", "query"))
    ordered = "&".join(sorted(query.split("&")))
    canonical = "\n".join([method, path, ordered, named, found["names"], headers["x-amz-content-sha256"]])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], found["scope"], digest])
    key = f"AWS4{secret}".encode()
    for part in [*found["scope"].split("/"), text]:
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    return key.hex() == found["hex"]

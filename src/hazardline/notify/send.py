"""Sends one signed document to a webhook: a few attempts, each with its time, and an end."""

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from hazardline.errors import UserError
from hazardline.notify.signature import headers_of

_AGAIN = (408, 425, 429)
"""Answers after which another attempt makes sense, beside 500 and above."""
_MAX_WAIT_S = 30.0
_ANSWER_BYTES = 65_536


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like others: what is signed for one address goes to no other."""

    def redirect_request(self, *arguments: Any) -> None:
        """Follow none."""


def send(
    url: str,
    secret: str,
    delivery_id: str,
    body: bytes,
    *,
    num_attempts: int,
    timeout_s: float,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """POST a JSON document; returns the number of attempts that it took.

    Every attempt is signed anew, for a receiver refuses old times; its id stays. Between attempts it waits 1, 2, 4 ...
    seconds, at most 30.

    Args:
        url: the webhook.
        secret: shared with the receiver.
        delivery_id: of what is told.
        body: the document.
        num_attempts: at most.
        timeout_s: of each.
        clock: seconds since 1970.
        sleep: how to wait.

    Raises:
        UserError: it was refused, or nobody took it in all attempts.
    """
    opener = urllib.request.build_opener(_NoRedirects)
    said = ""
    for attempt in range(1, num_attempts + 1):
        headers = headers_of(secret, delivery_id, int(clock()), body) | {"content-type": "application/json"}
        request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310 - http(s), checked
        try:
            with opener.open(request, timeout=timeout_s) as answer:
                answer.read(_ANSWER_BYTES)
            return attempt
        except urllib.error.HTTPError as error:
            with error:
                said = f"answered {error.code}"
            if error.code not in _AGAIN and error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR:
                raise UserError(f"the webhook {url} refused the notice: it {said}") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            said = f"cannot be reached ({type(reason).__name__}: {reason})"
        if attempt < num_attempts:
            sleep(min(2.0 ** (attempt - 1), _MAX_WAIT_S))
    raise UserError(f"the webhook {url} took the notice in none of {num_attempts} attempts: it {said}")

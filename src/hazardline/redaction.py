"""Takes secrets out of what a server says: some repeat in their errors what they were sent."""

from collections.abc import Iterable

MASK = "***"


def without(text: str, secrets: Iterable[str | None]) -> str:
    """A text with a mask in the place of each secret; of those that are not set there is nothing to hide.

    Args:
        text: whole: a secret that was cut off is not known again.
        secrets: as they were sent.
    """
    for secret in sorted({secret for secret in secrets if secret}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text

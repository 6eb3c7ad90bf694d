"""What names the content of a data set: a digest over its scenes, its published pairs and its corrected answers."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hazardline.datasets.difference import placeless
from hazardline.files import canonical_json


class ContentDigest:
    """SHA-256 over a data set; where its files lie does not count."""

    def __init__(self) -> None:
        """Of no clip yet."""
        self._digest = hashlib.sha256()

    def add(self, scene: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]]) -> None:
        """Add a clip; clips come in the order of `clip_id`.

        Args:
            scene: its row of the scenes table.
            pairs: the question-answer pairs that it was published with: task, question, answer.
        """
        self._digest.update(canonical_json([placeless(scene), [dict(pair) for pair in pairs]]) + b"\n")

    def finish(self, answers: Iterable[Mapping[str, Any]]) -> str:
        """The digest as 64 hexadecimal digits.

        Args:
            answers: corrections of answers (`hazardline.review.corrections`), which the scenes do not show.
        """
        found = [dict(answer) for answer in answers]
        if found:
            self._digest.update(canonical_json(found))
        return self._digest.hexdigest()

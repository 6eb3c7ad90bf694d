"""A user's table of frame rates for clips whose data set does not say them: `video,fps` or `type,video,fps`."""

from array import array
from pathlib import Path

import numpy as np

from hazardline.errors import UserError
from hazardline.ingest.adapter import shorten
from hazardline.ingest.rows import read_rows, whole_number

MAX_FPS = 240.0
_TYPE_STEP = 1 << 42
"""`whole_number` takes up to 12 digits; a key is type and video in 63 bits."""
_MAX_TYPE = 1 << 20


class FrameRates:
    """Rate by clip, in 16 bytes a clip."""

    def __init__(self, path: Path, name: str) -> None:
        """Read the table.

        Raises:
            UserError: it cannot be read, or a row is no clip with a rate.
        """
        keys, rates = array("q"), array("d")
        self._by_type = False
        for origin, row in read_rows(path, name, ("video", "fps"), "a table of clips and frame rates"):
            self._by_type = "type" in row
            video, category = whole_number(row["video"]), whole_number(row.get("type", "0"))
            if video is None or category is None or int(category) >= _MAX_TYPE:
                raise UserError(f"{path}: {origin}: no clip: {shorten(str(row))}; expected whole numbers")
            keys.append(int(category) * _TYPE_STEP + int(video))
            rates.append(_rate(row["fps"], f"{path}: {origin}"))
        order = np.argsort(np.asarray(keys, np.int64), kind="stable")
        self._keys, self._rates = np.asarray(keys, np.int64)[order], np.asarray(rates, np.float64)[order]

    def of(self, category: int, video: int) -> float | None:
        """The rate of a clip; None where the table does not name it, or names several rates for it."""
        if category >= _MAX_TYPE:
            return None
        key = (category if self._by_type else 0) * _TYPE_STEP + video
        first, last = np.searchsorted(self._keys, key, "left"), np.searchsorted(self._keys, key, "right")
        found = set(self._rates[first:last].tolist())
        return found.pop() if len(found) == 1 else None


def _rate(text: str, origin: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= MAX_FPS:
        raise UserError(f"{origin}: fps {shorten(text)!r}; expected frames a second, above 0 and at most {MAX_FPS:.0f}")
    return rate

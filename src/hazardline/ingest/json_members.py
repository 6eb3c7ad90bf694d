"""Members of one large JSON object that may be hostile, one at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ijson

from hazardline.errors import UserError
from hazardline.ingest.adapter import shorten
from hazardline.ingest.portions import PortionedStream


def read_members(path: Path, what: str) -> Iterator[tuple[str, Any]]:
    """Names and values of the object that a file holds, in its order; the file is never in memory as a whole.

    Args:
        path: the file.
        what: what the file is, for messages.

    Raises:
        UserError: it cannot be read, is no JSON object, or a member is endless. What came before has been given.
    """
    count = 0
    try:
        with path.open("rb") as raw:
            stream = PortionedStream(raw, str(path))
            for name, value in ijson.kvitems(stream, "", use_float=True):
                stream.piece_done()
                count += 1
                yield name, value
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected {what}") from None
    except (ijson.JSONError, ValueError, OverflowError, RecursionError) as error:
        detail = shorten(str(error)) or type(error).__name__
        raise UserError(f"{path}: not JSON after {count} entries ({detail}); expected {what}") from None
    if not count:
        raise UserError(f"{path}: no entry in it; expected {what}")


def read_values(path: Path, what: str) -> Iterator[tuple[str, Any]]:
    """Every text, number, yes or no, and null of a JSON file with its place (`labels.item.name`), in the file's order.

    Args:
        path: the file.
        what: what the file is, for messages.

    Raises:
        UserError: it cannot be read, is no JSON, or a text is endless. What came before has been given.
    """
    try:
        with path.open("rb") as raw:
            stream = PortionedStream(raw, str(path))
            for place, event, value in ijson.parse(stream, use_float=True):
                stream.piece_done()
                if event in ("string", "number", "boolean", "null"):
                    yield place, value
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected {what}") from None
    except (ijson.JSONError, ValueError, OverflowError, RecursionError) as error:
        detail = shorten(str(error)) or type(error).__name__
        raise UserError(f"{path}: not JSON ({detail}); expected {what}") from None

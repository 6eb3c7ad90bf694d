"""Large JSON files that may be hostile, a piece at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ijson

from hazardline.errors import UserError
from hazardline.ingest.adapter import shorten
from hazardline.ingest.portions import PortionedStream

MAX_DEPTH = 32
"""Of lists and objects in one another; ijson takes a time that grows with the square of it."""


def read_members(path: Path, what: str) -> Iterator[tuple[str, Any]]:
    """Names and values of the object that a file holds, in its order; the file is never in memory as a whole.

    Args:
        path: the file.
        what: what the file is, for messages.

    Raises:
        UserError: it cannot be read, is no JSON object, or a member is endless. What came before has been given.
    """
    count = 0
    with _opened(path, what) as stream:
        for name, value in ijson.kvitems(ijson.parse(_events(stream)), ""):
            stream.piece_done()
            count += 1
            yield name, value
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
    with _opened(path, what) as stream:
        for place, event, value in ijson.parse(_events(stream)):
            stream.piece_done()
            if event in ("string", "number", "boolean", "null"):
                yield place, value


def _events(stream: PortionedStream) -> Iterator[tuple[str, Any]]:
    depth = 0
    # Without `use_float` ijson 3.6 dies (SIGSEGV) of a whole number of more than 4,300 digits; with it a file is
    # refused for a whole number beyond 64 bits.
    for event, value in ijson.basic_parse(stream, use_float=True):
        if event in ("start_map", "start_array"):
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"nested deeper than {MAX_DEPTH}")
        elif event in ("end_map", "end_array"):
            depth -= 1
        yield event, value


@contextmanager
def _opened(path: Path, what: str) -> Iterator[PortionedStream]:
    try:
        with path.open("rb") as raw:
            yield PortionedStream(raw, str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected {what}") from None
    except (ijson.JSONError, ValueError, OverflowError) as error:
        detail = shorten(str(error)) or type(error).__name__
        raise UserError(f"{path}: no such JSON ({detail}); expected {what}") from None

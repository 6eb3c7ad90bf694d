"""Rows of a CSV file that may be hostile: by column name, one at a time."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from hazardline.errors import UserError
from hazardline.ingest.adapter import shorten

_PIECE_CHARACTERS = 1 << 20


def read_rows(path: Path, what: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows with the number of their last line; columns that a row lacks are empty. What is no UTF-8 becomes U+FFFD.

    Raises:
        UserError: the file cannot be read, or is no table with commas.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            reader = csv.DictReader(_lines(stream), restval="")
            for row in reader:
                yield reader.line_num, {key.strip(): value for key, value in row.items() if isinstance(key, str)}
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected {what}") from None
    except csv.Error as error:
        raise UserError(f"{path}: not a table with commas ({error}); expected {what}") from None


def column_names(path: Path, what: str) -> list[str]:
    """The names in the first line; errors as `read_rows`."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            return [shorten(name) for name in next(csv.reader(_lines(stream)), [])]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected {what}") from None
    except csv.Error as error:
        raise UserError(f"{path}: not a table with commas ({error}); expected {what}") from None


def _lines(stream: TextIO) -> Iterator[str]:
    """Lines, of which an endless one comes in pieces."""
    while line := stream.readline(_PIECE_CHARACTERS):
        yield line

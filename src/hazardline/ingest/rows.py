"""Rows of a table with commas that may be hostile: by column name, one at a time, every value as text."""

import csv
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from hazardline.errors import UserError
from hazardline.ingest.adapter import shorten

_PIECE_CHARACTERS = 1 << 20


def read_rows(path: Path, name: str, needed: tuple[str, ...], what: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Where a row stands (`train.csv row 7`) and its values by column name, stripped; absent ones are empty.

    Args:
        path: the file.
        name: what messages call it.
        needed: columns that must be there, in any order.
        what: what the file is, for messages.

    Raises:
        UserError: it cannot be read, is no table with commas, or lacks a column.
    """
    columns = column_names(path, what)
    missing = [column for column in needed if column not in columns]
    if missing:
        raise UserError(f"{path}: no column {', '.join(missing)}; found {shorten(', '.join(columns)) or 'nothing'}")
    for number, row in numbered_rows(path, what):
        yield f"{name} row {number}", {column: value.strip() for column, value in row.items()}


def numbered_rows(path: Path, what: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The number of a row's last line and its values by column name; absent ones are empty, what is no UTF-8 U+FFFD.

    Raises:
        UserError: the file cannot be read, or is no table with commas.
    """
    with _opened(path, what) as stream:
        reader = csv.DictReader(_lines(stream), restval="", skipinitialspace=True)
        for row in reader:
            yield reader.line_num, {key.strip(): value for key, value in row.items() if isinstance(key, str)}


def column_names(path: Path, what: str) -> list[str]:
    """The names in the first line, stripped; errors as `numbered_rows`."""
    with _opened(path, what) as stream:
        return [column.strip() for column in next(csv.reader(_lines(stream), skipinitialspace=True), [])]


@contextmanager
def _opened(path: Path, what: str) -> Iterator[TextIO]:
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            yield stream
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected {what}") from None
    except csv.Error as error:
        raise UserError(f"{path}: not a table with commas ({error}); expected {what}") from None


def _lines(stream: TextIO) -> Iterator[str]:
    """Lines, of which an endless one comes in pieces."""
    while line := stream.readline(_PIECE_CHARACTERS):
        yield line


def whole_number(text: str) -> str | None:
    """The digits of a whole number with its leading zeros, also of one that became `822.0`; None for anything else."""
    match = re.fullmatch(r"(\d{1,12})(?:\.0*)?", text, re.ASCII)
    return match[1] if match else None


def seconds(text: str) -> float | None:
    """Seconds, None for an empty field.

    Raises:
        ValueError: neither.
    """
    if text.lower() in ("", "nan", "none", "null"):
        return None
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value

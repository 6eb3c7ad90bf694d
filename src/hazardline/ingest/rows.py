"""Rows of a table with commas that may be hostile: by column name, one at a time, every value as text."""

import csv
import math
import re
from collections.abc import Iterator
from pathlib import Path

from hazardline.errors import UserError
from hazardline.ingest.adapter import shorten
from hazardline.ingest.lines import read_lines


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
    texts = ("" if line is None else line.decode("utf-8", "replace") for _, line in read_lines(path, what))
    reader = csv.DictReader(texts, skipinitialspace=True)
    try:
        columns = [column.strip() for column in reader.fieldnames or ()]
        missing = [column for column in needed if column not in columns]
        if missing:
            raise UserError(f"{path}: no column {', '.join(missing)}; found {shorten(', '.join(columns)) or 'nothing'}")
        reader.fieldnames = columns
        for row in reader:
            values = {key: value.strip() for key, value in row.items() if key and isinstance(value, str)}
            yield f"{name} row {reader.line_num}", {column: values.get(column, "") for column in columns}
    except csv.Error as error:
        raise UserError(f"{path}: not a table with commas ({error})") from None


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

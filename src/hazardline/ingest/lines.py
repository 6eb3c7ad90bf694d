"""Lines of a text file that may be hostile: one at a time, none longer than a limit."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hazardline.errors import UserError

MAX_LINE_BYTES = 32 << 20
"""A simulated clip with its full ground truth takes about 100 kB."""
MAX_LINES = 100_000_000


def read_lines(path: Path, what: str) -> Iterator[tuple[int, bytes | None]]:
    """Numbered lines, counted from 1, without blank ones; None stands for a line over the limit, which is skipped.

    Raises:
        UserError: the file cannot be read, or has more than `MAX_LINES` lines.
    """
    try:
        with path.open("rb") as stream:
            yield from _bounded(stream, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected {what}") from None


def _bounded(stream: BinaryIO, path: Path) -> Iterator[tuple[int, bytes | None]]:
    number = 0
    while line := stream.readline(MAX_LINE_BYTES):
        number += 1
        if number > MAX_LINES:
            raise UserError(f"{path}: more than {MAX_LINES} lines; split the data set into several")
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            while (rest := stream.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield number, None
        elif line.strip():
            yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line

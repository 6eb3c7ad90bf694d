"""Markdown of texts and tables that come from outside."""

from collections.abc import Iterable, Sequence


def as_cell(text: str) -> str:
    """A text from outside as one cell of a Markdown table: one line, no bar, no markup."""
    plain = " ".join(text.split())
    for mark in "\\`*_[]<>|#":
        plain = plain.replace(mark, f"\\{mark}")
    return plain


def as_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; every cell is taken as text from outside."""
    lines = [header, *rows]
    written = ["| " + " | ".join(map(as_cell, line)) + " |" for line in lines]
    return "\n".join([written[0], "| " + " | ".join("---" for _ in header) + " |", *written[1:]]) + "\n"

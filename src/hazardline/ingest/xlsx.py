"""Rows of an .xlsx file (ECMA-376, a zip of XML) that may be hostile: streamed, within limits, nothing evaluated.

Not openpyxl: its read-only mode asks every sheet for its dimensions without a limit when it opens a file, fills gaps up
to any row number that a file claims, drops rows that are out of order, and keeps an element of every row that it read.
Here memory is bounded by one row and the table of shared texts, which has a limit. Entities and external references are
refused by defusedxml.
"""

import posixpath
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import iterparse

from hazardline.errors import UserError
from hazardline.ingest.adapter import shorten
from hazardline.ingest.portions import PortionedStream

MAX_FILE_BYTES = 64 << 20
MAX_PARTS = 2_000
"""Files in the zip."""
MAX_UNPACKED_BYTES = 2 << 30
MAX_PART_BYTES = 64 << 20
"""Of the parts that are no sheets; the shared texts are held in memory."""
MAX_RATIO = 100
"""Unpacked to packed; real sheets reach about 20."""
_RATIO_FROM_BYTES = 16 << 20
MAX_DEPTH = 64
"""Of elements in one another."""
MAX_COLUMNS = 256
"""Columns further right are not read."""

_BOOK, _BOOK_RELATIONS = "xl/workbook.xml", "xl/_rels/workbook.xml.rels"
_REMEDY = "fetch it again, or open it in a spreadsheet program and save it anew"


class Workbook:
    """An open .xlsx file; closed with `close`."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        """Open it and check its sizes.

        Raises:
            UserError: it is over a limit.
            zipfile.BadZipFile, ...: it is damaged; the list is `hazardline.ingest.sheets`'s.
        """
        self._path = path
        _check(path, "size", size_bytes, MAX_FILE_BYTES, "bytes")
        self._archive = zipfile.ZipFile(path)
        _check_parts(path, self._archive.infolist())
        self._targets: dict[str, str] = {}
        self._texts: list[str] = []
        for relation in self._elements(_BOOK_RELATIONS, "Relationship"):
            target = posixpath.normpath(posixpath.join("/xl", relation.get("Target", ""))).lstrip("/")
            self._targets[relation.get("Id", "")] = target
            if relation.get("Type", "").endswith("/sharedStrings"):
                self._texts = [_plain_text(item) for item in self._elements(target, "si")]
        self._sheets = {
            sheet.get("name", ""): next((value for key, value in sheet.attrib.items() if key.endswith("}id")), "")
            for sheet in self._elements(_BOOK, "sheet")
        }

    @property
    def sheet_names(self) -> list[str]:
        """In the order of the file."""
        return list(self._sheets)

    def rows(self, sheet: str) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Numbers and cells of all rows, as they stand; a formula is a text that begins with `=`."""
        number = 0
        for row in self._elements(self._targets[self._sheets[sheet]], "row"):
            number = int(row.get("r", number + 1))
            yield number, self._cells(row)

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def _elements(self, part: str, name: str) -> Iterator[Element]:
        """Elements of one name, whole, each dropped after use; nothing else of the part is kept."""
        with self._archive.open(part) as raw:
            stream = PortionedStream(cast(BinaryIO, raw), f"{self._path}: {part}")
            open_elements: list[Element] = []
            inside = 0
            for event, element in iterparse(cast(IO[bytes], stream), events=("start", "end")):
                is_wanted = element.tag.rpartition("}")[2] == name
                if event == "start":
                    inside += is_wanted
                    open_elements.append(element)
                    if len(open_elements) > MAX_DEPTH:
                        raise UserError(f"{self._path}: {part}: elements nested deeper than {MAX_DEPTH}; {_REMEDY}")
                    continue
                open_elements.pop()
                inside -= is_wanted
                if is_wanted and not inside:
                    stream.piece_done()
                    yield element
                if not inside and open_elements:
                    open_elements[-1].remove(element)

    def _cells(self, row: Element) -> tuple[str, ...]:
        texts: list[str] = []
        column = 0
        for cell in row:
            column = _column(cell.get("r", "")) or column + 1
            if column <= MAX_COLUMNS:
                texts.extend([""] * (column - len(texts)))
                texts[column - 1] = self._cell_text(cell)
        return tuple(texts)

    def _cell_text(self, cell: Element) -> str:
        kind, value = cell.get("t", "n"), ""
        for child in cell:
            name = child.tag.rpartition("}")[2]
            if name == "f":
                return f"={child.text or ''}"
            if name == "v":
                value = child.text or ""
            elif name == "is":
                value = _plain_text(child)
        if kind == "s" and value:
            return self._texts[int(value)]
        if kind == "n" and value:
            return number_text(float(value))
        return "" if kind == "e" else value


def number_text(value: float) -> str:
    """A number as text, a whole one without a decimal point."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else str(value)


def _plain_text(item: Element) -> str:
    """The text of a rich or plain string, without phonetic hints."""
    pieces = [item] if not len(item) else [child for child in item if child.tag.rpartition("}")[2] in ("t", "r")]
    return "".join(text.text or "" for piece in pieces for text in piece.iter() if text.tag.rpartition("}")[2] == "t")


def _column(coordinate: str) -> int:
    """Number, from 1, of a coordinate's column; 0 where it names none."""
    letters = re.match(r"[A-Za-z]{1,3}", coordinate)
    number = 0
    for letter in letters[0].upper() if letters else "":
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _check_parts(path: Path, parts: list[zipfile.ZipInfo]) -> None:
    """Sizes as the zip's directory gives them; zipfile unpacks no more than these."""
    _check(path, "number of parts", len(parts), MAX_PARTS, "files in the zip")
    _check(path, "unpacked size", sum(part.file_size for part in parts), MAX_UNPACKED_BYTES, "bytes")
    for part in parts:
        if not part.filename.startswith("xl/worksheets/"):
            _check(path, f"unpacked size of {part.filename!r}", part.file_size, MAX_PART_BYTES, "bytes")
        if part.file_size > _RATIO_FROM_BYTES:
            ratio = part.file_size // max(1, part.compress_size)
            _check(path, f"compression of {part.filename!r}", ratio, MAX_RATIO, "to 1")


def _check(path: Path, what: str, value: int, limit: int, unit: str) -> None:
    if value > limit:
        raise UserError(f"{path}: {shorten(what)} is {value} {unit}, the limit is {limit}: not as published; {_REMEDY}")

"""Rows of spreadsheets (.xlsx, .xls) that may be hostile: one at a time, every cell as text, nothing evaluated.

What a file is, is told from its first bytes, not from its name. An .xls is held in memory by xlrd; the format itself
ends at 65,536 rows.
"""

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import ParseError

import xlrd
from defusedxml import DefusedXmlException

from hazardline.errors import UserError
from hazardline.ingest.adapter import shorten
from hazardline.ingest.xlsx import MAX_COLUMNS, Workbook, number_text

MAX_XLS_BYTES = 32 << 20
MAX_ROWS = 1 << 20
"""What a spreadsheet program can hold."""

_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MEND = "open it in a spreadsheet program and save it anew"
_DAMAGED = (
    # of a zip or of XML
    DefusedXmlException,
    EOFError,
    ParseError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    # xlrd lets through whatever a damaged record leads to
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
    struct.error,
    xlrd.XLRDError,
    xlrd.compdoc.CompDocError,
)


def read_sheet(path: Path, sheet: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Numbers (from 1) and cells of the rows that are not blank.

    A whole number has no decimal point, an empty cell is an empty text, a formula is a text that begins with `=`
    (in .xls its stored result, which cannot be told from a value).

    Args:
        path: the file.
        sheet: its sheet; upper or lower case and blanks do not matter. A file with one sheet may call it anything.

    Raises:
        UserError: the file cannot be read, is no spreadsheet, lacks the sheet, or is over a limit.
    """
    try:
        with path.open("rb") as stream:
            head, size_bytes = stream.read(8), os.fstat(stream.fileno()).st_size
        if head.startswith(_ZIP):
            rows = _xlsx_rows(path, sheet, size_bytes)
        elif head == _OLE:
            rows = _xls_rows(path, sheet, size_bytes)
        else:
            raise UserError(f"{path}: no spreadsheet (neither .xlsx nor .xls by its first bytes); {_MEND} as .xlsx")
        for count, (number, texts) in enumerate(rows, 1):
            if count > MAX_ROWS:
                raise UserError(f"{path}: more than {MAX_ROWS} rows; split the data set into several")
            if any(texts):
                yield number, texts
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error}); expected a spreadsheet") from None
    except _DAMAGED as error:
        detail = shorten(f"{type(error).__name__}: {error}")
        raise UserError(f"{path}: a damaged spreadsheet ({detail}); {_MEND}") from None


def _xlsx_rows(path: Path, sheet: str, size_bytes: int) -> Iterator[tuple[int, tuple[str, ...]]]:
    book = Workbook(path, size_bytes)
    try:
        yield from book.rows(_named(path, sheet, book.sheet_names))
    finally:
        book.close()


def _xls_rows(path: Path, sheet: str, size_bytes: int) -> Iterator[tuple[int, tuple[str, ...]]]:
    if size_bytes > MAX_XLS_BYTES:
        raise UserError(f"{path}: {size_bytes} bytes, the limit for .xls is {MAX_XLS_BYTES}; save it as .xlsx")
    with (
        Path(os.devnull).open("w") as silence,
        xlrd.open_workbook(path, logfile=silence, on_demand=True, ragged_rows=True) as book,
    ):
        page = book.sheet_by_name(_named(path, sheet, book.sheet_names()))
        for index in range(page.nrows):
            cells = zip(page.row_types(index, 0, MAX_COLUMNS), page.row_values(index, 0, MAX_COLUMNS), strict=True)
            yield index + 1, tuple(_xls_text(kind, value) for kind, value in cells)


def _xls_text(kind: int, value: str | float) -> str:
    if kind == xlrd.XL_CELL_ERROR:
        return ""
    return number_text(float(value)) if isinstance(value, int | float) else value


def _named(path: Path, wanted: str, names: list[str]) -> str:
    for name in names:
        if "".join(name.split()).casefold() == "".join(wanted.split()).casefold():
            return name
    if len(names) == 1:
        return names[0]
    raise UserError(f"{path}: no sheet {wanted!r}; found {shorten(', '.join(names)) or 'none'}")

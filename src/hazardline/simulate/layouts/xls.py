"""The least .xls file (BIFF8 in a compound file, MS-XLS and MS-CFB) with one sheet of texts and whole numbers.

CAP's annotations are published in this format, which no maintained library writes. No styles, no formulas; enough for a
sheet of a few thousand rows, and read by every program that reads .xls.
"""

import struct
from collections.abc import Sequence

_SECTOR = 512
_END, _FREE, _FAT = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD
_MIN_STREAM_BYTES = 4096
"""Shorter streams would lie in a second table of small sectors."""
_MAX_TEXT = 4000
_MAX_FAT_SECTORS = 109
"""As many as the header names; more would need tables of tables."""


def xls_bytes(sheet: str, rows: Sequence[Sequence[str | int | None]]) -> bytes:
    """A workbook with one sheet.

    Raises:
        ValueError: a text is longer than 4,000 characters, or the sheet than 65,536 rows or 7 MB.
    """
    if len(rows) > 1 << 16:
        raise ValueError(f"{len(rows)} rows; .xls ends at 65536")
    return _compound_file(_workbook(sheet, rows))


def _record(kind: int, data: bytes) -> bytes:
    return struct.pack("<HH", kind, len(data)) + data


def _workbook(name: str, rows: Sequence[Sequence[str | int | None]]) -> bytes:
    beginning = struct.pack("<HHHHII", 0x0600, 0x0005, 0x0DBB, 0x07CC, 0, 6)
    title = name.encode("utf-16-le")
    where = len(_record(0x0809, beginning)) + 4 + 8 + len(title) + 4
    globals_end = _record(0x000A, b"")
    sheet_entry = _record(0x0085, struct.pack("<IHBB", where, 0, len(name), 1) + title)
    width = max((len(row) for row in rows), default=0)
    parts = [_record(0x0809, beginning), sheet_entry, globals_end]
    parts.append(_record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0010, 0x0DBB, 0x07CC, 0, 6)))
    parts.append(_record(0x0200, struct.pack("<IIHHH", 0, len(rows), 0, width, 0)))
    for y, row in enumerate(rows):
        parts.extend(_cell(y, x, value) for x, value in enumerate(row) if value is not None)
    return b"".join([*parts, _record(0x000A, b"")])


def _cell(y: int, x: int, value: str | int) -> bytes:
    if isinstance(value, int):
        return _record(0x0203, struct.pack("<HHHd", y, x, 0, value))
    text = value.encode("utf-16-le")
    if len(text) > 2 * _MAX_TEXT:
        raise ValueError(f"row {y + 1}, column {x + 1}: a text of more than {_MAX_TEXT} characters")
    return _record(0x0204, struct.pack("<HHHHB", y, x, 0, len(text) // 2, 1) + text)


def _compound_file(stream: bytes) -> bytes:
    """Sectors in order: the file allocation table, the directory, the stream."""
    stream = stream.ljust(_MIN_STREAM_BYTES, b"\0")
    num_stream = -(-len(stream) // _SECTOR)
    num_fat = -(-(num_stream + 1) // (_SECTOR // 4 - 1))
    if num_fat > _MAX_FAT_SECTORS:
        raise ValueError(f"{len(stream)} bytes; this writer ends at {_MAX_FAT_SECTORS * 127 * _SECTOR}")
    first = num_fat + 1
    fat = [_FAT] * num_fat + [_END] + [first + k + 1 for k in range(num_stream - 1)] + [_END]
    fat += [_FREE] * (num_fat * _SECTOR // 4 - len(fat))
    named = [*range(num_fat)] + [_FREE] * (_MAX_FAT_SECTORS - num_fat)
    header = struct.pack(
        "<8s16xHHHHH6x9I109I",
        *(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x3E, 3, 0xFFFE, 9, 6),
        *(0, num_fat, num_fat, 0, _MIN_STREAM_BYTES, _END, 0, _END, 0),
        *named,
    )
    directory = _entry("Root Entry", 5, 1, _END, 0) + _entry("Workbook", 2, _FREE, first, len(stream))
    directory += _entry("", 0, _FREE, 0, 0) * 2
    table = struct.pack(f"<{len(fat)}I", *fat)
    return header + table + directory + stream.ljust(num_stream * _SECTOR, b"\0")


def _entry(name: str, kind: int, child: int, start: int, size: int) -> bytes:
    title = (name + "\0").encode("utf-16-le") if name else b""
    head = struct.pack("<64sHBBIII", title, len(title), kind, 1, _FREE, _FREE, child)
    return head + bytes(36) + struct.pack("<IQ", start, size)

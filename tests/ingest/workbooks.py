"""Spreadsheets on disk: whole ones by openpyxl, hostile ones put together by hand."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import openpyxl

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def write_xlsx(path: Path, sheet: str, rows: Sequence[Sequence[Any]]) -> Path:
    book = openpyxl.Workbook(write_only=True)
    page = book.create_sheet(sheet)
    for row in rows:
        page.append(list(row))
    book.save(path)
    return path


def write_raw_xlsx(path: Path, sheet_xml: bytes | str, more: Mapping[str, bytes] | None = None) -> Path:
    """A workbook with one sheet, `Sheet1`, whose XML is given; `more` adds or replaces parts."""
    relation = f'<Relationship Id="r1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    texts = f'<Relationship Id="r2" Type="{_OFFICE}/sharedStrings" Target="/xl/sharedStrings.xml"/>'
    parts: dict[str, bytes | str] = {
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{_OFFICE}"><sheets>'
        '<sheet name="Sheet1" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}">{relation}{texts}</Relationships>',
        "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}"><si><t>shared</t></si></sst>',
        "xl/worksheets/sheet1.xml": sheet_xml,
        **(more or {}),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


def sheet_xml(rows: str, before: str = "") -> str:
    return f'<worksheet xmlns="{MAIN}">{before}<sheetData>{rows}</sheetData></worksheet>'

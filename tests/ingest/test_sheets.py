import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hazardline.errors import UserError
from hazardline.ingest import portions, sheets, xlsx
from hazardline.ingest.sheets import read_sheet
from hazardline.simulate.layouts.xls import xls_bytes
from tests.ingest.workbooks import MAIN, sheet_xml, write_raw_xlsx, write_xlsx

ROWS = [["video", "causes"], [1, "one"], [None, None], [2.5, "two\nlines"], [10**6, "drei Ümläute 衝突"]]
TEXTS = [(1, ("video", "causes")), (2, ("1", "one")), (4, ("2.5", "two\nlines")), (5, ("1000000", "drei Ümläute 衝突"))]


def _read(path: Path, sheet: str = "Sheet1") -> list[tuple[int, tuple[str, ...]]]:
    return list(read_sheet(path, sheet))


def _xls(path: Path, rows: list[list[str | int | None]], sheet: str = "annotation file") -> Path:
    path.write_bytes(xls_bytes(sheet, rows))
    return path


def test_xlsx_as_openpyxl_writes_it(tmp_path: Path) -> None:
    assert _read(write_xlsx(tmp_path / "a.xlsx", "Sheet1", ROWS)) == TEXTS


def test_xls(tmp_path: Path) -> None:
    rows: list[list[str | int | None]] = [["video", None, "causes"], [None], [7, "", "drei Ümläute 衝突"]]
    expected = [(1, ("video", "", "causes")), (3, ("7", "", "drei Ümläute 衝突"))]
    assert _read(_xls(tmp_path / "a.xls", rows), "annotation file") == expected


def test_a_large_xls(tmp_path: Path) -> None:
    rows: list[list[str | int | None]] = [[number, "x" * 100] for number in range(9_768)]
    read = _read(_xls(tmp_path / "a.xls", rows), "annotation file")
    assert len(read) == 9_768 and read[-1] == (9_768, ("9767", "x" * 100))


def test_an_xls_that_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="a text of more than 4000 characters"):
        xls_bytes("a", [["x" * 4001]])
    with pytest.raises(ValueError, match=r"65537 rows; \.xls ends at 65536"):
        xls_bytes("a", [[1]] * 65_537)
    with pytest.raises(ValueError, match="this writer ends at"):
        xls_bytes("a", [["x" * 4000]] * 1000)


def test_the_bytes_and_not_the_name_say_what_a_file_is(tmp_path: Path) -> None:
    assert _read(write_xlsx(tmp_path / "a.xls", "Sheet1", ROWS)) == TEXTS
    assert _read(_xls(tmp_path / "a.xlsx", [["x"]])) == [(1, ("x",))]
    (tmp_path / "b.xlsx").write_text("video,causes\n1,one\n")
    with pytest.raises(UserError, match=r"b\.xlsx: no spreadsheet"):
        _read(tmp_path / "b.xlsx")
    with pytest.raises(UserError, match=r"none\.xlsx: cannot be read"):
        _read(tmp_path / "none.xlsx")


def test_sheets_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "notes"
    book.create_sheet("Annotation  File").append(["x"])
    book.save(path)
    assert _read(path, "annotation file") == [(1, ("x",))]
    with pytest.raises(UserError, match=r"no sheet 'Sheet1'; found notes, Annotation File"):
        _read(path, "Sheet1")


def test_formulas_are_texts_and_never_evaluated(tmp_path: Path) -> None:
    cells = (
        '<c r="A1"><f>1+1</f><v>2</v></c><c r="B1" t="str"><f>HYPERLINK("http://x")</f><v>y</v></c><c><f/><v>3</v></c>'
    )
    path = write_raw_xlsx(tmp_path / "a.xlsx", sheet_xml(f"<row>{cells}</row>"))
    assert _read(path) == [(1, ("=1+1", '=HYPERLINK("http://x")', "="))]


def test_kinds_of_cells(tmp_path: Path) -> None:
    cells = (
        '<c t="s"><v>0</v></c><c t="inlineStr"><is><r><t>in</t></r><r><t>line</t></r><rPh><t>no</t></rPh></is></c>'
        '<c t="b"><v>1</v></c><c t="e"><v>#REF!</v></c><c r="G1"><v>1E2</v></c><c/>'
    )
    path = write_raw_xlsx(tmp_path / "a.xlsx", sheet_xml(f"<row>{cells}</row>"))
    assert _read(path) == [(1, ("shared", "inline", "1", "", "", "", "100", ""))]


def test_what_a_sheet_says_of_its_size_takes_neither_time_nor_memory(tmp_path: Path) -> None:
    far = '<row r="999999999999"><c r="XFD9"><v>2</v></c><c r="A2"><v>3</v></c></row>'
    rows = f'<row r="1"><c r="A1"><v>1</v></c></row>{far}'
    path = write_raw_xlsx(tmp_path / "a.xlsx", sheet_xml(rows, '<dimension ref="A1:XFD1048576"/>'))
    started_s = time.monotonic()
    assert _read(path) == [(1, ("1",)), (999_999_999_999, ("3",))]
    assert time.monotonic() - started_s < 1


def test_rows_out_of_order_are_not_lost(tmp_path: Path) -> None:
    rows = '<row r="5"><c><v>1</v></c></row><row r="2"><c><v>2</v></c></row><row><c><v>3</v></c></row>'
    assert _read(write_raw_xlsx(tmp_path / "a.xlsx", sheet_xml(rows))) == [(5, ("1",)), (2, ("2",)), (3, ("3",))]


def test_a_zip_bomb(tmp_path: Path) -> None:
    for name, part in (("a.xlsx", "xl/worksheets/sheet1.xml"), ("b.xlsx", "xl/sharedStrings.xml")):
        path = write_raw_xlsx(tmp_path / name, "", {part: b" " * (48 << 20)})
        with pytest.raises(UserError, match=rf"{name}: compression of '{part}' is \d+ to 1, the limit is 100"):
            _read(path)


def test_sizes_and_counts_have_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_raw_xlsx(tmp_path / "a.xlsx", sheet_xml("<row><c><v>1</v></c></row>" * 50))
    for limit, what in (
        ("MAX_FILE_BYTES", "size is"),
        ("MAX_PARTS", "number of parts is 4 files"),
        ("MAX_UNPACKED_BYTES", "unpacked size is"),
        ("MAX_PART_BYTES", "unpacked size of 'xl/workbook.xml' is"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(xlsx, limit, 3)
            with pytest.raises(UserError, match=what):
                _read(path)
    monkeypatch.setattr(sheets, "MAX_ROWS", 49)
    with pytest.raises(UserError, match="more than 49 rows"):
        _read(path)
    monkeypatch.setattr(sheets, "MAX_XLS_BYTES", 100)
    with pytest.raises(UserError, match=r"the limit for \.xls is 100"):
        _read(_xls(tmp_path / "b.xls", [["x"]]))


@pytest.mark.parametrize(
    "xml",
    [
        sheet_xml("<row>" + "<c/>" * 400_000 + "</row>"),
        f'<worksheet xmlns="{MAIN}">' + "<x/>" * 400_000 + "</worksheet>",
        sheet_xml("<row><c><v>" + "1" * 1_600_000 + "</v></c></row>"),
    ],
    ids=["cells", "other elements", "text"],
)
def test_an_endless_row_is_refused_early(tmp_path: Path, xml: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "MAX_PORTION_BYTES", 256 << 10)
    path = write_raw_xlsx(tmp_path / "a.xlsx", xml)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"sheet1\.xml: a single entry takes more than"):
            _read(path)
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()


def test_deep_nesting(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nested deeper than 64"):
        _read(write_raw_xlsx(tmp_path / "a.xlsx", "<a>" * 100_000))


def test_entities_are_refused(tmp_path: Path) -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<!DOCTYPE x [<!ENTITY l0 "lol">{laughs}]><worksheet xmlns="{MAIN}">&l9;</worksheet>'
    outside = f'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><worksheet xmlns="{MAIN}">&f;</worksheet>'
    for xml in (bomb, outside):
        with pytest.raises(UserError, match=r"a damaged spreadsheet \(EntitiesForbidden"):
            _read(write_raw_xlsx(tmp_path / "a.xlsx", xml))


def test_memory_does_not_grow_with_rows(tmp_path: Path) -> None:
    row = "<row><c><v>1</v></c><c t='inlineStr'><is><t>a car hits a car</t></is></c></row>"
    peaks = []
    for count in (2_000, 20_000):
        path = write_raw_xlsx(tmp_path / "a.xlsx", sheet_xml(row * count))
        tracemalloc.start()
        assert sum(1 for _ in read_sheet(path, "Sheet1")) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0] + (256 << 10)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["xls", "xlsx", "stored"]),
    changes=st.lists(st.tuples(st.floats(0, 0.9999), st.binary(min_size=1, max_size=4)), max_size=5),
    length=st.floats(0.05, 1),
)
def test_any_damage_is_told(
    tmp_path_factory: pytest.TempPathFactory, kind: str, changes: list[tuple[float, bytes]], length: float
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "a"
    if kind == "xls":
        _xls(path, [["video", 1, None, "text"]] * 20)
    else:
        write_xlsx(path, "Sheet1", [["video", 1, None, "text"]] * 20)
    if kind == "stored":  # so that the changes reach the XML and not the compression
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name, part in parts.items():
                archive.writestr(name, part)
    data = bytearray(path.read_bytes())
    for place, change in changes:
        start = int(place * len(data))
        data[start : start + len(change)] = change
    path.write_bytes(bytes(data[: max(9, int(length * len(data)))]))
    try:
        rows = _read(path)
    except UserError as error:
        assert str(path) in str(error)
    else:
        assert all(isinstance(text, str) for _, texts in rows for text in texts)

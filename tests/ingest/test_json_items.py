import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hazardline.errors import UserError
from hazardline.ingest import json_items
from hazardline.ingest.json_items import JsonItem, read_items, read_members


def _write(folder: Path, data: bytes) -> Path:
    path = folder / "items.json"
    path.write_bytes(data)
    return path


def _items(folder: Path, data: bytes) -> list[JsonItem]:
    return list(read_items(_write(folder, data), "a list of records"))


def test_items_are_what_the_standard_library_reads(tmp_path: Path) -> None:
    values = [{"a": [1, 2.5, None, True], "b": {"c": 'q"u]o\\t{e,'}}, [], {}, "x,y", 7, None, [[1], [2]], "\\"]
    for indent in (None, 2):
        items = _items(tmp_path, b"\xef\xbb\xbf \n" + json.dumps(values, indent=indent).encode() + b"\n")
        assert [(item.number, item.value, item.fault) for item in items] == [
            (number, value, None) for number, value in enumerate(values)
        ]
    assert _items(tmp_path, b"[ ]\n") == []


def test_members_have_their_keys(tmp_path: Path) -> None:
    path = _write(tmp_path, b'{"one": {"n": 1}, "t,w}o": [2], "bad": nope, "after": 4}')
    members = list(read_members(path, "an object"))
    assert [(m.key, m.value) for m in members] == [("one", {"n": 1}), ("t,w}o", [2]), ("", None), ("after", 4)]
    assert members[2].fault is not None and "not valid JSON" in members[2].fault


def test_nan_and_infinity_stand_for_nothing(tmp_path: Path) -> None:
    (item,) = _items(tmp_path, b'[{"a": NaN, "b": [Infinity, -Infinity], "c": "NaN"}]')
    assert item.value == {"a": None, "b": [None, None], "c": "NaN"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b'{"a": 1, "a": 1}', "the key 'a' is given twice"),
        (b'{"a": {"b": 1, "b": 2}}', "the key 'b' is given twice"),
        (b"[" * 33 + b"]" * 33, "more than 32 deep"),
        (b"[" * 100_000 + b"]" * 100_000, "more than 32 deep"),
        (b"9" * 5000, "not valid JSON"),
        (b'"\xff"', "not valid UTF-8"),
        (b'"\xed\xa0\x80"', "not valid UTF-8"),
        (b'"\\ud800"', "not valid UTF-8"),
        (b'{"\\udcff": 1}', "not valid UTF-8"),
        (b"nope", "not valid JSON"),
        (b"", "not valid JSON"),
        (b"{]", "not valid JSON"),
        (b'"\x01"', "not valid JSON"),
        (b'{"a": 1} {"b": 2}', "not valid JSON"),
    ],
)
def test_a_bad_item_costs_itself_only(tmp_path: Path, text: bytes, fault: str) -> None:
    before, bad, after = _items(tmp_path, b"[1, " + text + b', {"b": 2}]')
    assert before.value == 1 and after.value == {"b": 2}
    assert bad.value is None and bad.fault is not None and fault in bad.fault


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"does not begin with '\['; expected a list of records"),
        (b'{"a": 1}', r"does not begin with '\['"),
        (b"\xff\xfe[\x00", r"does not begin with '\['"),
        (b"[1, 2", "ends within item 1: cut off or damaged"),
        (b'[{"a": "unfinished', "ends within item 0"),
        (b"[" * 100_000, "ends within item 0"),
        (b"[1] [2]", "something follows the end"),
        (b"[1}", "after item 0"),
    ],
)
def test_a_broken_file_is_named_with_what_to_do(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        _items(tmp_path, data)
    assert str(tmp_path / "items.json") in str(raised.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(UserError, match=r"cannot be read .*; expected a list"):
            list(read_items(path, "a list"))


@pytest.mark.parametrize("filler", [b'"' + b"x" * 3_000 + b'"', b"[" * 3_000, b'{"a": ' * 1_000, b"9" * 3_000])
def test_an_endless_item_is_not_read_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filler: bytes
) -> None:
    monkeypatch.setattr(json_items, "MAX_ITEM_BYTES", 2_000)
    monkeypatch.setattr(json_items, "_CHUNK_BYTES", 512)
    with pytest.raises(UserError, match="item 1 is longer than 2000 bytes"):
        _items(tmp_path, b"[1, " + filler + b"]" * 5_000)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    record = json.dumps({"text": "x" * 1000}).encode()
    peaks = []
    for count in (3_000, 12_000):
        path = _write(tmp_path, b"[" + b",".join([record] * count) + b"]")
        tracemalloc.start()
        assert sum(1 for _ in read_items(path, "a list")) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(_VALUES, max_size=5), st.integers(1, 40), st.booleans())
def test_any_list_comes_back_whatever_the_pieces(
    tmp_path_factory: pytest.TempPathFactory, values: list[object], piece: int, is_ascii: bool
) -> None:
    path = _write(tmp_path_factory.getbasetemp(), json.dumps(values, ensure_ascii=is_ascii).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_items, "_CHUNK_BYTES", piece)
        assert [item.value for item in read_items(path, "a list")] == values


@given(st.data())
def test_any_damage_is_a_fault_or_an_error(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    text = bytearray(json.dumps([{"a": "x\\y", "b": [1, 2]}, {"c": 'q"'}, [], "é"], ensure_ascii=False).encode())
    for position in data.draw(st.lists(st.integers(0, len(text) - 1), min_size=1, max_size=4)):
        text[position] = data.draw(st.integers(0, 255))
    path = _write(tmp_path_factory.getbasetemp(), bytes(text))
    try:
        items = list(read_items(path, "a list"))
    except UserError:
        return
    assert all((item.value is None) or item.fault is None for item in items)

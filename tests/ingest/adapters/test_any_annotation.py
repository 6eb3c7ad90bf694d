"""Whatever an annotation says, the adapters of the video data sets answer with a candidate or a problem."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hazardline.errors import UserError
from hazardline.ingest.accident_rows import AccidentRow, candidate_of, read_accident_entry
from hazardline.ingest.adapter import Candidate, Problem
from hazardline.ingest.adapters.badas import _TABLES
from hazardline.ingest.adapters.badas import _candidate as badas_candidate
from hazardline.ingest.adapters.ccd import _crash
from hazardline.ingest.config import SourceConfig, SourceName
from tests.ingest.datasets import candidates

_WORDS = [
    "",
    "0",
    "1",
    "-1",
    "2.0",
    "30",
    "90",
    "1e9",
    "nan",
    "=A1",
    "١٢",
    "9" * 30,
    "yes",
    "Collision",
    "pos-ego",
    "\0",
]
_VALUE = st.sampled_from(_WORDS) | st.text(max_size=6) | st.integers() | st.floats()
_TITLES = ["id", "type", "weather", "scenes", "accident occurred", "abnormal_start_frame", "accident_frame", "texts"]
_TITLES += ["abnormal_end_frame", "total_frames"]
_ACCIDENT = st.dictionaries(st.sampled_from(_TITLES), _VALUE)
_BADAS = ["id", "Event-type", "Nexar-vehicle-involved", "Time-of-alert", "Time-of-collision", "article_category"]
_INTEGER = st.integers(-(1 << 62), 1 << 62)
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | _INTEGER | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def _is_answered(item: object) -> bool:
    """A candidate, or a problem with a detail of one printable line of at most 400 characters."""
    if isinstance(item, Problem):
        return 0 < len(item.detail) <= 400 and item.detail.isprintable()
    return isinstance(item, Candidate)


@given(_ACCIDENT | _JSON)
def test_accident_rows(entry: Any) -> None:
    row = read_accident_entry("entry", entry)
    item = candidate_of(row, "a", "b", 30.0, "c", None) if isinstance(row, AccidentRow) else row
    assert _is_answered(item), item


@given(st.text() | st.from_regex(r"\A\d{6},\[[01, ]{0,99}\],\d+,[\w-]+,\w*,\w*,\w*\Z"))
def test_lines_of_ccd(text: str) -> None:
    item = _crash("line 1", "".join(text.split()))
    assert _is_answered(item), item


@given(st.fixed_dictionaries({name: st.sampled_from(_WORDS) | st.text(max_size=6) for name in _BADAS}))
def test_rows_of_badas(row: dict[str, str]) -> None:
    items = [badas_candidate(table, "row 1", row, {}) for table in _TABLES]
    assert [item for item in items if not _is_answered(item)] == []


_DOTA = st.fixed_dictionaries({"anomaly_start": _JSON, "anomaly_end": _JSON, "anomaly_class": _JSON}) | _JSON


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=8) | st.just("abcdefghijk_000001"), _DOTA, min_size=1, max_size=3))
def test_entries_of_dota(tmp_path_factory: pytest.TempPathFactory, entries: dict[str, Any]) -> None:
    root = tmp_path_factory.mktemp("dota")
    (root / "metadata_val.json").write_text(json.dumps(entries))
    items = list(candidates(root, SourceConfig(source="dota")))
    assert len(items) == len(entries)
    assert [item for item in items if not _is_answered(item)] == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("mm_au", "dada_text_annotations.xlsx"),
        ("mm_au", "video_metadata.json"),
        ("dada2000", "full_anno.csv"),
        ("ccd", "Crash-1500.txt"),
        ("dota", "metadata_train.json"),
        ("badas", "dad_test_concensus.csv"),
    ],
)
@pytest.mark.parametrize("kind", ["outside", "loop", "folder"])
def test_annotations_that_are_links_or_folders(tmp_path: Path, source: SourceName, name: str, kind: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_text("x")
    if kind == "folder":
        (root / name).mkdir()
    else:
        (root / name).symlink_to(tmp_path / "secret" if kind == "outside" else root / name)
    with pytest.raises(UserError):
        list(candidates(root, SourceConfig(source=source)))

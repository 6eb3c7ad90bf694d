import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hazardline.ingest import xml_tracks
from hazardline.ingest.xml_tracks import TracksError, read_track_labels

GOOD = b"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.0</version>
  <meta><task><size>2</size></task></meta>
  <track id="0" label="car">
    <box frame="0" xtl="1.5" ytl="2" xbr="30" ybr="40" occluded="no" cut="yes"></box>
    <box frame="1" xtl="2.5" ytl="2" xbr="31" ybr="40" occluded="yes" cut="no"></box>
  </track>
  <track id="1" label="person"/>
</annotations>
"""
BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;">]>
<annotations><track id="0" label="&c;"/></annotations>"""
OUTSIDE = b"""<?xml version="1.0"?>
<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations><track id="0" label="&x;"/></annotations>"""


def _labels(folder: Path, data: bytes) -> list[str]:
    path = folder / "tracks.xml"
    path.write_bytes(data)
    return list(read_track_labels(path))


def test_labels_in_the_order_of_the_file(tmp_path: Path) -> None:
    assert _labels(tmp_path, GOOD) == ["car", "person"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (BOMB, "document type or entities"),
        (OUTSIDE, "document type or entities"),
        (b"<!DOCTYPE a><annotations/>", "document type or entities"),
        (GOOD[:300], "not valid XML"),
        (b"", "not valid XML"),
        (b"\x00\x01\x02", "not valid XML"),
        (b"<annotations>\xff</annotations>", "not valid XML"),
        (b'<?xml version="1.0" encoding="no-such"?><annotations/>', "not valid XML"),
        (b"<annotations>&unknown;</annotations>", "not valid XML"),
        (b'<annotations><track id="0"/></annotations>', "a track without a label"),
        (b'<annotations><track label="' + b"x" * 101 + b'"/></annotations>', "a track without a label"),
        (b"<annotations>" + b"<a>" * 100_000, "more than 16 deep"),
    ],
)
def test_what_is_no_annotation_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(TracksError, match=message):
        _labels(tmp_path, data)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TracksError, match="cannot be read"):
        list(read_track_labels(tmp_path))


def test_a_file_over_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_tracks, "MAX_FILE_BYTES", 100_000)
    with pytest.raises(TracksError, match="larger than 100000 bytes"):
        _labels(tmp_path, b"<annotations>" + b"<a/>" * 100_000 + b"</annotations>")


def test_memory_does_not_grow_with_the_tracks(tmp_path: Path) -> None:
    track = b'<track id="0" label="car">' + b'<box frame="0" xtl="1" ytl="2" xbr="3" ybr="4"/>' * 20 + b"</track>\n"
    peaks = []
    for count in (500, 2_000):
        path = tmp_path / "tracks.xml"
        path.write_bytes(b"<annotations>" + track * count + b"</annotations>")
        tracemalloc.start()
        assert sum(1 for _ in read_track_labels(path)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


@given(st.data())
def test_any_damage_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    text = bytearray(GOOD)
    for position in data.draw(st.lists(st.integers(0, len(text) - 1), min_size=1, max_size=4)):
        text[position] = data.draw(st.integers(0, 255))
    try:
        assert len(_labels(tmp_path_factory.getbasetemp(), bytes(text))) <= 2
    except TracksError as error:
        assert str(error)

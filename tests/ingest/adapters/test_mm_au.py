import json
from pathlib import Path
from typing import Any

import pytest

from hazardline.errors import UserError
from hazardline.ingest.adapter import Candidate, Problem
from hazardline.ingest.config import SourceConfig
from hazardline.native import Times
from hazardline.simulate.layouts.xls import xls_bytes
from tests.ingest.datasets import candidates
from tests.ingest.workbooks import write_xlsx

MM_AU = SourceConfig(source="mm_au")
CODES = ["weather(sunny,rainy,snowy,foggy)1-4", "light(day,night)1-2", "scenes(highway,tunnel,mountain,urban,rural)1-5"]
BEFORE = ["video", *CODES, "linear(arterials,curve) 1-5", "type", "whether an accident occurred (1/0)"]
CAP = [*BEFORE, "abnormal start frame", "abnormal end frame", "accident frame", "total frames"]
DADA = [*BEFORE, "abnormal start frame", "accident frame", "abnormal end frame", "total frames"]
AFTER = ["[0,tai]", "[tai,tco]", "[tai,tae]", "[tco,tae]", "[tae,end]", "texts", "causes", "measures"]
TEXTS = ["[CLS]a car hits a car [SEP]", "Too\u00a0fast. ", " Slow  down."]
INTERVALS = ["=H2", "=I2-H2", "=J2-H2", "=J2-I2", "=K2-J2"]


def _cap(root: Path, rows: list[list[Any]], fps: str | None = "video,fps\n001537,10\n") -> list[Candidate | Problem]:
    (root / "cap_text_annotations.xls").write_bytes(xls_bytes("annotation file", [[*CAP, *AFTER], *rows]))
    if fps is not None:
        (root / "fps.csv").write_text(fps)
    return list(candidates(root, MM_AU))


def _dada(root: Path, rows: list[list[Any]], header: list[Any] | None = None) -> list[Candidate | Problem]:
    write_xlsx(root / "dada_text_annotations.xlsx", "Sheet1", [header or [*DADA, *AFTER], *rows])
    return list(candidates(root, MM_AU))


def _row(frames: list[Any], video: Any = 1537, category: Any = 1, occurred: Any = 1, texts: Any = TEXTS) -> list[Any]:
    return [video, 2, 2, 4, 1, category, occurred, *frames, 1, 2, 3, 4, 5, *texts]


def _reasons(items: list[Candidate | Problem]) -> list[str]:
    return [item.reason if isinstance(item, Problem) else "" for item in items]


def test_cap_has_the_abnormal_end_before_the_accident(tmp_path: Path) -> None:
    (item,) = _cap(tmp_path, [_row([20, 55, 30, 90])])
    assert item == Candidate(
        origin="cap_text_annotations.xls row 2",
        clip_id="cap-1-001537",
        video="CAP-DATA/1/001537/images",
        fps=10.0,
        label="crash",
        source="MM-AU-CAP",
        times=Times(pre_crash_start_s=2.0, crash_start_s=3.0, crash_end_s=5.5),
        recording_id="cap:1-001537",
        scenario="type_1",
        weather="rainy",
        light="night",
        scene="urban",
        description="a car hits a car",
        cause="Too fast.",
        prevention="Slow down.",
    )


def test_dada_has_it_behind_and_thirty_frames_a_second(tmp_path: Path) -> None:
    (item,) = _dada(tmp_path, [_row([60, 90, 165, 270])])
    assert isinstance(item, Candidate)
    assert (item.clip_id, item.source, item.fps) == ("dada-1-1537", "MM-AU-DADA", 30.0)
    assert item.times == Times(pre_crash_start_s=2.0, crash_start_s=3.0, crash_end_s=5.5)


def test_columns_are_found_by_name_in_any_order_and_spelling(tmp_path: Path) -> None:
    header = [" Total\u00a0Frames", "ACCIDENT  frame", "Type", "Whether an accident occurred(1/0)", "other", "video"]
    header += ["Abnormal End Frame ", "abnormal start frame", "weather (foggy,sunny)1-2"]
    (item,) = _dada(tmp_path, [[270, 90, 3, 1, "x", "001", 165, 60, 1]], header)
    assert isinstance(item, Candidate)
    assert (item.clip_id, item.weather, item.light, item.description) == ("dada-3-001", "foggy", "unknown", None)
    assert item.times.crash_start_s == 3.0


def test_columns_that_are_missing_or_doubled(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no column video, whether an accident occurred, total frames; found type, acc"):
        _dada(tmp_path, [], ["type", "accident frame", "abnormal start frame", "abnormal end frame"])
    with pytest.raises(UserError, match="two columns 'accident frame'"):
        _dada(tmp_path, [], [*DADA, "accident frame"])
    with pytest.raises(UserError, match="the sheet is empty"):
        _dada(tmp_path, [], [None])


def test_the_interval_columns_are_neither_evaluated_nor_believed(tmp_path: Path) -> None:
    row = [*_row([60, 90, 165, 270])[:11], "=1/0", "=I2-H2", 999, "=cmd|'/c calc'!A1", -5, *TEXTS]
    (item,) = _dada(tmp_path, [row])
    assert isinstance(item, Candidate) and item.times.crash_start_s == 3.0


def test_a_formula_where_a_value_is_needed(tmp_path: Path) -> None:
    items = _dada(tmp_path, [_row([60, "=H2+30", 165, 270]), _row([60, 90, 165, 270], texts=["=A1", "b", "c"])])
    assert _reasons(items) == ["bad_annotation"] * 2
    assert isinstance(items[0], Problem) and "a formula under accident frame; formulas are not eval" in items[0].detail


def test_dadas_numbers_repeat_across_types(tmp_path: Path) -> None:
    frames = [60, 90, 165, 270]
    items = _dada(tmp_path, [_row(frames, "001", 1), _row(frames, 1, 2), _row(frames, 1.0, 62)])
    assert [item.clip_id for item in items] == ["dada-1-001", "dada-2-001", "dada-62-001"]
    assert [item.video for item in items] == [f"DADA-DATA/{n}/001/images" for n in (1, 2, 62)]


@pytest.mark.parametrize("frames", [[90, 90, 165, 270], [91, 90, 165, 270], [60, 166, 165, 270], [60, 90, 271, 270]])
def test_times_out_of_order_are_a_problem(tmp_path: Path, frames: list[int]) -> None:
    (item,) = _dada(tmp_path, [_row(frames)])
    assert isinstance(item, Problem)
    assert (item.clip_id, item.reason) == ("dada-1-1537", "times_out_of_order")
    said = f"t_ai {frames[0]}, t_co {frames[1]}, t_ae {frames[2]}, total 270 break t_ai < t_co <= t_ae <= total"
    assert item.detail == f"dada_text_annotations.xlsx row 2: {said}"


def test_a_crash_that_ends_with_its_first_frame_has_no_length(tmp_path: Path) -> None:
    (item,) = _dada(tmp_path, [_row([0, 90, 90, 90])])
    assert isinstance(item, Candidate)
    assert item.times == Times(pre_crash_start_s=0.0, crash_start_s=3.0)


def test_no_accident_is_a_near_miss_where_something_is_marked(tmp_path: Path) -> None:
    marked = [[60, 90, 165, 270], [None, 90, None, 270], [60, None, 165, 270]]
    unmarked = [[None, None, None, 270], [0, 0, 0, 270], [-1, -1, -1, 270]]
    items = _dada(tmp_path, [_row(frames, number, 1, 0) for number, frames in enumerate([*marked, *unmarked])])
    assert [item.label for item in items if isinstance(item, Candidate)] == ["near_miss"] * 3 + ["normal"] * 3
    times = [item.times for item in items if isinstance(item, Candidate)]
    assert times[:3] == [
        Times(pre_crash_start_s=2.0, event_s=3.0),
        Times(event_s=3.0),
        Times(pre_crash_start_s=2.0),
    ]
    assert times[3:] == [Times()] * 3
    (late,) = _dada(tmp_path, [_row([100, 90, 165, 270], occurred=0)])
    assert isinstance(late, Problem) and late.reason == "times_out_of_order"


def test_rows_that_cannot_be_understood(tmp_path: Path) -> None:
    good = [60, 90, 165, 270]
    rows = [
        _row(good, video="one"),
        _row(good, category=None),
        _row(good, occurred=2),
        _row(good, occurred=None),
        _row([60, "soon", 165, 270]),
        _row([-1, 90, 165, 270]),
        _row([60, 90, 165, None]),
        _row([60.5, 90, 165, 270]),
        _row(good)[:9],
    ]
    items = _dada(tmp_path, rows)
    assert _reasons(items) == ["bad_annotation"] * len(rows)
    assert items[0].clip_id == "dada_text_annotations.xlsx row 2"
    assert all(item.clip_id == "dada-1-1537" for item in items[2:])


def test_codes_that_mean_nothing_are_unknown(tmp_path: Path) -> None:
    rows = [_row([60, 90, 165, 270]) for _ in range(3)]
    rows[0][1:4] = [7, 0, 2]
    rows[1][1:4] = ["Snowy", "Day", "mountain"]
    rows[2][1:4] = [None, "", "x"]
    found = [(i.weather, i.light, i.scene) for i in _dada(tmp_path, rows) if isinstance(i, Candidate)]
    assert found == [("unknown",) * 3, ("snowy", "day", "rural"), ("unknown",) * 3]


def test_a_wrong_rate_is_never_guessed(tmp_path: Path) -> None:
    rates = "type,video,fps\n1,1537,30\n1,1538,10\n2,001538,30.0\n3,9,10\n3,9,30\n"
    keys = [(1537, 1), (1538, 1), (1538, 2), (1537, 2), (9, 3)]
    items = _cap(tmp_path, [_row([30, 90, 60, 90], video, kind) for video, kind in keys], rates)
    starts = [item.times.crash_start_s for item in items if isinstance(item, Candidate)]
    assert starts == [2.0, 6.0, 2.0]
    assert _reasons(items) == ["", "", "", "unknown_rate", "unknown_rate"]
    assert isinstance(items[3], Problem)
    assert items[3].clip_id == "cap-2-001537" and "fps.csv gives no rate, or several, for type 2" in items[3].detail


def test_ara_is_not_read_and_its_lost_zeros_do_no_harm(tmp_path: Path) -> None:
    head = "video_id,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4,video_name,video"
    ara = f"{head}\n1/001537,90,1584,660,What is the reason?,0,7,1,a,b,c,d,e,cap_1_001537,1537\n"
    (tmp_path / "ArA.csv").write_text(ara)
    video = ara.splitlines()[1].rsplit(",", 1)[1]
    (item,) = _cap(tmp_path, [_row([30, 90, 60, 90])], f"video,fps\n{video},10\n")
    assert isinstance(item, Candidate) and (item.fps, item.pairs) == (10.0, ())
    assert "/001537/" in item.video


def test_without_a_table_of_rates_it_says_what_to_write_why_and_where(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        _cap(tmp_path, [_row([30, 90, 60, 90])], fps=None)
    for part in (str(tmp_path), "no fps.csv", "10 or 30", "factor of three", "`video,fps`", "ingest.fps_manifest"):
        assert part in str(caught.value)


def test_the_table_of_rates_may_have_another_name(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/rates.csv").write_text("fps,video\n30,001537\n")
    (tmp_path / "cap_text_annotations.xls").write_bytes(
        xls_bytes("annotation file", [[*CAP, *AFTER], _row([30, 90, 60, 90])])
    )
    (item,) = candidates(tmp_path, SourceConfig(source="mm_au", fps_manifest="tables/rates.csv"))
    assert isinstance(item, Candidate) and item.fps == 30.0


@pytest.mark.parametrize(
    "row", ["001537,0", "001537,-10", "001537,nan", "001537,fast", "001537,1000", "001537,", "x,10"]
)
def test_a_table_of_rates_that_is_wrong(tmp_path: Path, row: str) -> None:
    with pytest.raises(UserError, match=r"fps\.csv row 2: "):
        _cap(tmp_path, [_row([30, 90, 60, 90])], f"video,fps\n{row}\n")


def test_caps_categories_lie_in_groups_of_any_name(tmp_path: Path) -> None:
    for folder in ("1-10/1/001537", "11/11/000002", "12-62/30/000003"):
        frames = tmp_path / f"CAP-DATA/{folder}/images"
        frames.mkdir(parents=True)
        (frames / "000001.jpg").touch()
    rows = [_row([20, 55, 30, 90], number, kind) for number, kind in ((1537, 1), (2, 11), (3, 30), (4, 30), (5, 62))]
    items = _cap(tmp_path, rows, "video,fps\n" + "".join(f"{n},10\n" for n in (1537, 2, 3, 4, 5)))
    assert [item.video.removesuffix("/images") for item in items] == [
        "CAP-DATA/1-10/1/001537",
        "CAP-DATA/11/11/000002",
        "CAP-DATA/12-62/30/000003",
        "CAP-DATA/12-62/30/000004",
        "CAP-DATA/62/000005",
    ]


def _entry(video: str, kind: str = "1", name: str = "", **more: Any) -> dict[str, Any]:
    times = {"t_ai": "20", "t_co": "10", "t_ae": "25"}
    frames = {"abnormal_start_frame": "20", "abnormal_end_frame": "55", "accident_frame": "30", "total_frames": "90"}
    codes = {"weather": "3", "light": "1", "scenes": "1", "linear": "1", "accident occurred": "1"}
    texts = {"texts": TEXTS[0], "causes": TEXTS[1], "measures": TEXTS[2]}
    return {"video_name": name or video, "id": video, "type": kind, **codes, **frames, **times, **texts, **more}


def test_the_metadata_stands_in_for_sheets(tmp_path: Path) -> None:
    entries = {
        "a1": _entry("001537"),
        "b2": _entry("001", "2"),
        "c3": _entry("7", name="dada_1_007"),
        "d4": _entry("7"),
        "e5": "text",
        "f6": _entry("001537", accident_frame=""),
    }
    (tmp_path / "video_metadata.json").write_text(json.dumps(entries))
    (tmp_path / "fps.csv").write_text("video,fps\n001537,10\n")
    items = list(candidates(tmp_path, MM_AU))
    assert [i.clip_id for i in items[:3]] == ["cap-1-001537", "dada-2-001", "dada-1-007"]
    first = items[0]
    assert isinstance(first, Candidate)
    assert first.times == Times(pre_crash_start_s=2.0, crash_start_s=3.0, crash_end_s=5.5)
    assert (first.weather, first.light, first.scene) == ("snowy", "day", "highway")
    assert (first.description, first.cause, first.prevention) == ("a car hits a car", "Too fast.", "Slow down.")
    assert _reasons(items[3:]) == ["bad_annotation"] * 3


def test_a_sheet_goes_before_the_metadata(tmp_path: Path) -> None:
    (tmp_path / "video_metadata.json").write_text(json.dumps({"a": _entry("001537"), "b": _entry("001", "2")}))
    items = _cap(tmp_path, [_row([20, 55, 30, 90])])
    assert [item.clip_id for item in items] == ["cap-1-001537", "dada-2-001"]
    assert items[0].origin == "cap_text_annotations.xls row 2" if isinstance(items[0], Candidate) else False


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"a": ', '{"a": {"id": "001537"}, "a', "null", '{"a":' * 100_000, "\xff", '{"a": ' + "9" * 5000],
)
def test_metadata_that_is_broken(tmp_path: Path, text: str) -> None:
    (tmp_path / "video_metadata.json").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"video_metadata\.json: "):
        list(candidates(tmp_path, MM_AU))


def test_metadata_with_an_endless_entry(tmp_path: Path) -> None:
    (tmp_path / "video_metadata.json").write_text('{"a": {"id": "' + "x" * (5 << 20) + '"}}')
    with pytest.raises(UserError, match="item 0 is longer than"):
        list(candidates(tmp_path, MM_AU))


def test_a_folder_without_mm_au(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no MM-AU here; expected one of cap_text_annotations\.xls, dada_text_ann"):
        list(candidates(tmp_path, MM_AU))

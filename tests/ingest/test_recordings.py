"""Two data sets' clips of one recording are one group, by their adapters and the split's own grouping."""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from hazardline.ingest.adapter import Candidate
from hazardline.ingest.config import SourceConfig, SourceName
from hazardline.simulate.layouts.xls import xls_bytes
from tests.ingest.adapters.test_crashchat import CRASH, records
from tests.ingest.adapters.test_drama import row as drama_row
from tests.ingest.datasets import candidates
from tests.ingest.workbooks import write_xlsx
from tests.split.tables import grouped, scene

SHEET = ["video", "type", "whether an accident occurred (1/0)", "abnormal start frame", "accident frame"]
SHEET += ["abnormal end frame", "total frames"]
NEGATIVE = {"crash_recognition": "No"}


def clips(root: Path, source: SourceName, lay: Callable[[Path], Any]) -> list[dict[str, Any]]:
    """Rows of the scenes table, as the adapter names clip, source and recording."""
    folder = root / source
    folder.mkdir(parents=True)
    lay(folder)
    return rows(candidates(folder, SourceConfig(source=source)))


def rows(items: Iterable[object]) -> list[dict[str, Any]]:
    found = []
    for item in items:
        assert isinstance(item, Candidate), item
        found.append(scene(item.clip_id, item.label, source=item.source, recording_id=item.recording_id))
    return found


def ccd(recording: str) -> Callable[[Path], Any]:
    line = f"000001,[{','.join(['0'] * 30 + ['1'] * 20)}],285,{recording},Day,Normal,Yes\n"
    return lambda root: (root / "Crash-1500.txt").write_text(line)


def dota(clip: str) -> Callable[[Path], Any]:
    entry = {"anomaly_start": 4, "anomaly_end": 7, "anomaly_class": "ego: turning"}
    return lambda root: (root / "metadata_train.json").write_text(json.dumps({clip: entry}))


def badas(stem: str, table: str) -> Callable[[Path], Any]:
    header = "id,Event-type,Nexar-vehicle-involved,Time-of-alert,Time-of-collision,article_category"
    text = f"{header}\n{stem}.mp4,Collision,yes,2.3,5.7,pos-ego\n"
    return lambda root: (root / f"{table}_test_concensus.csv").write_text(text)


def sheet(name: str, category: int, number: int) -> Callable[[Path], Any]:
    line = [number, category, 1, 60, 90, 165, 270]
    return lambda root: write_xlsx(root / name, "Sheet1", [SHEET, line])


def cap(category: int, number: int) -> Callable[[Path], Any]:
    def lay(root: Path) -> None:
        line = [number, category, 1, 60, 90, 165, 270]
        (root / "cap_text_annotations.xls").write_bytes(xls_bytes("annotation file", [SHEET, line]))
        (root / "fps.csv").write_text(f"video,fps\n{number:06},10\n")

    return lay


def crashchat(stem: str, source: str, is_crash: bool = True) -> Callable[[Path], Any]:
    found = records(stem, CRASH if is_crash else NEGATIVE, source)  # type: ignore[arg-type]
    return lambda root: (root / "a_test.json").write_text(json.dumps(found))


def video(name: str) -> Callable[[Path], Any]:
    return lambda root: (root / f"{name}.mp4").touch()


def nexar(number: int) -> Callable[[Path], Any]:
    return lambda root: (root / "train.csv").write_text(f"id,time_of_event,time_of_alert,target\n{number:05},,,0\n")


Laid = tuple[SourceName, Callable[[Path], Any]]
DADA_SHEET = "dada_text_annotations.xlsx"
ALIKE: dict[str, tuple[Laid, Laid]] = {
    "youtube, CCD and DoTA": (("ccd", ccd("-e_DaoY9xYE")), ("dota", dota("-e_DaoY9xYE_000199"))),
    "youtube, CCD and BADAS": (("ccd", ccd("-e_DaoY9xYE")), ("badas", badas("-e_DaoY9xYE_000200", "dota"))),
    "youtube, DoTA and BADAS": (("dota", dota("a_b-cdefghi_000001")), ("badas", badas("a_b-cdefghi_000001", "dota"))),
    "DADA-2000 and MM-AU": (("dada2000", sheet("full_anno.xlsx", 10, 68)), ("mm_au", sheet(DADA_SHEET, 10, 68))),
    "DADA-2000 and BADAS": (
        ("dada2000", sheet("full_anno.xlsx", 10, 68)),
        ("badas", badas("10_068", "dada2000_small")),
    ),
    "BADAS and CrashChat, DADA": (
        ("badas", badas("10_068", "dada2000_small")),
        ("crashchat", crashchat("dada_10_068", "MM-AU-DADA")),
    ),
    "MM-AU and CrashChat, CAP": (("mm_au", cap(21, 8073)), ("crashchat", crashchat("cap_21_008073", "MM-AU-CAP"))),
    "D2-City and CrashChat": (
        ("d2_city", video("d2city_1002_0626")),
        ("crashchat", crashchat("d2city_1002_0626", "D2City", False)),
    ),
}
APART: dict[str, tuple[Laid, Laid]] = {
    "CAP and DADA": (("mm_au", cap(10, 68)), ("dada2000", sheet("full_anno.xlsx", 10, 68))),
    "another type of DADA": (("mm_au", sheet(DADA_SHEET, 11, 68)), ("dada2000", sheet("full_anno.xlsx", 10, 68))),
    "DAD's number is not DADA's": (("badas", badas("10_068", "dad")), ("dada2000", sheet("full_anno.xlsx", 10, 68))),
    "no YouTube id": (("ccd", ccd("abc-_123")), ("dota", dota("abc-_123_000001"))),
    "D2-City's clips of one part": (
        ("d2_city", video("d2city_1002_0627")),
        ("crashchat", crashchat("d2city_1002_0626", "D2City", False)),
    ),
    "CrashChat counts Nexar's clips anew": (
        ("nexar", nexar(753)),
        ("crashchat", crashchat("nexar_0753", "Nexar", False)),
    ),
    "a source that the name contradicts": (
        ("mm_au", cap(21, 8073)),
        ("crashchat", crashchat("cap_21_008073", "MyFleet")),
    ),
}


def groups_of(root: Path, pair: tuple[Laid, Laid]) -> dict[str, str]:
    found = [row for source, lay in pair for row in clips(root, source, lay)]
    assert len(found) == 2
    return grouped(found)


@pytest.mark.parametrize("pair", ALIKE.values(), ids=ALIKE)
def test_clips_of_one_recording_in_two_data_sets_are_one_group(tmp_path: Path, pair: tuple[Laid, Laid]) -> None:
    assert len(set(groups_of(tmp_path, pair).values())) == 1


@pytest.mark.parametrize("pair", APART.values(), ids=APART)
def test_ids_that_only_look_alike_stay_apart(tmp_path: Path, pair: tuple[Laid, Laid]) -> None:
    assert len(set(groups_of(tmp_path, pair).values())) == 2


def test_hazardqas_images_are_grouped_with_dramas(tmp_path: Path) -> None:
    def annotate(root: Path) -> None:
        (root / "integrated_output_v2.json").write_text(json.dumps([drama_row()]))

    def ask(root: Path) -> None:
        annotate(root)
        columns = "image,image_id,category_topic,question,chain_of_thought,answer"
        line = "image_0.png,0,Weather and Visibility Conditions,Is it raining?,The road is dry.,No"
        (root / "test.csv").write_text(f"{columns}\n{line}\n")

    found = clips(tmp_path, "drama", annotate) + clips(tmp_path, "hazardqa", ask)
    assert [row["source"] for row in found] == ["drama", "hazardqa"]
    assert len(set(grouped(found).values())) == 1


_REAL = os.environ.get("HAZARDLINE_TEST_ANNOTATIONS")


@pytest.mark.skipif(_REAL is None, reason="HAZARDLINE_TEST_ANNOTATIONS names no folder of real annotations")
def test_every_clip_of_badas_on_dota_joins_dotas_own() -> None:
    root = Path(str(_REAL))
    dota = rows(candidates(root / "dota", SourceConfig(source="dota")))
    badas = rows(candidates(root / "badas", SourceConfig(source="badas")))
    on_dota = [row for row in badas if row["source"] == "BADAS-DoTA"]
    assert len(on_dota) == 598
    group = grouped([*dota, *badas])
    for row in on_dota:
        assert group[row["clip_id"]] == group[row["clip_id"].replace("badas-dota-", "dota-")]
    # DoTA is cut from 190 videos; the other tables of BADAS are about none of them
    assert len({group[row["clip_id"]] for row in dota}) == 190
    others = {group[row["clip_id"]] for row in badas if row["source"] != "BADAS-DoTA"}
    assert len(others) == len(badas) - 598 and not others & {group[row["clip_id"]] for row in dota}

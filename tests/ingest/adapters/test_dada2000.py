from pathlib import Path

import pytest

from hazardline.errors import UserError
from hazardline.ingest.adapter import Candidate
from hazardline.ingest.config import SourceConfig
from hazardline.native import Times
from tests.ingest.datasets import candidates
from tests.ingest.workbooks import write_xlsx

DADA = SourceConfig(source="dada2000")
HEADER = ["video", "weather(sunny,rainy,snowy,foggy)1-4", "type", "whether an accident occurred (1/0)"]
HEADER += ["abnormal start frame", "accident frame", "abnormal end frame", "total frames", "[0,tai]"]
ROWS = [[1, 1, 1, 1, 60, 90, 165, 270, "=E2"], [1, 2, 2, 1, 60, 90, 165, 270, "=E3"], [2, 1, 2, 1, 99, 90, 165, 270, 0]]


TIMES = Times(pre_crash_start_s=2.0, crash_start_s=3.0, crash_end_s=5.5)
READ = [
    ("dada2000-1-001", "dada:1-001", "DADA-2000", "DADA_dataset/1/001/images", 30.0, "sunny", TIMES),
    ("dada2000-2-001", "dada:2-001", "DADA-2000", "DADA_dataset/2/001/images", 30.0, "rainy", TIMES),
    "times_out_of_order",
]
"""What the rows are read as."""


def _read(root: Path) -> list[tuple[object, ...] | str]:
    return [
        (item.clip_id, item.recording_id, item.source, item.video, item.fps, item.weather, item.times)
        if isinstance(item, Candidate)
        else item.reason
        for item in candidates(root, DADA)
    ]


def test_a_spreadsheet(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "full_sequence_annotations.xlsx", "Sheet1", [HEADER, *ROWS])
    assert _read(tmp_path) == READ


def test_a_table_with_commas(tmp_path: Path) -> None:
    lines = [",".join(f'"{cell}"' for cell in row) for row in [HEADER, *ROWS]]
    (tmp_path / "full_anno.csv").write_text("\n".join(lines) + "\n")
    assert _read(tmp_path) == READ


def test_copies_of_a_clip_in_mm_au_share_its_recording(tmp_path: Path) -> None:
    for name in ("full_sequence_annotations.xlsx", "dada_text_annotations.xlsx"):
        write_xlsx(tmp_path / name, "Sheet1", [HEADER, *ROWS[:2]])
    own = [item.recording_id for item in candidates(tmp_path, DADA) if isinstance(item, Candidate)]
    other = candidates(tmp_path, SourceConfig(source="mm_au"))
    assert own == [item.recording_id for item in other if isinstance(item, Candidate)] and len(set(own)) == 2


def test_a_folder_without_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no DADA-2000 here; expected DADA_dataset and its table"):
        list(candidates(tmp_path, DADA))
    (tmp_path / "full_anno.csv").write_text("video,type\n1,1\n")
    with pytest.raises(UserError, match="no column whether an accident occurred"):
        list(candidates(tmp_path, DADA))

import csv
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hazardline.errors import UserError
from hazardline.hazardnet import TOPICS, final_answer, reasoning_of
from hazardline.ingest.adapter import Candidate, Problem
from hazardline.ingest.adapters.drama import FILE_NAME
from hazardline.ingest.config import SourceConfig
from tests.ingest.adapters.test_drama import row as drama_row
from tests.ingest.datasets import candidates, in_process

HAZARDQA = SourceConfig(source="hazardqa")
COLUMNS = ["image", "image_id", "category_topic", "question", "chain_of_thought", "answer"]
TOPIC_NAMES = list(TOPICS.values())


def picture(seed: int, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 42), (seed % 256, 40, 90)).save(buffer, kind)
    return buffer.getvalue()


def row(image_id: Any = 7, topic: Any = TOPIC_NAMES[0], **more: Any) -> dict[str, Any]:
    """A row as the hub has it."""
    seed = image_id if isinstance(image_id, int) else 0
    return {
        "image": {"bytes": picture(seed), "path": f"image_{image_id}.png"},
        "image_id": image_id,
        "category_topic": topic,
        "question": "What types of vehicles are present?",
        "chain_of_thought": "I observe a parked car.",
        "answer": "There is a parked car.",
        **more,
    }


def _hub(root: Path, **files: list[dict[str, Any]]) -> Path:
    (root / "data").mkdir(parents=True, exist_ok=True)
    for name, rows in files.items():
        pq.write_table(pa.Table.from_pylist(rows), root / "data" / f"{name}-00000-of-00001.parquet")
    return root


def _csv(path: Path, rows: list[dict[str, Any]], columns: list[str] = COLUMNS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows([{column: row.get(column, "") for column in columns} for row in rows])
    return path


def _read(root: Path) -> tuple[dict[str, Candidate], list[Problem]]:
    items = list(candidates(root, HAZARDQA))
    found = {item.clip_id: item for item in items if isinstance(item, Candidate)}
    return found, [item for item in items if isinstance(item, Problem)]


def test_rows_of_an_image_are_one_clip_with_its_bytes(tmp_path: Path) -> None:
    found, problems = _read(_hub(tmp_path, train=[row(7, topic) for topic in TOPIC_NAMES]))
    assert not problems and list(found) == ["hazardqa-7"]
    item = found["hazardqa-7"]
    assert (item.video, item.content, item.label) == ("image_7.png", picture(7), "near_miss")
    assert (item.published_split, item.location, item.recording_id) == ("train", "Tokyo", None)
    assert [pair.task for pair in item.pairs] == list(TOPICS)
    pair = item.pairs[0]
    assert pair.question == "What types of vehicles are present?"
    assert (reasoning_of(pair.answer), final_answer(pair.answer)) == (
        "I observe a parked car.",
        "There is a parked car.",
    )


def test_rows_of_an_image_need_not_stand_together(tmp_path: Path) -> None:
    rows = [row(image_id, topic) for topic in TOPIC_NAMES[:5] for image_id in range(40)]
    found, problems = _read(_hub(tmp_path, train=rows[:100], **{"train-2": rows[100:]}))
    assert not problems and list(found) == [f"hazardqa-{n}" for n in range(40)]
    assert {len(item.pairs) for item in found.values()} == {5}
    assert all(item.content == picture(n) for n, item in enumerate(found.values()))


def test_the_split_is_in_the_name_of_the_file(tmp_path: Path) -> None:
    found, _ = _read(_hub(tmp_path, train=[row(1)], validation=[row(2)], test=[row(3)]))
    assert {clip_id: item.published_split for clip_id, item in found.items()} == {
        "hazardqa-1": "train",
        "hazardqa-2": "validation",
        "hazardqa-3": "test",
    }


def test_an_image_in_two_splits_is_a_problem(tmp_path: Path) -> None:
    found, (problem,) = _read(_hub(tmp_path, train=[row(1), row(2)], test=[row(2, TOPIC_NAMES[1])]))
    assert list(found) == ["hazardqa-1"]
    assert (problem.clip_id, problem.reason) == ("hazardqa-2", "bad_annotation")
    assert "image 2 is in more than one split: test, train" in problem.detail


@pytest.mark.parametrize("image_id", ["7", 7.0, " 7 ", "7.0"])
def test_an_id_may_be_a_number_or_a_text(tmp_path: Path, image_id: Any) -> None:
    found, problems = _read(_hub(tmp_path, train=[{**row(7), "image_id": image_id}]))
    assert not problems and list(found) == ["hazardqa-7"]


@pytest.mark.parametrize("image_id", ["../7", "", None, "x" * 101, "é", 7.5e300])
def test_an_id_that_names_no_file_is_a_problem(tmp_path: Path, image_id: Any) -> None:
    found, (problem,) = _read(_hub(tmp_path, train=[{**row(7), "image_id": image_id}]))
    assert not found and problem.clip_id == "data/train-00000-of-00001.parquet row 0"
    assert "image_id is no number and no short name" in problem.detail


def test_rows_that_cannot_be_used_are_named_and_the_image_stays(tmp_path: Path) -> None:
    bad = [
        row(7, "Hazards and Risks"),
        row(7, question=""),
        row(7, answer=None),
        row(7, answer="x" * 10_001),
        row(7, category_topic=None),
    ]
    found, problems = _read(_hub(tmp_path, train=[*bad, row(7, " object  detection AND recognition")]))
    assert [len(item.pairs) for item in found.values()] == [1]
    assert [p.clip_id for p in problems] == [f"data/train-00000-of-00001.parquet row {n}" for n in range(5)]
    assert "category_topic is none of the seven: 'Hazards and Risks'" in problems[0].detail


def test_an_image_of_which_no_row_is_good_is_no_clip(tmp_path: Path) -> None:
    found, problems = _read(_hub(tmp_path, train=[row(7, "Hazards and Risks"), row(8)]))
    assert list(found) == ["hazardqa-8"] and len(problems) == 1


def test_the_other_name_of_the_reasoning(tmp_path: Path) -> None:
    """The released script asks for `chain_of_thought` and reads `thinking`."""
    renamed = {("thinking" if key == "chain_of_thought" else key): value for key, value in row().items()}
    found, _ = _read(_hub(tmp_path, train=[renamed]))
    assert reasoning_of(found["hazardqa-7"].pairs[0].answer) == "I observe a parked car."


@pytest.mark.parametrize("reasoning", [None, "", "  "])
def test_without_reasoning_the_answer_stands_alone(tmp_path: Path, reasoning: str | None) -> None:
    found, _ = _read(_hub(tmp_path, train=[row(chain_of_thought=reasoning)]))
    assert found["hazardqa-7"].pairs[0].answer == "There is a parked car."


def test_csv_with_images_beside_it(tmp_path: Path) -> None:
    for split, image_id in (("train", 7), ("test", 8)):
        (tmp_path / split).mkdir()
        (tmp_path / split / f"image_{image_id}.png").write_bytes(picture(image_id))
    _csv(tmp_path / "train.csv", [{**row(7, topic), "image": "train/image_7.png"} for topic in TOPIC_NAMES[:2]])
    columns = ["file_name", *COLUMNS[1:]]
    _csv(tmp_path / "test/metadata.csv", [{**row(8), "file_name": "image_8.png"}], columns)
    scenes, problems = in_process(tmp_path, HAZARDQA)
    assert not problems
    assert [(s["clip_id"], s["published_split"], s["codec"]) for s in scenes] == [
        ("hazardqa-7", "train", "png"),
        ("hazardqa-8", "test", "png"),
    ]
    found, _ = _read(tmp_path)
    assert found["hazardqa-7"].video == "train/image_7.png" and found["hazardqa-7"].content is None
    assert len(found["hazardqa-7"].pairs) == 2


def test_csv_that_is_not_utf8(tmp_path: Path) -> None:
    path = _csv(tmp_path / "train.csv", [{**row(7), "image": "a.png"}, {**row(7, TOPIC_NAMES[1]), "image": "a.png"}])
    path.write_bytes(path.read_bytes().replace(b"parked car.,There", b"park\xffd car.,There", 1))
    found, (problem,) = _read(tmp_path)
    assert "chain_of_thought is not valid UTF-8" in problem.detail and len(found["hazardqa-7"].pairs) == 1


def test_a_path_cannot_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(picture(1))
    _csv(tmp_path / "root/train.csv", [{**row(7), "image": "../secret.png"}])
    scenes, problems = in_process(tmp_path / "root", HAZARDQA)
    assert not scenes and [p.reason for p in problems.values()] == ["path_outside_root"]


def test_embedded_images_may_be_jpeg_or_plain_bytes_and_nothing_else(tmp_path: Path) -> None:
    jpeg = row(1, image={"bytes": picture(1, "JPEG"), "path": None})
    gif = row(2, image={"bytes": picture(2, "GIF"), "path": "a.png"})
    none = row(3, image={"bytes": None, "path": None})
    found, problems = _read(_hub(tmp_path, train=[jpeg, gif, none]))
    assert found["hazardqa-1"].video == "image_1.jpg"
    assert {p.clip_id: p.detail.partition(": ")[2] for p in problems} == {
        "hazardqa-2": "the image is no PNG or JPEG of at most 67108864 bytes",
        "hazardqa-3": "no image, and no path of one",
    }
    found, _ = _read(_hub(tmp_path / "plain", train=[row(4, image=picture(4))]))
    assert found["hazardqa-4"].content == picture(4)


def test_dramas_annotation_says_whether_there_is_a_risk(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(
        json.dumps([drama_row(Risk="No"), drama_row("clip_7_1"), drama_row(Risk="?"), "x"]), encoding="utf-8"
    )
    found, problems = _read(_hub(tmp_path, train=[row(n) for n in range(5)]))
    assert not problems
    assert [(item.label, item.recording_id) for item in found.values()] == [
        ("normal", "drama:titan/clip_305"),
        ("near_miss", "drama:titan/clip_7"),
        ("near_miss", None),
        ("near_miss", None),
        ("near_miss", None),
    ]


def test_folders_that_are_not_hazardqas(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no parquet or csv file here; expected HazardQA's table"):
        _read(tmp_path)
    _csv(tmp_path / "train.csv", [row()], ["image", "question"])
    with pytest.raises(UserError, match=r"train\.csv: no column chain_of_thought or thinking; found image, question"):
        _read(tmp_path)
    _hub(tmp_path, train=[{"image_id": 7}])
    with pytest.raises(UserError, match=r"\.parquet: no column image or file_name; found image_id"):
        _read(tmp_path)


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    peaks = []
    for count in (200, 1_600):
        root = _hub(tmp_path / str(count), train=[row(n, topic) for n in range(count) for topic in TOPIC_NAMES[:5]])
        tracemalloc.start()
        assert sum(isinstance(item, Candidate) for item in candidates(root, HAZARDQA)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 200_000  # the rows themselves would take more than 2 MB


_ANY = (
    st.none() | st.booleans() | st.floats() | st.integers(-(2**62), 2**62) | st.text(max_size=9) | st.binary(max_size=9)
)


@given(st.dictionaries(st.sampled_from(COLUMNS), _ANY, max_size=4))
def test_any_row_is_a_candidate_or_a_problem(tmp_path_factory: pytest.TempPathFactory, more: dict[str, Any]) -> None:
    root = tmp_path_factory.getbasetemp() / "any"
    (item,) = candidates(_hub(root, train=[{**row(), **more}]), HAZARDQA)
    assert isinstance(item, Candidate | Problem)

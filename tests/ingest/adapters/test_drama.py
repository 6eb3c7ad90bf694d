import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hazardline.errors import UserError
from hazardline.hazardnet import parse_classification
from hazardline.ingest.adapter import Candidate, Problem
from hazardline.ingest.adapters.drama import FILE_NAME
from hazardline.ingest.config import SourceConfig
from tests.ingest.datasets import candidates, in_process

DRAMA = SourceConfig(source="drama")
ADDRESS = "https://s3-us-west-2.amazonaws.com/hrius.scaleapi/data/drama/combined/titan"
CORNERS = [[1313, 716], [1409, 716], [1409, 1003], [1313, 1003]]


def row(clip: str = "clip_305_000786", **more: Any) -> dict[str, Any]:
    """A row as DRAMA has it, with the columns that are read."""
    frame = f"frame_{clip.rpartition('_')[2]}.png"
    return {
        "s3_fileUrl": f"{ADDRESS}/{clip}/{frame}",
        "s3_instructionReference": f"{ADDRESS}/{clip}/movie.gif",
        "Risk": "Yes",
        "Suggestions (to the ego car)": "Yield",
        "Intention of Ego-vehicle": "Straight",
        "Caption": "There is a pedestrian on the left side.",
        "Scene Classifier": "Narrow lane",
        "geometry": CORNERS,
        "Agent-classifier": "Pedestrian",
        "Attributes of pedestrian": ["wearing white t-shirt"],
        "vehicle_motion_direction": [],
        "infrastructure_name": "N/A",
        **more,
    }


def _write(root: Path, rows: list[Any]) -> Path:
    (root / FILE_NAME).write_text(json.dumps(rows), encoding="utf-8")
    return root


def _one(root: Path, **more: Any) -> Candidate:
    (item,) = candidates(_write(root, [row(**more)]), DRAMA)
    assert isinstance(item, Candidate), item
    return item


def test_an_image_is_a_clip_of_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "combined/titan/clip_305_000786/frame_000786.png"
    path.parent.mkdir(parents=True)
    Image.effect_noise((64, 48), 50).save(path)
    (scene,), problems = in_process(_write(tmp_path, [row()]), DRAMA)
    assert not problems
    assert (scene["clip_id"], scene["label"]) == ("drama-titan-clip_305_000786-frame_000786", "near_miss")
    assert (scene["num_frames"], scene["codec"], scene["location"]) == (1, "png", "Tokyo")
    assert scene["agents"] == ["pedestrian"]
    assert scene["description"] == "There is a pedestrian on the left side."
    assert parse_classification(scene["classification"]) == {
        "SceneClassification": "Narrow lane",
        "AgentClassification": "Pedestrian",
        "SuggestedAction": "Yield",
        "IsThereRisk": "Yes",
    }


def test_the_address_names_a_path_below_the_folder(tmp_path: Path) -> None:
    assert _one(tmp_path).video == "combined/titan/clip_305_000786/frame_000786.png"
    assert (
        _one(tmp_path, s3_fileUrl="https://h/x/combined/other/clip_1/f.png?sign=1").video
        == "combined/other/clip_1/f.png"
    )


def test_an_address_cannot_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path.parent / "secret.png").write_bytes(b"")
    _write(tmp_path, [row(s3_fileUrl="https://h/combined/../../secret.png"), row()])
    _, problems = in_process(tmp_path, DRAMA)
    assert sorted(p.reason for p in problems.values()) == ["missing_file", "path_outside_root"]


def test_clips_of_one_drive_share_their_recording(tmp_path: Path) -> None:
    clips = ["clip_305_000786", "clip_305_001200", "clip_306_000786", "walk"]
    items = list(candidates(_write(tmp_path, [row(clip) for clip in clips]), DRAMA))
    assert [item.recording_id for item in items if isinstance(item, Candidate)] == [
        "drama:titan/clip_305",
        "drama:titan/clip_305",
        "drama:titan/clip_306",
        "drama:titan/walk",
    ]


def test_no_risk_is_normal_and_has_neither_agent_nor_action(tmp_path: Path) -> None:
    absent = dict.fromkeys(("Suggestions (to the ego car)", "Caption", "Agent-classifier"), "N/A")
    item = _one(tmp_path, Risk="No", geometry=[], **absent)
    assert (item.label, item.description, item.agents) == ("normal", None, ())
    assert parse_classification(item.classification or "") == {
        "SceneClassification": "Narrow lane",
        "AgentClassification": "N/A",
        "SuggestedAction": "N/A",
        "IsThereRisk": "No",
    }


def test_the_text_na_is_an_absent_value(tmp_path: Path) -> None:
    assert _one(tmp_path, Caption="N/A").description is None
    assert _one(tmp_path, Caption=None).description is None
    assert _one(tmp_path, **{"Scene Classifier": "N/A"}).classification is None
    assert _one(tmp_path, **{"Agent-classifier": "N/A"}).classification is None


@pytest.mark.parametrize(
    ("suggestion", "action"),
    [
        ("(must) Stop", "Must Stop"),  # a remark may stand before as well as behind
        ("Slow down", "Carefully Slow Down"),
        ("Yield", "Yield"),
        ("Yield (to the important object)", "Yield"),
        ("be aware or cautious (of the important object, in case it might effect in future)", None),
        ("Carefully manoeuvre (around the important object)", None),
        ("Follow the vehicle ahead", None),
        ("Start moving", None),
        ("Accelerate", None),
        ("N/A", None),
        ("(((", None),
    ],
)
def test_a_suggestion_gives_an_action_only_without_a_guess(tmp_path: Path, suggestion: str, action: str | None) -> None:
    values = parse_classification(_one(tmp_path, **{"Suggestions (to the ego car)": suggestion}).classification or "")
    assert (values and values["SuggestedAction"]) == action


@pytest.mark.parametrize(("scene", "known"), [("intersection", True), ("Urban Road", True), ("Wide lane", False)])
def test_only_three_scenes_have_a_classification(tmp_path: Path, scene: str, known: bool) -> None:
    assert (_one(tmp_path, **{"Scene Classifier": scene}).classification is not None) == known


BAD = {
    "no risk said": {"Risk": "N/A"},
    "risk as a number": {"Risk": 1},
    "no address": {"s3_fileUrl": None},
    "a number as address": {"s3_fileUrl": 7},
    "another address": {"s3_fileUrl": "https://h/drama/frame.png"},
    "nothing below": {"s3_fileUrl": "https://h/combined/"},
    "a long address": {"s3_fileUrl": "combined/" + "x" * 500},
    "three corners": {"geometry": CORNERS[:3]},
    "no corners": {"geometry": "here"},
    "corners of texts": {"geometry": [["1", "2"]] * 4},
    "a corner far away": {"geometry": [[1, 10**400]] * 4},
    "nested corners": {"geometry": [[[[1]], 2]] * 4},
    "a caption of numbers": {"Caption": 7},
    "a list as agent": {"Agent-classifier": ["Vehicle"]},
}


@pytest.mark.parametrize("more", BAD.values(), ids=BAD)
def test_rows_that_cannot_be_understood(tmp_path: Path, more: dict[str, Any]) -> None:
    items = list(candidates(_write(tmp_path, [row(**more), row("clip_1_1")]), DRAMA))
    problem, good = items
    assert isinstance(problem, Problem) and problem.reason == "bad_annotation" and isinstance(good, Candidate)
    assert problem.detail.startswith(f"{FILE_NAME}[0]: ") and len(problem.detail) <= 400


def test_nan_is_absent_and_a_key_given_twice_is_a_problem(tmp_path: Path) -> None:
    text = json.dumps([row(), row("clip_2_2")]).replace('"Risk": "Yes"', '"Risk": "No", "Risk": "Yes"', 1)
    (tmp_path / FILE_NAME).write_text(text, encoding="utf-8")
    twice, good = candidates(tmp_path, DRAMA)
    assert isinstance(twice, Problem) and "the key 'Risk' is given twice" in twice.detail
    assert isinstance(good, Candidate)
    assert _one(tmp_path, Caption=float("nan")).description is None


def test_one_image_in_two_rows_is_taken_once(tmp_path: Path) -> None:
    path = tmp_path / "combined/titan/clip_305_000786/frame_000786.png"
    path.parent.mkdir(parents=True)
    Image.effect_noise((64, 48), 50).save(path)
    scenes, problems = in_process(_write(tmp_path, [row(), row(Caption="Another object.")]), DRAMA)
    assert len(scenes) == 1 and [p.reason for p in problems.values()] == ["duplicate_id"]


def test_folders_that_are_not_dramas(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no integrated_output_v2\.json here"):
        list(candidates(tmp_path, DRAMA))
    (tmp_path / FILE_NAME).write_text("{}")
    with pytest.raises(UserError, match="expected DRAMA's"):
        list(candidates(tmp_path, DRAMA))


_ANY = (
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=12) | st.lists(st.integers(), max_size=4)
)


@given(st.dictionaries(st.sampled_from(sorted(row())), _ANY, max_size=6))
def test_any_row_is_a_candidate_or_a_problem(tmp_path_factory: pytest.TempPathFactory, more: dict[str, Any]) -> None:
    root = tmp_path_factory.getbasetemp()
    (item,) = candidates(_write(root, [row(**more)]), DRAMA)
    assert isinstance(item, Candidate | Problem)

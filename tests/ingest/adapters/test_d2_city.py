import os
from pathlib import Path

import pytest

from hazardline.errors import UserError
from hazardline.ingest.adapter import Candidate, Problem
from hazardline.ingest.config import SourceConfig
from tests.ingest.datasets import candidates, in_process
from tests.ingest.test_xml_tracks import BOMB
from tests.video_files import moving_pictures, write_clip

D2_CITY = SourceConfig(source="d2_city")
LABELS = (
    "car,van,bus,truck,person,bicycle,motorcycle,open-tricycle,closed-tricycle,forklift,large-block,small-block"
).split(",")


def _tracks(*labels: str) -> str:
    box = '<box frame="0" xtl="1.0" ytl="2.0" xbr="3.0" ybr="4.0" occluded="no" cut="yes"></box>'
    tracks = "".join(f'<track id="{number}" label="{label}">{box}</track>' for number, label in enumerate(labels))
    return f'<?xml version="1.0"?>\n<annotations>{tracks}</annotations>\n'


def _lay(root: Path, **files: str | None) -> Path:
    """Files by path, with `__` for a slash; None for a video, which the adapter does not open."""
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}{'.mp4' if text is None else '.xml'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or "", encoding="utf-8")
    return root


def _read(root: Path, config: SourceConfig = D2_CITY) -> tuple[dict[str, Candidate], list[Problem]]:
    items = list(candidates(root, config))
    found = {item.video: item for item in items if isinstance(item, Candidate)}
    return found, [item for item in items if isinstance(item, Problem)]


def test_a_video_is_a_clip_of_normal_driving(tmp_path: Path) -> None:
    write_clip(tmp_path / "videos/0000/a.mp4", moving_pictures(0, 20))
    _lay(tmp_path, labels__0000__a=_tracks("person", "car", "car"))
    (scene,), problems = in_process(tmp_path, D2_CITY)
    assert not problems
    assert (scene["clip_id"], scene["label"], scene["source"]) == ("d2_city-videos-0000-a", "normal", "d2_city")
    assert (scene["agents"], scene["location"]) == (["car", "pedestrian"], "China")


def test_all_twelve_labels_are_known(tmp_path: Path) -> None:
    found, problems = _read(_lay(tmp_path, a=None) and _lay(tmp_path, a=_tracks(*LABELS)))
    assert not problems
    assert found["a.mp4"].agents == (
        *("bus", "car", "cyclist", "forklift", "motorcycle", "pedestrian", "tricycle", "truck", "van"),
    )


def test_an_unknown_label_is_a_problem(tmp_path: Path) -> None:
    _lay(tmp_path, a=None)
    _lay(tmp_path, a=_tracks("car", "spaceship"))
    found, (problem,) = _read(tmp_path)
    assert not found and problem.reason == "bad_annotation"
    assert "a.xml: 'spaceship' is none of D2-City's labels" in problem.detail


def test_a_video_without_tracks_is_a_clip(tmp_path: Path) -> None:
    found, problems = _read(_lay(tmp_path, a=None))
    assert not problems and found["a.mp4"].agents == () and found["a.mp4"].origin == "a.mp4"


def test_tracks_are_found_beside_the_video_or_in_a_folder_of_its_name_or_anywhere(tmp_path: Path) -> None:
    _lay(tmp_path, v__0000__a=None, v__0001__a=None, v__0002__b=None, v__0003__c=None)
    _lay(tmp_path, labels__0000__a=_tracks("car"), labels__0001__a=_tracks("bus"))
    _lay(tmp_path, elsewhere__b=_tracks("truck"))
    _lay(tmp_path, v__0003__c=_tracks("van"), elsewhere__c=_tracks("car"))
    found, problems = _read(tmp_path)
    assert {video: item.agents for video, item in found.items()} == {
        "v/0000/a.mp4": ("car",),
        "v/0001/a.mp4": ("bus",),
        "v/0002/b.mp4": ("truck",),
        "v/0003/c.mp4": ("van",),
    }
    assert [(p.clip_id, p.reason) for p in problems] == [("elsewhere/c.xml", "missing_file")]


def test_tracks_that_could_be_of_several_videos_are_a_problem(tmp_path: Path) -> None:
    _lay(tmp_path, v__a=None)
    _lay(tmp_path, one__a=_tracks("car"), two__a=_tracks("bus"))
    found, (problem,) = _read(tmp_path)
    assert not found and problem.video == "v/a.mp4"
    assert "several annotations have its name: one/a.xml, two/a.xml" in problem.detail


def test_tracks_without_a_video_are_named(tmp_path: Path) -> None:
    _lay(tmp_path, a=None, b=_tracks("car"))
    found, (problem,) = _read(tmp_path)
    assert list(found) == ["a.mp4"]
    assert (problem.clip_id, problem.reason) == ("b.xml", "missing_file")


def test_an_entity_bomb_is_a_problem_of_its_video(tmp_path: Path) -> None:
    _lay(tmp_path, a=None, b=None)
    _lay(tmp_path, a=BOMB.decode(), b="<annotations><track")
    found, problems = _read(tmp_path)
    assert not found and [(p.video, p.reason) for p in problems] == [
        ("a.mp4", "bad_annotation"),
        ("b.mp4", "bad_annotation"),
    ]
    assert "a.xml: has a document type or entities" in problems[0].detail


def test_clips_with_crashchats_names_have_its_recordings(tmp_path: Path) -> None:
    found, _ = _read(_lay(tmp_path, d2city_1002_0626=None, d2city_1002_2292=None, d2city_7_1=None, hash=None))
    assert {video: item.recording_id for video, item in found.items()} == {
        "d2city_1002_0626.mp4": "d2city:1002_0626",
        "d2city_1002_2292.mp4": "d2city:1002_2292",
        "d2city_7_1.mp4": "d2city:7_1",
        "hash.mp4": None,
    }


def test_the_pattern_says_which_files_are_videos(tmp_path: Path) -> None:
    _lay(tmp_path, raw__a=None, other__b=None)
    found, _ = _read(tmp_path, SourceConfig(source="d2_city", videos="raw/*.mp4"))
    assert list(found) == ["raw/a.mp4"]
    with pytest.raises(UserError, match=r"no video matches 'none/\*\.mp4'; set ingest.videos"):
        _read(tmp_path, SourceConfig(source="d2_city", videos="none/*.mp4"))


def test_a_name_that_is_no_text_is_a_problem(tmp_path: Path) -> None:
    for suffix in (b".mp4", b".xml"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff" + suffix)).write_bytes(b"")
    (tmp_path / "good.mp4").touch()
    scenes, problems = in_process(tmp_path, D2_CITY)
    assert not scenes and sorted(p.reason for p in problems.values()) == [
        "bad_annotation",
        "bad_annotation",
        "unreadable",
    ]

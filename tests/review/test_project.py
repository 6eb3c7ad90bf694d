"""The project in files: what Label Studio reads, and that the same run gives the same bytes."""

import json
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from label_studio_sdk.label_interface import LabelInterface

from hazardline.errors import UserError
from hazardline.files import sha256_tree
from hazardline.review.media import LOCAL_SERVING, MediaPlan
from hazardline.review.project import read_project, read_tasks, write_project
from hazardline.review.sample_document import LeftOut
from hazardline.review.tables import LEFT_OUT
from hazardline.tables import ASSIGNMENT, QA, read_table, write_table
from tests.review.runs import crash_scenes, write_run


def test_the_same_seed_gives_the_same_bytes(crash_inputs: dict[str, Path], tmp_path: Path) -> None:
    for name in ("one", "two"):
        summary = write_project(crash_inputs, tmp_path / name, 9, 3, MediaPlan())
    assert sha256_tree(tmp_path / "one") == sha256_tree(tmp_path / "two")
    assert summary["num_clips"] == 9
    write_project(crash_inputs, tmp_path / "other", 9, 4, MediaPlan())
    assert sha256_tree(tmp_path / "one") != sha256_tree(tmp_path / "other")


def test_a_crash_is_prefilled_in_frames(crash_project: Path) -> None:
    _, tasks = read_tasks(crash_project)
    task = next(task for task in tasks if task["data"]["clip_id"] == "crash-01")
    assert task["data"]["fps"] == 30.0 and task["data"]["num_frames"] == 240
    found = {
        result["value"].get("timelinelabels", [result["from_name"]])[0]: result["value"]
        for result in task["predictions"][0]["result"]
    }
    # 2.04 s, 3.31 s and 4.96 s at 30 frames a second; frames count from 1
    assert found["pre-crash"]["ranges"] == [{"start": 62, "end": 62}]
    assert found["crash"]["ranges"] == [{"start": 100, "end": 150}]
    assert found["crash_recognition"] == {"choices": ["Yes"]}
    assert found["prevention_reasoning"] == {"choices": ["correct"]}


def test_a_task_that_is_not_asked_is_named_and_not_prefilled(crash_project: Path) -> None:
    _, tasks = read_tasks(crash_project)
    task = next(task for task in tasks if task["data"]["clip_id"] == "crash-00")
    assert task["data"]["prevention_reasoning_question"] == "(not asked of this clip)"
    assert "prevention_reasoning" not in {result["from_name"] for result in task["predictions"][0]["result"]}
    assert not {"label", "source", "scenario"} & set(task["data"]), "the reviewer is not told the label"


@pytest.mark.parametrize("name", ["crash_project", "image_project"])
def test_tasks_and_configuration_belong_together(name: str, request: pytest.FixtureRequest) -> None:
    """Every variable of the interface stands in every task, every result names a control and what it allows."""
    config, tasks = read_tasks(request.getfixturevalue(name))
    root = ElementTree.fromstring(config)
    variables = {value[1:] for element in root.iter() for value in element.attrib.values() if value.startswith("$")}
    allowed = {
        element.get("name"): {item.get("value") for item in element}
        for element in root.iter()
        if element.tag in ("Choices", "TimelineLabels")
    }
    assert len(allowed) >= 5
    for task in tasks:
        assert variables <= set(task["data"])
        for result in task["predictions"][0]["result"]:
            value = result["value"]
            (said,) = value.get("choices") or value["timelinelabels"]
            assert said in allowed[result["from_name"]]
        identities = [result["id"] for result in task["predictions"][0]["result"]]
        assert len(set(identities)) == len(identities)


def test_label_studio_itself_finds_them_right(crash_project: Path, image_project: Path) -> None:
    """But for the marks of times: the SDK has no class for TimelineLabels and refuses every value of them."""
    for project in (crash_project, image_project):
        config, tasks = read_tasks(project)
        labels = LabelInterface(config)
        labels.validate()
        for task in tasks:
            assert labels.validate_task({"data": task["data"]})
            (prediction,) = task["predictions"]
            results = [one for one in prediction["result"] if one["type"] != "timelinelabels"]
            assert results
            assert labels.validate_prediction({**prediction, "result": results}, return_errors=True) == []


def test_a_blind_review_shows_no_annotation(crash_inputs: dict[str, Path], tmp_path: Path) -> None:
    write_project(crash_inputs, tmp_path / "blind", 9, 0, MediaPlan(), is_prefilled=False)
    sample = read_project(tmp_path / "blind")
    _, tasks = read_tasks(tmp_path / "blind")
    assert not sample.is_prefilled
    assert not any("predictions" in task for task in tasks)


def test_media_may_be_copied_linked_or_served(crash_inputs: dict[str, Path], tmp_path: Path) -> None:
    def address(plan: MediaPlan, name: str) -> str:
        write_project(crash_inputs, tmp_path / name, 9, 0, plan)
        return str(read_tasks(tmp_path / name)[1][0]["data"]["video"])

    left = address(MediaPlan(), "left")
    assert Path("/", unquote(left.removeprefix(LOCAL_SERVING))).read_bytes() == b"bytes of crash-00"
    copied = address(MediaPlan("copy"), "copied")
    assert copied == f"{LOCAL_SERVING}media/0001-crash-00.mp4"
    assert (tmp_path / "copied/media/0001-crash-00.mp4").read_bytes() == b"bytes of crash-00"
    address(MediaPlan("link"), "linked")
    assert (tmp_path / "linked/media/0001-crash-00.mp4").is_symlink()
    assert address(MediaPlan("copy", "https://clips.example.org/x/"), "url") == (
        "https://clips.example.org/x/media/0001-crash-00.mp4"
    )
    ids = {read_project(tmp_path / name).sample_id() for name in ("left", "copied", "linked", "url")}
    assert len(ids) == 1, "where the media lie makes no other sample"
    with pytest.raises(UserError, match=r"outside .*--document-root"):
        address(MediaPlan(document_root=tmp_path / "copied"), "outside")
    assert not (tmp_path / "outside").exists()


def test_odd_names_are_quoted(tmp_path: Path) -> None:
    scenes = crash_scenes(1)
    scenes[0]["video_uri"] = "/clips/Ünï cödé?d=#1.mp4"
    write_project(write_run(tmp_path / "run", scenes), tmp_path / "out", 9, 0, MediaPlan("copy"))
    (address,) = [
        task["data"]["video"] for task in read_tasks(tmp_path / "out")[1] if task["data"]["clip_id"] == "crash-00"
    ]
    assert address.isascii() and address.count("?") == 1 and "#" not in address
    assert (tmp_path / "out" / unquote(address.removeprefix(LOCAL_SERVING))).is_file()


def test_what_cannot_be_shown_is_left_out_with_the_reason(tmp_path: Path) -> None:
    inputs = write_run(tmp_path / "run", crash_scenes(2))
    video = tmp_path / "run/clips/crash-01.mp4"
    video.unlink()
    video.mkdir()  # a folder of frames is a clip as well
    summary = write_project(inputs, tmp_path / "out", 9, 0, MediaPlan())
    reason = "a folder of frames; Label Studio shows videos"
    assert summary["left_out"] == {reason: 1}
    assert read_project(tmp_path / "out").left_out == (LeftOut(reason=reason, num_clips=1),)
    assert read_table(LEFT_OUT, tmp_path / "out") == [{"clip_id": "crash-01", "reason": reason}]
    assert summary["num_clips"] == 5


def test_wrong_folders_are_refused(
    crash_inputs: dict[str, Path], image_inputs: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="not in the tables of ingest and split"):
        write_project(crash_inputs | {"synthesize": image_inputs["synthesize"]}, tmp_path / "o", 9, 0, MediaPlan())
    write_table(ASSIGNMENT, tmp_path, read_table(ASSIGNMENT, crash_inputs["split"])[1:])
    with pytest.raises(UserError, match="crash-00 is not in the tables of ingest and split"):
        write_project(crash_inputs | {"split": tmp_path}, tmp_path / "o", 9, 0, MediaPlan())
    write_table(QA, tmp_path, read_table(QA, crash_inputs["synthesize"])[::-1])
    with pytest.raises(UserError, match=r"qa\.parquet: .* expected the order of clip_id, run synthesize again"):
        write_project(crash_inputs | {"synthesize": tmp_path}, tmp_path / "o", 9, 0, MediaPlan())
    assert not (tmp_path / "o").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    with pytest.raises(UserError, match="holds something already"):
        write_project(crash_inputs, tmp_path / "full", 9, 0, MediaPlan())
    with pytest.raises(UserError, match=r"sample\.json"):
        read_project(tmp_path / "full")


def test_edited_tasks_are_noticed(crash_inputs: dict[str, Path], tmp_path: Path) -> None:
    write_project(crash_inputs, tmp_path / "out", 9, 0, MediaPlan())
    tasks = json.loads((tmp_path / "out/tasks.json").read_text())
    tasks[0]["data"]["crash_description_answer"] = "something else"
    (tmp_path / "out/tasks.json").write_text(json.dumps(tasks))
    with pytest.raises(UserError, match="run review sample again"):
        read_tasks(tmp_path / "out")

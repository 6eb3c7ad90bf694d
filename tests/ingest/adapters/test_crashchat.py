import json
import os
import pathlib
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hazardline.errors import UserError
from hazardline.ingest.adapter import Candidate, Problem
from hazardline.ingest.adapters.crashchat import task_of
from hazardline.ingest.config import SourceConfig
from hazardline.native import Times
from hazardline.tasks import NEGATIVE_ANSWERS, PROMPTS, TASKS, Task
from tests.ingest.datasets import candidates, in_process
from tests.video_files import moving_pictures, write_clip

CRASHCHAT = SourceConfig(source="crashchat")
QUESTIONS = PROMPTS["crashchat@1"].questions
CRASH: dict[Task, str] = {
    "crash_recognition": "Yes",
    "crash_description": "car hits large roadblocks",
    "cause_reasoning": "The vehicle driver is in distracted driving.",
    "prevention_reasoning": "Keep your distance.",
    "crash_localization": "1.0 - 1.5 seconds",
    "pre_crash_localization": "0.5 seconds",
}


def record(video: Any, task: Task, answer: str, source: Any = "MM-AU-CAP") -> dict[str, Any]:
    """A record as the released files have it."""
    human = {"from": "human", "value": f"<video>\n{QUESTIONS[task]}"}
    return {"video": video, "conversations": [human, {"from": "gpt", "value": answer}], "source": source}


def records(stem: str, answers: dict[Task, str], source: str = "MM-AU-CAP") -> list[dict[str, Any]]:
    return [record([f"videos/{stem}.mp4"], task, answer, source) for task, answer in answers.items()]


def _write(root: Path, **files: list[Any]) -> Path:
    root.mkdir(exist_ok=True)
    for name, rows in files.items():
        (root / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
    return root


def _read(root: Path) -> tuple[dict[str, Candidate], list[Problem]]:
    items = list(candidates(root, CRASHCHAT))
    found = {item.clip_id: item for item in items if isinstance(item, Candidate)}
    return found, [item for item in items if isinstance(item, Problem)]


def test_six_records_are_one_clip_word_for_word(tmp_path: Path) -> None:
    write_clip(tmp_path / "videos/cap_21_008073.mp4", moving_pictures(0, 20))
    _write(tmp_path, total_heterogeneous_train=records("cap_21_008073", CRASH))
    (scene,), problems = in_process(tmp_path, CRASHCHAT)
    assert not problems
    assert (scene["clip_id"], scene["label"]) == ("crashchat-cap_21_008073", "crash")
    assert (scene["source"], scene["published_split"]) == ("MM-AU-CAP", "train")
    assert (scene["pre_crash_start_s"], scene["crash_start_s"], scene["crash_end_s"]) == (0.5, 1.0, 1.5)
    assert (scene["description"], scene["cause"]) == (CRASH["crash_description"], CRASH["cause_reasoning"])
    assert scene["prevention"] == CRASH["prevention_reasoning"]
    found, _ = _read(tmp_path)
    pairs = found["crashchat-cap_21_008073"].pairs
    assert [(p.task, p.question, p.answer) for p in pairs] == [(t, QUESTIONS[t], CRASH[t]) for t in TASKS]


def test_a_clip_without_a_crash(tmp_path: Path) -> None:
    _write(tmp_path, a_test=records("d2city_1002_0626", NEGATIVE_ANSWERS, "D2City"))
    found, problems = _read(tmp_path)
    item = found["crashchat-d2city_1002_0626"]
    assert not problems and (item.label, item.source, item.published_split) == ("normal", "D2City", "test")
    assert (item.description, item.times, item.recording_id) == (None, Times(), "d2city:1002_0626")
    assert [pair.answer for pair in item.pairs] == list(NEGATIVE_ANSWERS.values())


def test_records_of_a_video_are_gathered_from_all_files(tmp_path: Path) -> None:
    both = [records(stem, CRASH) for stem in ("cap_1_000001", "dada_2_000003")]
    files: dict[str, list[Any]] = {f"total_{task}_val": [rows[n] for rows in both] for n, task in enumerate(TASKS)}
    _write(tmp_path, **files)
    found, problems = _read(tmp_path)
    assert not problems and list(found) == ["crashchat-cap_1_000001", "crashchat-dada_2_000003"]
    assert {item.published_split for item in found.values()} == {"validation"}
    assert {tuple(pair.task for pair in item.pairs) for item in found.values()} == {TASKS}


def test_the_same_record_in_several_files_counts_once(tmp_path: Path) -> None:
    rows = records("cap_1_000001", CRASH)
    _write(tmp_path, total_crash_localization_val=rows[4:5], total_perception_centric_val=rows[4:], all_val=rows)
    found, problems = _read(tmp_path)
    assert not problems and [len(item.pairs) for item in found.values()] == [6]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("crashchat_dada_video_total_heterogeneousl_val", "validation"),
        ("crashchat_dada_video_total_crash_description_train", "train"),
        ("crashchat_validation", "validation"),
        ("TEST", "test"),
        ("contest", None),
    ],
)
def test_the_split_is_in_the_name_of_the_file(tmp_path: Path, name: str, split: str | None) -> None:
    found, _ = _read(_write(tmp_path, **{name: records("cap_1_000001", CRASH)}))
    assert [item.published_split for item in found.values()] == [split]


def test_files_without_a_split_are_read_only_where_none_has_one(tmp_path: Path) -> None:
    _write(tmp_path, total_val=records("cap_1_000001", CRASH))
    (tmp_path / "dataset_infos.json").write_text('{"features": 1}')
    found, problems = _read(tmp_path)
    assert list(found) == ["crashchat-cap_1_000001"] and not problems


def test_the_video_may_be_a_text_or_a_list_of_one(tmp_path: Path) -> None:
    videos = ["videos/cap_1_000001.mp4", ["./videos/cap_1_000001.mp4"], 7, ["a.mp4", "b.mp4"], [], "", None, {"a": 1}]
    _write(tmp_path, a_test=[record(video, "crash_recognition", "Yes") for video in videos])
    found, problems = _read(tmp_path)
    assert [item.video for item in found.values()] == ["videos/cap_1_000001.mp4"]
    assert [p.clip_id for p in problems] == [f"a_test.json[{number}]" for number in range(2, 8)]
    assert all("video is neither a path nor a list of one path" in p.detail for p in problems)


def test_contradictions_within_a_video_are_problems(tmp_path: Path) -> None:
    yes, no = (record("v/a.mp4", "crash_recognition", answer) for answer in ("Yes", "No"))
    times = record("v/a.mp4", "crash_localization", "1.0 - 2.0 seconds")
    others = record("v/a.mp4", "crash_localization", "1.0 - 3.0 seconds")
    wrong = record("v/a.mp4", "crash_recognition", "Yes", "Nexar")
    unsure = record("v/a.mp4", "crash_recognition", "Maybe")
    none = record("v/a.mp4", "crash_description", "No collision")
    cases = {
        "is answered 'No' here and 'Yes' in": {"a_test": [yes, no]},
        "a crash according to": {"a_test": [no, times]},
        "none according to b_test.json[0]": {"a_test": [yes], "b_test": [none]},
        "the video is in two splits": {"a_test": [yes], "a_train": [yes]},
        "is answered '1.0 - 3.0 seconds' here": {"a_test": [times, others]},
        "the source is 'Nexar' here and 'MM-AU-CAP' before": {"a_test": [yes, wrong]},
        "neither Yes nor No": {"a_test": [unsure]},
    }
    for number, (detail, files) in enumerate(cases.items()):
        found, (problem,) = _read(_write(tmp_path / str(number), **files))
        assert not found and (problem.clip_id, problem.reason) == ("crashchat-a", "bad_annotation")
        assert detail in problem.detail, problem.detail


def test_a_file_with_positives_only_needs_no_recognition(tmp_path: Path) -> None:
    found, _ = _read(_write(tmp_path, perception_centric_val=records("cap_1_000001", CRASH)[4:]))
    (item,) = found.values()
    assert item.label == "crash" and item.times.crash_start_s == 1.0 and item.description is None


def test_an_interval_without_a_length_has_no_end(tmp_path: Path) -> None:
    (item,) = _read(_write(tmp_path, a_val=records("a", {**CRASH, "crash_localization": "1.0 - 1.0 seconds"})))[
        0
    ].values()
    assert (item.times.crash_start_s, item.times.crash_end_s) == (1.0, None)
    assert item.pairs[4].answer == "1.0 - 1.0 seconds"


@pytest.mark.parametrize("answer", ["soon", "1.0 seconds", "9" * 5000 + " - 1 seconds", "1" * 9000])
def test_an_answer_without_a_time_is_a_problem(tmp_path: Path, answer: str) -> None:
    found, (problem,) = _read(_write(tmp_path, a_val=records("a", {**CRASH, "crash_localization": answer})))
    assert not found and "no time in the answer to crash_localization" in problem.detail


BAD_RECORDS: dict[str, Any] = {
    "a text": "record",
    "no turns": {"video": "a.mp4", "source": "Nexar"},
    "one turn": {**record("a.mp4", "crash_recognition", "Yes"), "conversations": [{"from": "human", "value": "x"}]},
    "turns the wrong way": {
        **record("a.mp4", "crash_recognition", "Yes"),
        "conversations": [{"from": "gpt", "value": "Yes"}, {"from": "human", "value": "x"}],
    },
    "an empty answer": record("a.mp4", "crash_recognition", " "),
    "a long answer": record("a.mp4", "cause_reasoning", "x" * 10_001),
    "a number as source": record("a.mp4", "crash_recognition", "Yes", 7),
    "a long name": record(f"{'x' * 181}.mp4", "crash_recognition", "Yes"),
    "another question": {
        **record("a.mp4", "crash_recognition", "Yes"),
        "conversations": [{"from": "human", "value": "<video>\nWhich day is it?"}, {"from": "gpt", "value": "Monday"}],
    },
}


@pytest.mark.parametrize("bad", BAD_RECORDS.values(), ids=BAD_RECORDS)
def test_a_record_that_cannot_be_used_is_named(tmp_path: Path, bad: Any) -> None:
    _write(tmp_path, a_test=[record("b.mp4", "crash_recognition", "Yes"), bad])
    found, (problem,) = _read(tmp_path)
    assert list(found) == ["crashchat-b"]
    assert (problem.clip_id, problem.reason) == ("a_test.json[1]", "bad_annotation")


def test_json_that_pythons_writer_lets_through(tmp_path: Path) -> None:
    good = json.dumps(record("a.mp4", "crash_recognition", "Yes"))
    text = good.replace('"MM-AU-CAP"', "NaN")
    twice = good.replace('{"video"', '{"source": "Nexar", "video"')
    (tmp_path / "a_test.json").write_text(f"[{text.replace('a.mp4', 'cap_1_1.mp4')}, {twice}]")
    found, (problem,) = _read(tmp_path)
    assert found["crashchat-cap_1_1"].source == "MM-AU-CAP"  # told by the name of the file
    assert "the key 'source' is given twice" in problem.detail


@pytest.mark.parametrize("task", TASKS)
def test_a_question_in_other_words_is_recognised(task: Task) -> None:
    for prompts in PROMPTS.values():
        assert task_of(prompts.questions[task]) == task
    assert task_of("Please! " + QUESTIONS[task].upper()) == task
    assert task_of(QUESTIONS[task] + QUESTIONS[TASKS[TASKS.index(task) - 1]]) is None


def test_folders_without_records(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no json file here"):
        _read(tmp_path)
    (tmp_path / "a_test.json").write_text('{"video": 1}')
    with pytest.raises(UserError, match=r"a_test\.json: does not begin with '\['; expected a list of CrashChat's"):
        _read(tmp_path)
    (tmp_path / "a_test.json").write_text('[{"video": "a')
    with pytest.raises(UserError, match=r"a_test\.json: ends within item 0: cut off"):
        _read(tmp_path)


def test_memory_does_not_grow_with_the_records(tmp_path: Path) -> None:
    held = []
    for count in (500, 2_000):
        _write(tmp_path, a_test=[row for n in range(count) for row in records(f"cap_1_{n:06}", CRASH)])
        tracemalloc.start()
        for number, item in enumerate(candidates(tmp_path, CRASHCHAT), 1):
            assert isinstance(item, Candidate)
            if number == count - 1:
                snapshot = tracemalloc.take_snapshot()
        tracemalloc.stop()
        # pathlib interns the names of files, and the interpreter's table of interned texts grows in leaps
        own = snapshot.filter_traces([tracemalloc.Filter(False, pathlib.__file__)])
        held.append(sum(trace.size for trace in own.traces))
    assert held[1] < held[0] + 400_000  # the records themselves would take more than 2 MB


_SCALAR = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=12)
_JSON = st.recursive(
    _SCALAR,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["from", "value", "video", "source"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["video", "conversations", "source"]), _JSON))
def test_any_record_is_a_candidate_or_a_problem(tmp_path_factory: pytest.TempPathFactory, more: dict[str, Any]) -> None:
    root = tmp_path_factory.getbasetemp() / "any"
    _write(root, a_test=[{**record("b.mp4", "crash_recognition", "Yes"), **more}])
    assert len(list(candidates(root, CRASHCHAT))) == 1


_RELEASED = Path(os.environ.get("HAZARDLINE_TEST_ANNOTATIONS", "none")) / "crashchat"


@pytest.mark.skipif(not _RELEASED.is_dir(), reason="HAZARDLINE_TEST_ANNOTATIONS has no folder crashchat")
def test_the_released_validation_and_test_records_are_read_without_a_problem() -> None:
    found, problems = _read(_RELEASED)
    assert not problems
    splits = [item.published_split for item in found.values()]
    assert (splits.count("validation"), splits.count("test")) == (1838, 1839)
    assert sum(len(item.pairs) for item in found.values()) == 19309

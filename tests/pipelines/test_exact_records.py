"""The papers' recipes train again on exactly the published records: word for word, in their own split."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hazardline.countermeasures.encode import Job, Made, encode_window
from hazardline.errors import RefusedOutputError
from hazardline.hazardnet import CLASSIFICATION, TOPICS, format_reply
from hazardline.ingest.adapters.crashchat import task_of
from hazardline.progress import SilentReporter
from hazardline.recipe import load_recipe
from hazardline.simulate.config import SimulateConfig
from hazardline.simulate.layouts.registry import WRITERS
from hazardline.simulate.stage import run
from hazardline.split.document import LeakageReport
from hazardline.stages import stage_named
from hazardline.synthesize.records import records_name
from hazardline.tables import ASSIGNMENT, QA, QUARANTINE, REJECTED, SCENES, read_table
from hazardline.tasks import TASKS, Task

RECIPES = Path(__file__).parents[2] / "recipes"
VIDEOS = SimulateConfig(num_pairs=6, num_normal=6, min_clip_s=5.0, max_clip_s=6.0, seed=3)
IMAGES = SimulateConfig(media="image", num_pairs=5, num_normal=10, seed=3)
SPLITS = {"train": "train", "val": "validation", "test": "test"}
COPY = "cap_1_900000"
Row = tuple[str, str, str, str, str]
"""Split, clip, task, question, answer."""


def lay(folder: Path, layout: str, config: SimulateConfig) -> Path:
    """Simulated clips in a published form."""
    (folder / "clips").mkdir()
    (folder / layout).mkdir()
    run(config, {}, folder / "clips", SilentReporter())
    WRITERS[layout](folder / "clips", folder / layout)
    return folder / layout


def to_questions(recipe: str, root: Path, work: Path, **split: Any) -> dict[str, Path]:
    """The recipe's own sections, on that folder, to the questions; a fixture has not a thousand test clips."""
    loaded = load_recipe(RECIPES / f"{recipe}.yaml")
    changes = {"ingest": {"root": str(root), "num_workers": 1}, "split": {"min_test_clips": 0, **split}}
    outs: dict[str, Path] = {}
    for name in ("ingest", "split", "synthesize"):
        stage = stage_named(name)
        section = json.loads(loaded.section_json(name)) | changes.get(name, {})
        (work / name).mkdir(parents=True)
        stage.run_function()(stage.config_class().parse(section, name), outs, work / name, SilentReporter())
        outs[name] = work / name
    return outs


def asked(outs: dict[str, Path], tasks: Iterable[str]) -> list[Row]:
    wanted = set(tasks)
    rows = [
        (r["split"], r["clip_id"], r["task"], r["question"], r["answer"]) for r in read_table(QA, outs["synthesize"])
    ]
    return sorted(row for row in rows if row[2] in wanted)


def recorded(root: Path) -> list[tuple[str, dict[str, Any]]]:
    """Split and record, of the files that hold each record once."""
    files = [(root / f"crashchat_dada_video_total_heterogeneous_{name}.json", split) for name, split in SPLITS.items()]
    return [(split, record) for path, split in files for record in json.loads(path.read_text(encoding="utf-8"))]


def plant_copy(root: Path) -> str:
    """Put a train clip once more into the test file, encoded anew and in other words; returns the name of the first."""
    (split, first), *_ = [(s, r) for s, r in recorded(root) if s == "train" and "/cap_1_" in r["video"][0]]
    assert split == "train"
    video = first["video"][0]
    again = f"videos/{COPY}.mp4"
    job = Job(root / video, root / again, 144, 96, 10.0, 28, 0.0, 60.0)
    assert isinstance(encode_window(job), Made)
    test = root / "crashchat_dada_video_total_heterogeneous_test.json"
    copies = [_reworded({**record, "video": [again]}) for _, record in recorded(root) if record["video"] == [video]]
    test.write_text(json.dumps([*json.loads(test.read_text()), *copies]), encoding="utf-8")
    return Path(video).stem


def _reworded(record: dict[str, Any]) -> dict[str, Any]:
    """What no annotator here would write: another question, and a description in CrashChat's own terse words."""
    human, gpt = record["conversations"]
    question = human["value"].removeprefix("<video>\n")
    if task_of(question) == "crash_description":
        gpt = {**gpt, "value": "ego-car hits small roadblocks road potholes"}
    human = {**human, "value": f"<video>\nPlease! {question}"}
    return {**record, "conversations": [human, gpt]}


@pytest.mark.parametrize(
    ("tested", "other"),
    [
        ("crashchat_videollama3_2b", "crashchat_videollama3_7b"),
        ("hazardnet_qwen2_vl_2b_lora", "hazardnet_qwen2_vl_2b_qlora"),
    ],
)
def test_recipes_for_the_same_records_read_them_alike(tested: str, other: str) -> None:
    first, second = (load_recipe(RECIPES / f"{name}.yaml") for name in (tested, other))
    for name in ("ingest", "split", "synthesize"):
        assert first.section(name) == second.section(name)


def test_crashchats_records_and_split_are_those_of_its_files(tmp_path: Path) -> None:
    root = lay(tmp_path, "crashchat", VIDEOS)
    name = plant_copy(root)
    records = recorded(root)
    outs = to_questions("crashchat_videollama3_2b", root, tmp_path / "work")

    assert read_table(QUARANTINE, outs["ingest"]) == [] and read_table(REJECTED, outs["synthesize"]) == []
    expected: list[Row] = []
    for split, record in records:
        human, gpt = (turn["value"] for turn in record["conversations"])
        question = human.removeprefix("<video>\n")
        expected.append((split, f"crashchat-{Path(record['video'][0]).stem}", str(task_of(question)), question, gpt))
    assert asked(outs, TASKS) == sorted(expected) and any(row[3].startswith("Please!") for row in expected)
    for split in SPLITS.values():
        written = json.loads((outs["synthesize"] / records_name(split)).read_text(encoding="utf-8"))
        theirs = [record for of, record in records if of == split]
        assert sorted(map(_said, written)) == sorted(map(_said, theirs)) and theirs

    # The copy in the test split is no fault here, and no secret.
    group = {row["clip_id"]: row["group_id"] for row in read_table(ASSIGNMENT, outs["split"])}
    assert group[f"crashchat-{COPY}"] == group[f"crashchat-{name}"]
    found = {item.name: item for item in LeakageReport.read(outs["split"] / "leakage.json").findings}
    assert found["published_split"].severity == "critical" and found["published_split"].numbers["num_torn_groups"] >= 1
    assert found["near_duplicates"].numbers["num_across_splits"] >= 1
    assert found["published_split"].numbers["num_moved"] == 0


def test_without_the_recipes_permission_the_same_records_are_refused(tmp_path: Path) -> None:
    root = lay(tmp_path, "crashchat", VIDEOS)
    plant_copy(root)
    with pytest.raises(RefusedOutputError, match="published split tears"):
        to_questions("crashchat_videollama3_2b", root, tmp_path / "work", refuse_severity="critical")


def test_hazardqas_rows_and_split_are_those_of_its_tables(tmp_path: Path) -> None:
    root = lay(tmp_path, "hazardqa", IMAGES)
    outs = to_questions("hazardnet_qwen2_vl_2b_lora", root, tmp_path / "work")
    names: dict[str, Task] = {name: task for task, name in TOPICS.items()}
    expected: list[Row] = []
    for path in (root / "data").glob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            reply = format_reply(row["chain_of_thought"], row["answer"])
            clip_id, task = f"hazardqa-{row['image_id']}", names[row["category_topic"]]
            expected.append((path.name.partition("-")[0], clip_id, task, row["question"], reply))
    assert read_table(REJECTED, outs["synthesize"]) == []
    assert asked(outs, TOPICS) == sorted(expected) and {row[0] for row in expected} == set(SPLITS.values())
    classified = {row["clip_id"]: row["classification"] for row in read_table(SCENES, outs["ingest"])}
    answers = {clip_id: answer for _, clip_id, _, _, answer in asked(outs, [CLASSIFICATION])}
    assert answers == {clip_id: text for clip_id, text in classified.items() if text is not None} and answers


def _said(record: dict[str, Any]) -> str:
    """A record without the place of its video on this machine."""
    return json.dumps([Path(record["video"][0]).name, record["conversations"], record["source"]])

import gc
import json
import tracemalloc

import pytest

from hazardline.errors import RefusedOutputError, UserError
from hazardline.hazardnet import HAZARDNET_TASKS, TOPICS, format_classification, format_reply
from hazardline.progress import SilentReporter
from hazardline.synthesize.config import SynthesizeConfig
from hazardline.synthesize.deterministic_images import NO_CLASS, NO_TRUTH
from hazardline.synthesize.document import SYNTHESIS_NAME, Synthesis
from hazardline.synthesize.hazard_records import HazardRecord
from hazardline.synthesize.hazard_templates import TEMPLATES
from hazardline.synthesize.records import read_records
from hazardline.synthesize.stage import run
from hazardline.tables import ASSIGNMENT, QA, REJECTED, SCENES, read_table, write_table
from hazardline.tasks import PROMPTS, TASKS
from tests.synthesize.images import image, thing, truth
from tests.synthesize.scenes import SPLITS, scene, write_inputs


def scenes():
    return [
        scene("c1"),
        scene("c2", "near_miss"),
        scene("c3", "normal"),
        scene("c4", description=None),
        scene("c5"),
        scene("c6"),
    ]


def test_the_outputs_agree(tmp_path):
    inputs = write_inputs(tmp_path, scenes())
    out = tmp_path / "out"
    out.mkdir()
    summary = run(SynthesizeConfig(prompt_version="crashchat-short@1"), inputs, out, SilentReporter())

    rows = read_table(QA, out)
    assert [(row["clip_id"], TASKS.index(row["task"])) for row in rows] == sorted(
        (row["clip_id"], TASKS.index(row["task"])) for row in rows
    )
    assert len(rows) == 6 + 4 + 4 + 5 + 6 + 6 == summary["num_pairs"]
    assert {row["question"] for row in rows} == set(PROMPTS["crashchat-short@1"].questions.values())

    report = Synthesis.read(out / SYNTHESIS_NAME)
    assert report.num_clips == {"train": 2, "validation": 2, "test": 2}
    assert sum(count.num_pairs for count in report.counts) == report.num_pairs == len(rows)
    assert {(count.task, count.split, count.answer_form): count.num_pairs for count in report.counts}[
        "crash_localization", "train", "positive"
    ] == 2
    assert [(item.task, item.reason, item.num_clips) for item in report.unasked] == [
        ("crash_description", "no description", 1)
    ]
    for split in ("train", "validation", "test"):
        records = read_records(out / f"crashchat_{split}.json")
        chosen = [row for row in rows if row["split"] == split]
        assert [(record.question, record.answer) for record in records] == [
            (row["question"], row["answer"]) for row in chosen
        ]


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    inputs = write_inputs(tmp_path, scenes())
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        run(SynthesizeConfig(), inputs, folder, SilentReporter())
    names = sorted(path.name for path in folders[0].iterdir())
    assert names == [
        "crashchat_test.json",
        "crashchat_train.json",
        "crashchat_validation.json",
        "failed.parquet",
        "qa.parquet",
        "rejected.parquet",
        "synthesis.json",
    ]
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_a_split_of_other_scenes_is_refused(tmp_path):
    inputs = write_inputs(tmp_path, scenes())
    write_table(ASSIGNMENT, inputs["split"], [{"clip_id": "c1", "group_id": "c1", "split": "train"}])
    with pytest.raises(UserError, match=r"assignment.parquet.*5 clips.*first: c2.*run split again"):
        run(SynthesizeConfig(), inputs, tmp_path, SilentReporter())


def test_bad_annotations_above_the_limit_are_refused_with_all_that_was_found(tmp_path):
    inputs = write_inputs(tmp_path, [*scenes(), scene("c7", crash_end_s=3.0)])
    for name, share in (("refused", 0.0), ("kept", 0.1)):
        out = tmp_path / name
        out.mkdir()
        config = SynthesizeConfig(max_rejected_share=share)
        if name == "refused":
            with pytest.raises(RefusedOutputError, match="times_out_of_order: 1, first c7/crash_localization"):
                run(config, inputs, out, SilentReporter())
        else:
            run(config, inputs, out, SilentReporter())
        (count,) = Synthesis.read(out / SYNTHESIS_NAME).rejected
        assert (count.reason, count.num_pairs, count.first_qa_id) == ("times_out_of_order", 1, "c7/crash_localization")
        (row,) = read_table(REJECTED, out)
        assert row["qa_id"] == "c7/crash_localization" and row["reason"] == "times_out_of_order"
        assert row["answer"] == "3.2 - 3.0 seconds" and "does not start before it ends" in row["detail"]
        assert "c7/crash_localization" not in {row["qa_id"] for row in read_table(QA, out)}


def test_an_unknown_prompt_version_names_the_known_ones():
    with pytest.raises(UserError, match=r"recipe: prompt_version: .*crashchat-short@1, crashchat@1"):
        SynthesizeConfig.parse({"prompt_version": "mine@1"}, "recipe")


def images():
    stills = [truth(thing(ahead_m=8.0)), truth(), truth(thing("pedestrian", 10.0)), truth(road="highway")]
    return [image(f"i{number}", still, "near_miss") for number, still in enumerate([*stills, None, *stills])]


def test_images_are_annotated_for_hazardnet(tmp_path):
    inputs = write_inputs(tmp_path, images())
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        run(SynthesizeConfig(prompt_version="hazardnet-short@1"), inputs, folder, SilentReporter())
    out = folders[0]
    names = sorted(path.name for path in out.iterdir())
    records = (f"hazardqa_{split}.json" for split in sorted(SPLITS))
    assert names == ["failed.parquet", *records, "qa.parquet", "rejected.parquet", "synthesis.json"]
    assert all((out / name).read_bytes() == (folders[1] / name).read_bytes() for name in names)

    rows, report = read_table(QA, out), Synthesis.read(out / SYNTHESIS_NAME)
    assert len(rows) == 8 * 5 + 6 == report.num_pairs and report.rejected == []
    places = [(row["clip_id"], HAZARDNET_TASKS.index(row["task"])) for row in rows]
    assert places == sorted(places)
    reasons = {(item.task, item.reason): item.num_clips for item in report.unasked}
    assert reasons["scene_classification", NO_CLASS] == 2
    assert {count for (_, reason), count in reasons.items() if reason == NO_TRUTH} == {1}

    for split in SPLITS:
        records = [
            HazardRecord.parse(value, split) for value in json.loads((out / f"hazardqa_{split}.json").read_text())
        ]
        chosen = [row for row in rows if row["split"] == split and row["task"] in TOPICS]
        assert [(item.image_id, item.question) for item in records] == [(r["clip_id"], r["question"]) for r in chosen]
        for item, row in zip(records, chosen, strict=True):
            assert format_reply(item.chain_of_thought, item.answer) == row["answer"]
            assert item.category_topic == TOPICS[row["task"]] and item.image == f"/images/{item.image_id}.png"


def test_an_image_without_five_pairs_counts_as_rejected(tmp_path, monkeypatch):
    monkeypatch.setitem(TEMPLATES, "object_detection", ())
    dull = image("dull", truth(), "near_miss", weather="unknown")
    inputs = write_inputs(tmp_path, [*images(), dull])
    (tmp_path / "refused").mkdir()
    with pytest.raises(RefusedOutputError, match=r"incomplete_scene: 5, first dull/.*4 of the 5 pairs"):
        run(SynthesizeConfig(prompt_version="hazardnet-short@1"), inputs, tmp_path / "refused", SilentReporter())
    config = SynthesizeConfig(prompt_version="hazardnet-short@1", max_rejected_share=0.2)
    (tmp_path / "out").mkdir()
    report = run(config, inputs, tmp_path / "out", SilentReporter())
    assert report["num_rejected"] == 5
    assert "dull" not in {row["clip_id"] for row in read_table(QA, tmp_path / "out")}
    aside = [(row["clip_id"], row["reason"]) for row in read_table(REJECTED, tmp_path / "out")]
    assert aside == [("dull", "incomplete_scene")] * 5


def test_an_annotated_image_has_its_classification_alone(tmp_path):
    answer = format_classification(
        {
            "SceneClassification": "Intersection",
            "AgentClassification": "Pedestrian",
            "SuggestedAction": "Must Stop",
            "IsThereRisk": "Yes",
        }
    )
    inputs = write_inputs(tmp_path, [image("i", None, classification=answer)])
    run(SynthesizeConfig(prompt_version="hazardnet@1"), inputs, tmp_path, SilentReporter())
    (row,) = read_table(QA, tmp_path)
    assert (row["task"], row["answer"], row["is_positive"]) == ("scene_classification", answer, True)
    assert {item.reason for item in Synthesis.read(tmp_path / SYNTHESIS_NAME).unasked} == {NO_TRUTH}


def test_tables_out_of_order_are_refused(tmp_path):
    inputs = write_inputs(tmp_path, scenes())
    write_table(SCENES, inputs["ingest"], [scene("c2"), scene("c1")])
    with pytest.raises(UserError, match=r"scenes.parquet: c1 stands behind c2; expected the order .* run ingest again"):
        run(SynthesizeConfig(), inputs, tmp_path, SilentReporter())


def test_many_clips_take_the_memory_of_few(tmp_path):
    """Peak of Python's objects: rows of a portion, and never the table."""
    peaks = {}
    for count in (4200, 8400):
        folder = tmp_path / str(count)
        inputs = write_inputs(folder, [scene(f"c{number:05}", "normal") for number in range(count)])
        gc.collect()
        tracemalloc.start()
        (folder / "out").mkdir()
        run(SynthesizeConfig(), inputs, folder / "out", SilentReporter())
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[8400] < 1.2 * peaks[4200]

import pytest

from hazardline.errors import UserError
from hazardline.hazardnet import HAZARDNET_PROMPTS, format_reply
from hazardline.progress import SilentReporter
from hazardline.synthesize.config import SynthesizeConfig
from hazardline.synthesize.document import Synthesis
from hazardline.synthesize.from_records import NO_RECORD
from hazardline.synthesize.stage import run
from hazardline.tables import QA, RECORDS, REJECTED, read_table, write_table
from hazardline.tasks import NEGATIVE_ANSWERS, PROMPTS
from tests.synthesize.images import image
from tests.synthesize.scenes import scene, write_inputs

QUESTIONS = PROMPTS["crashchat@1"].questions


def record(clip_id, task, answer, question=None):
    return {"clip_id": clip_id, "task": task, "question": question or QUESTIONS[task], "answer": answer}


def synthesize(folder, scenes, records, **settings):
    inputs = write_inputs(folder, scenes)
    if records is not None:
        write_table(RECORDS, inputs["ingest"], records)
    out = folder / "out"
    out.mkdir()
    run(SynthesizeConfig(annotator="published", max_rejected_share=1.0, **settings), inputs, out, SilentReporter())
    return read_table(QA, out), read_table(REJECTED, out), Synthesis.read(out / "synthesis.json")


def test_the_pairs_are_those_of_the_data_set_word_for_word(tmp_path):
    records = [
        record("a", "crash_description", "someone else's clip"),
        record("c", "crash_description", "motorbike  falls down", "Tell me  what happens!"),
        record("c", "crash_recognition", "Yes"),
        record("c", "crash_localization", "3.2 - 9.9 seconds"),
        record("n", "crash_description", NEGATIVE_ANSWERS["crash_description"]),
        record("x", "crash_description", "another's"),
    ]
    accepted, rejected, report = synthesize(tmp_path, [scene("c"), scene("m"), scene("n", "normal")], records)
    assert [(row["clip_id"], row["task"], row["question"], row["answer"]) for row in accepted] == [
        ("c", "crash_recognition", QUESTIONS["crash_recognition"], "Yes"),
        ("c", "crash_description", "Tell me  what happens!", "motorbike  falls down"),
        ("n", "crash_description", QUESTIONS["crash_description"], "no collision."),
    ]
    assert [(row["qa_id"], row["reason"]) for row in rejected] == [("c/crash_localization", "times_outside_clip")]
    assert {row["annotator"] for row in accepted} == {"published"}
    assert (report.num_unused_records, report.num_other_questions) == (2, 1)
    assert {(item.reason, item.num_clips) for item in report.unasked} == {(NO_RECORD, 1)} and len(report.unasked) == 6


def test_hazardqas_rows_have_the_sign_and_the_classification_of_the_annotation(tmp_path):
    values = '"AgentClassification": "Vehicle", "SuggestedAction": "Yield", "IsThereRisk": "Yes"}'
    risk = image("i", None, classification=f'{{"SceneClassification": "Urban road", {values}')
    reply = format_reply("A car is near.", "yes")
    records = [record("i", "object_detection", reply, "Is a road user near?")]
    version = next(iter(HAZARDNET_PROMPTS))
    accepted, rejected, _ = synthesize(tmp_path, [risk], records, prompt_version=version)
    assert rejected == [] and [(row["task"], row["answer"], row["is_positive"]) for row in accepted] == [
        ("object_detection", reply, True),
        ("scene_classification", risk["classification"], True),
    ]


def test_a_data_set_without_pairs_has_none(tmp_path):
    accepted, rejected, report = synthesize(tmp_path, [scene("c")], None)
    assert accepted == rejected == [] and report.num_pairs == 0


def test_a_task_that_the_suite_does_not_have_and_a_second_answer_are_refused(tmp_path):
    records = [
        record("c", "crash_recognition", "Yes"),
        record("c", "crash_recognition", "Yes"),
        record("c", "poetry", "a", "Sing!"),
    ]
    _, rejected, _ = synthesize(tmp_path, [scene("c")], records)
    assert [(row["task"], row["reason"]) for row in rejected] == [
        ("crash_recognition", "duplicate"),
        ("poetry", "unknown_task"),
    ]


def test_records_out_of_order_are_refused(tmp_path):
    records = [record("d", "crash_recognition", "Yes"), record("c", "crash_recognition", "Yes")]
    with pytest.raises(UserError, match=r"records.parquet: c stands behind d; expected the order of clip_id"):
        synthesize(tmp_path, [scene("c"), scene("d")], records)

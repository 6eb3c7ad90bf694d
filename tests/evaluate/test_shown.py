"""What a pipeline's user interface shows of an evaluation."""

import json
from pathlib import Path
from typing import Any

import pytest

from hazardline.evaluate.document import EVALUATION_NAME, REPORT_NAME, Evaluation, LeakageNote
from hazardline.evaluate.shown import confusion, main_scores, show, summary_text
from hazardline.split.findings import found
from hazardline.suites import CRASHCHAT, HAZARDNET
from hazardline.tables import PREDICTIONS, write_table
from tests.gate.evaluations import evaluation


def row(reference: str, prediction: str, task: str = "crash_recognition", model: str = "candidate") -> dict[str, Any]:
    return {
        "model": model,
        "clip_id": "c",
        "task": task,
        "prediction": prediction,
        "asked": True,
        "reference": reference,
        "score": None,
    }


def classified(risk: str) -> str:
    values = {"SceneClassification": "Urban road", "AgentClassification": "N/A", "SuggestedAction": "N/A"}
    return json.dumps({**values, "IsThereRisk": risk})


def test_true_answers_are_rows_and_given_ones_columns() -> None:
    rows = [row("Yes", "Yes."), row("Yes", "No"), row("Yes", "no"), row("No", "Yes"), row("2 s", "1 s", "crash_miou")]
    assert confusion(CRASHCHAT, rows) == (["Yes", "No"], [[1, 2], [1, 0]])


def test_an_answer_that_says_nothing_is_a_class_of_its_own() -> None:
    classes, matrix = confusion(CRASHCHAT, [row("Yes", "A truck."), row("No", "No")])
    assert classes == ["Yes", "No", "no answer"]
    assert matrix == [[0, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_images_are_asked_for_a_risk() -> None:
    task = HAZARDNET.key_task
    rows = [row(classified("Yes"), classified("Yes"), task), row(classified("No"), "{}", task)]
    assert confusion(HAZARDNET, rows) == (["Yes", "No", "no answer"], [[1, 0, 0], [0, 0, 1], [0, 0, 0]])


def test_scores_are_the_candidates_with_their_intervals() -> None:
    scores = main_scores(evaluation())
    assert scores["recognition_macro_f1"] == 0.78
    assert (scores["near_miss_auc_low"], scores["near_miss_auc_high"]) == pytest.approx((0.77, 0.85))
    assert "crash_ap50" not in scores, "it was not measured"


def test_the_summary_shows_all_models_and_what_was_measured() -> None:
    text = summary_text(evaluation())
    assert "| recognition\\_macro\\_f1 | 0.780 (0.740 to 0.820) | 0.340 (0.300 to 0.380) | 0.410" in text
    assert "| crash\\_ap50 | - | - | - |" in text
    assert "`crashchat-short@1`" in text and "| base | bbbbbbbbbbbb |" in text


def test_the_summary_tells_grave_findings() -> None:
    grave = found("class_balance", "serious", "two | thirds", {}, remedy="Add clips.")
    mild = found("too_few_clips", "info", "not told", {})
    told = evaluation().model_copy(update={"leakage": LeakageNote(audit_digest="a" * 64, findings=[mild, grave])})
    assert "| serious | class\\_balance | two \\| thirds |" in summary_text(told)
    assert "not told" not in summary_text(told)
    nothing = told.model_copy(update={"leakage": LeakageNote(audit_digest="a" * 64, findings=[mild])})
    assert "found nothing that takes from these scores" in summary_text(nothing)


def test_a_folder_is_shown(tmp_path: Path) -> None:
    folder = tmp_path / "output"
    folder.mkdir()
    evaluation().write(folder / EVALUATION_NAME)
    (folder / REPORT_NAME).write_text("<!doctype html>the report")
    write_table(PREDICTIONS, folder, [row("Yes", "Yes"), row("Yes", "No", model="base")])
    shown = show(folder, tmp_path / "report", tmp_path / "summary")
    assert (shown.classes, shown.matrix) == (["Yes", "No"], [[1, 0], [0, 0]])
    assert shown.scores == main_scores(Evaluation.read(folder / EVALUATION_NAME))
    assert (tmp_path / "report").read_text() == "<!doctype html>the report"
    assert (tmp_path / "summary").read_text() == summary_text(evaluation())

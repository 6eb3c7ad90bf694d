"""What the pocket image base is pre-trained on: exact answers from the truth, nothing of HazardNet's classification."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from hazardline.errors import UserError
from hazardline.hazardnet import FIELDS
from hazardline.native import StillObject, StillTruth
from hazardline.pocket import stills
from hazardline.pocket.architecture import TINY
from hazardline.pocket.build import build
from hazardline.pocket.settings import (
    ImageCorpusSettings,
    ImageLanguageSettings,
    ImageVisionSettings,
    PocketImageSettings,
)
from hazardline.pocket.still_questions import StillQuestions
from hazardline.pocket.stills import CELL_TARGETS, Still, cell_targets, frame_targets, mirrored
from hazardline.progress import SilentReporter
from hazardline.train.base import weight_files
from hazardline.vlm.model import load_base
from hazardline.vlm.text import Prompter


@pytest.fixture
def still() -> Still:
    """A red van 10 m ahead in the lane with its brake lights on; a cyclist far to the left crosses to the right."""
    van = StillObject(
        kind="van", colour="red", box=(0.4, 0.4, 0.6, 0.8), ahead_m=10.0, right_m=0.2, speed_mps=4.0,
        heading="same", braking=True,
    )  # fmt: skip
    cyclist = StillObject(
        kind="cyclist", colour="blue", box=(0.05, 0.45, 0.1, 0.6), ahead_m=25.0, right_m=-9.0, speed_mps=3.0,
        heading="from_left", braking=False,
    )  # fmt: skip
    truth = StillTruth(
        road="intersection", lanes=1, ego_speed_mps=8.0, signal="red", stop_line_m=21.0, objects=(van, cyclist)
    )
    return Still(truth, "rainy", "night")


def asked(still: Still) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    rng = np.random.default_rng(0)
    for _ in range(60):
        for question, answer in StillQuestions(still, rng).draw(14):
            found.setdefault(question, set()).add(answer)
    return found


def test_answers_are_the_truth(still: Still) -> None:
    found = asked(still)
    assert found["Nearest road user ?"] == {"red van ahead 10 m"}
    assert found["Traffic light ?"] == {"red"}
    assert found["Intersection ahead ?"] == {"Yes, 21 m"}
    assert found["Who is in our lane ?"] == {"red van ahead 10 m"}
    assert found["Does someone cross ?"] == {"Yes, blue cyclist left 27 m"}
    assert found["Do brake lights shine in our lane ?"] == {"Yes"}
    assert found["Is there a pedestrian ?"] == {"No"}
    assert found["Kind of the nearest road user ?"] == {"van"}
    assert found["Is the nearest road user near or far ?"] == {"near"}
    assert found["Is our lane free near us ?"] == {"No"}
    assert found["Is there a road user on the right ?"] == {"No"}
    assert found["How does the blue cyclist move ?"] == {"crosses from the left"}
    assert all(len(answers) == 1 for question, answers in found.items() if not question.startswith("As JSON"))


def test_the_mirror_image_has_its_own_answers(still: Still) -> None:
    found = asked(mirrored(still))
    assert found["Does someone cross ?"] == {"Yes, blue cyclist right 27 m"}
    assert found["How does the blue cyclist move ?"] == {"crosses from the right"}
    assert mirrored(mirrored(still)) == still or np.allclose(
        mirrored(mirrored(still)).truth.objects[0].box, still.truth.objects[0].box
    )


def test_json_answers_hold_the_keys_that_were_asked_for_and_true_values(still: Still) -> None:
    truth = {"weather": "Rainy", "light": "Night", "road": "Intersection", "signal": "Red", "nearest kind": "Van",
             "nearest side": "Ahead", "in our lane": "Van", "pedestrian": "No", "intersection": "Yes"}  # fmt: skip
    questions = {question: answers for question, answers in asked(still).items() if question.startswith("As JSON")}
    assert len(questions) > 50
    for question, answers in questions.items():
        wanted = re.findall(r"(\w+) \(([^)]*)\)", question.removeprefix("As JSON: "))
        for answer in answers:
            values = json.loads(answer)
            assert list(values) == [key for key, _ in wanted]
            for key, what in wanted:
                assert values[key] == (what.removeprefix("write ") if what.startswith("write ") else truth[what])


def test_nothing_is_asked_of_risk_or_action(still: Still) -> None:
    """HazardNet's keys never stand together, and a value of its fields is only written when the question says which."""
    for question, answers in asked(still).items():
        assert "risk" not in question.lower().replace("risk1", "") or question.startswith("As JSON")
        for answer in answers:
            assert not all(field in answer for field in FIELDS)
            for action in FIELDS["SuggestedAction"][1:]:
                assert action not in answer or f"write {action}" in question


def test_targets_say_what_stands_where(still: Still) -> None:
    cells = cell_targets(still.truth, 6, 9)
    assert cells.shape == (54, CELL_TARGETS)
    middle = cells.reshape(6, 9, -1)[3, 4]
    assert middle[0] == pytest.approx(1, abs=0.01)
    assert middle[1] == 3 and middle[10] == 1  # a van that brakes
    assert cells.reshape(6, 9, -1)[0].max() == 0
    assert frame_targets(still)[:5].tolist() == [1, 1, 1, 0, 1]


def test_the_whole_build_makes_a_base_that_loads(tmp_path: Path) -> None:
    settings = PocketImageSettings(
        num_processes=1,
        num_validation_scenes=2,
        size=TINY,
        corpus=ImageCorpusSettings(num_near_misses=2, num_normal=3, images_per_scene=2, seed=1),
        vision=ImageVisionSettings(num_steps=2, images_per_step=4),
        language=ImageLanguageSettings(num_steps=2, images_per_step=1, vocab_size=700, auxiliary_layer=0),
    )
    build(tmp_path / "base", tmp_path / "work", settings, SilentReporter())
    prompter = Prompter.load(tmp_path / "base")
    ids = prompter.prefix([0.0])
    assert ids.count(prompter.video_id) == settings.layout.tokens_per_frame == 54
    end = Tokenizer.from_file(str(tmp_path / "base" / "tokenizer.json")).token_to_id("<|vision_end|>")
    assert ids[-1] == end
    model = load_base(tmp_path / "base")
    assert model.config.model_type == "qwen2_vl" and weight_files(tmp_path / "base")
    assert "No risk" in (tmp_path / "base" / "README.md").read_text()
    with pytest.raises(UserError, match="exists already"):
        build(tmp_path / "base", tmp_path / "work", settings, SilentReporter())


def test_a_folder_of_clips_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text('{"clip_id": "a", "video": "a.mp4", "label": "normal"}\n')
    with pytest.raises(UserError, match="line 1: no image"):
        stills.load(tmp_path, tmp_path)

import json

import pytest

from hazardline.errors import UserError
from hazardline.synthesize.deterministic import annotate
from hazardline.synthesize.records import Record, read_records, write_records
from hazardline.tasks import PROMPTS
from tests.synthesize.scenes import scene


def records():
    row = scene("a", source="Nexar")
    return [Record.of(pair, row) for pair in annotate(row, "test", PROMPTS["crashchat@1"]).pairs]


def test_the_form_is_crashchats(tmp_path):
    path = tmp_path / "crashchat_test.json"
    write_records(path, records())
    assert json.loads(path.read_text())[4] == {
        "video": ["/clips/a.mp4"],
        "conversations": [
            {"from": "human", "value": "<video>\n" + PROMPTS["crashchat@1"].questions["crash_localization"]},
            {"from": "gpt", "value": "3.2 - 4.9 seconds"},
        ],
        "source": "Nexar",
    }


def test_round_trip(tmp_path):
    path = tmp_path / "records.json"
    write_records(path, records())
    found = read_records(path)
    assert found == records()
    assert found[0].question == PROMPTS["crashchat@1"].questions["crash_recognition"] and found[0].answer == "Yes"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("{}", "expected a JSON list"),
        ('[{"video": ["a"], "conversations": [], "source": "x"}]', r"records.json\[0\]: conversations"),
        (
            '[{"video": ["a"], "conversations": [{"from": "gpt", "value": "x"}, {"from": "gpt", "value": "y"}], '
            '"source": "x"}]',
            "expected a human turn",
        ),
    ],
)
def test_a_wrong_file_is_explained(tmp_path, text, message):
    path = tmp_path / "records.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_records(path)

"""What `docs/retraining.md` promises is what the code has."""

import re
import shlex
from typing import Any, get_args

import pytest
import typer
import yaml

from hazardline.cli.main import app as hazardline
from hazardline.notify.notice import Notice
from hazardline.retrain.conclusion import Outcome
from hazardline.retrain.config import RetrainConfig
from tests.pipelines.cluster import ROOT

from pipelines.__main__ import app as pipelines
from pipelines.cron import parse_cron

PAGE = (ROOT / "docs" / "retraining.md").read_text(encoding="utf-8")
COMMANDS = [
    words
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    for words in [shlex.split(line, comments=True)]
    if "pipelines" in words or words[:1] == ["hazardline"]
]


def test_the_recipe_of_the_page_is_right() -> None:
    block = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    data = yaml.safe_load(block[1])
    section = RetrainConfig.parse(data["retrain"], "page")
    assert section.dataset == data["ingest"]["dataset"]
    assert section.notify.num_attempts == RetrainConfig(dataset="x").notify.num_attempts
    assert RetrainConfig(dataset="x").approval == "manual", "as the page says"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_of_the_page_is_one(words: list[str]) -> None:
    command: Any
    if "pipelines" in words:
        words = words[words.index("pipelines") + 1 :]
        command = typer.main.get_command(pipelines)
    else:
        words, command = words[1:], typer.main.get_command(hazardline)
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
    if "--cron" in words:
        parse_cron(words[words.index("--cron") + 1])


def test_the_page_names_every_outcome_and_every_key() -> None:
    assert len(COMMANDS) >= 6
    outcomes = {value for part in get_args(Outcome) for value in (get_args(part) or (part,))}
    named = set(re.findall(r"`(\w+)`", PAGE))
    assert outcomes | {"failure"} | set(Notice.model_fields) - {"version"} <= named
    assert len(outcomes) == 8

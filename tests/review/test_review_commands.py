"""`hazardline review`: the commands of its page exist, and those that need no server run one after the other."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from typer.testing import CliRunner

from hazardline.cli.main import app
from hazardline.errors import UserError
from hazardline.review.project import read_tasks
from hazardline.tables import SCENES, read_table
from tests.review.reviewers import as_it_is, export, mark, replaced, write

PAGE = (Path(__file__).parents[2] / "docs/review.md").read_text(encoding="utf-8")


def commands() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line) for line in lines]


def run(*arguments: str | Path) -> dict[str, Any]:
    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_command_and_option_of_the_page_exists() -> None:
    found = commands()
    assert len(found) == 5
    group = typer.main.get_command(app)
    for program, *words in found:
        assert program == "hazardline"
        command: Any = group
        while isinstance(command, click.Group) or hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, command.name
    review = group.commands["review"]  # type: ignore[attr-defined]
    options = {name for command in review.commands.values() for parameter in command.params for name in parameter.opts}
    assert set(re.findall(r"`(--[a-z-]+)", PAGE)) <= options


def test_the_page_names_what_is_written(
    crash_inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's own commands, in its folders; the reviewers are simulated instead of push and pull."""
    (tmp_path / "work").mkdir()
    for name, folder in crash_inputs.items():
        (tmp_path / "work" / name).symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    sample, _, _, imported, applied = commands()
    assert run(*sample[1:])["num_clips"] == 18
    _, tasks = read_tasks(Path("work/review"))
    moves = lambda clip, found: replaced(found, mark("crash", 91, 150)) if clip == "crash-01" else found  # noqa: E731
    write(Path("work/export.json"), export(tasks, {1: moves, 2: moves, 3: as_it_is}))
    summary = run(*imported[1:], "--num-resamples", "100")
    assert summary["num_annotations"] == summary["num_annotations_used"] == 54
    assert run(*applied[1:])["num_applied"] == 1
    rows = {row["clip_id"]: row for row in read_table(SCENES, Path("work/ingest-reviewed"))}
    assert rows["crash-01"]["crash_start_s"] == 3.0
    for folder, section in (("review", 1), ("decisions", 3)):
        text = re.split(r"^## ", PAGE, flags=re.MULTILINE)[section]
        cells = " ".join(re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE))
        named = {name.rstrip("/") for name in re.findall(r"`(.*?)`", cells)}
        assert {path.name for path in Path("work", folder).iterdir()} == named


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "--out", "x"], "give --input ingest=DIR --input split=DIR --input synthesize=DIR"),
        (["sample", "--out", "x", "--input", "train=."], "expected STAGE=DIR with STAGE one of"),
        (["sample", "--out", "x", "--input", "ingest=/nowhere"], "is no folder"),
        (["sample", "--out", "x", "--copy-media", "--link-media"], "exclude each other"),
        (["import", "nowhere", "--export", "x", "--out", "y"], "nowhere/sample.json: cannot be read"),
        (
            ["apply", "nowhere", "--decisions", "x", "--out", "y", "--no-crash-label", "z"],
            "expected near_miss or normal",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        CliRunner().invoke(app, ["review", *arguments], catch_exceptions=False)

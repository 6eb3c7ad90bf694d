"""What `docs/cluster.md` promises is what the commands and the table of resources have."""

import re
import shlex

import pytest
import typer

from tests.pipelines.cluster import ROOT

from components.cluster import SecretFiles, read_resources
from pipelines.__main__ import app
from pipelines.cron import parse_cron

PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line.partition("-m pipelines ")[2])
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if "-m pipelines " in line
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_a_command_of_the_page_is_one(words: list[str]) -> None:
    command = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known
    assert [word for word in words if word.startswith("recipes/") and not (ROOT / word).is_file()] == []
    if "--cron" in words:
        parse_cron(words[words.index("--cron") + 1])


def test_the_page_names_every_object_and_its_keys() -> None:
    table = read_resources()
    assert len(COMMANDS) == 5
    rows = {row.split("`")[1]: row for row in PAGE.splitlines() if row.startswith(("| ConfigMap", "| Secret"))}
    settings = table.settings
    wanted = {settings.name: [*settings.required, *settings.optional]}
    for name, secret in table.secrets.items():
        wanted[secret.name] = [secret.folder] if isinstance(secret, SecretFiles) else list(secret.keys)
        users = [task for task, found in table.tasks.items() if name in found.secrets]
        shown = "every task" if len(users) == len(table.tasks) else ", ".join(users)
        assert rows[secret.name].endswith(f"| {shown} |")
    assert set(rows) == set(wanted)
    assert [key for name, keys in wanted.items() for key in keys if f"`{key}`" not in rows[name]] == []

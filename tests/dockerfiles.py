"""Reads Dockerfiles, for tests that hold them against rules."""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docker"
FILES = sorted(FOLDER.glob("*.Dockerfile"))


@dataclass(frozen=True)
class Instruction:
    """One instruction, its lines joined."""

    name: str
    text: str


@dataclass(frozen=True)
class Dockerfile:
    """Instructions before the first FROM, and those of each stage, beginning with its FROM."""

    head: list[Instruction]
    stages: list[list[Instruction]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """The texts of all instructions of a kind."""
        return [found.text for part in (self.head, *self.stages) for found in part if found.name == name]

    def last(self, name: str) -> list[str]:
        """The same of the last stage, which becomes the image."""
        return [found.text for found in self.stages[-1] if found.name == name]


def parse(text: str) -> Dockerfile:
    """Split a Dockerfile into its instructions."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    found = Dockerfile([])
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        name, _, rest = line.strip().partition(" ")
        if not name:
            continue
        if name == "FROM":
            found.stages.append([])
        (found.stages[-1] if found.stages else found.head).append(Instruction(name, " ".join(rest.split())))
    return found


def context_files() -> set[str]:
    """What `.dockerignore` lets into a build: its patterns, without the first, which keeps everything out."""
    first, *others = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert first == "*"
    return {line.removeprefix("!") for line in others if line.startswith("!")}

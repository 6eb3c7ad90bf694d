"""The result document, `benchmarks/results/training.json`: one row a case, a ratio above 1 means ours is better."""

import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from hazardline.documents import Document

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "training.json"
_PACKAGES = ("torch", "transformers", "peft", "accelerate", "av")
_MORE_IS_BETTER = ("QA/s", "tokens/s", "fraction", "accuracy")
_LESS_IS_BETTER = ("s", "s/QA", "MiB", "loss")


class Row(Document):
    """One comparison.

    Attributes:
        case: name, as the acceptance of the issue has it where there is one.
        ours: figure of hazardline.
        peer: figure of what it is measured against.
        unit: of both; it decides which direction is better.
        ratio: above 1 where ours is better.
        note: what the peer is, in a few words.
        detail: everything else that was measured with it.
        commit: of the code that was measured; rows of one document may come from several runs.
        load: of the machine when the row was recorded, mean over a minute.
    """

    case: str
    ours: float
    peer: float
    unit: str
    ratio: float
    note: str = ""
    detail: dict[str, Any] = Field(default_factory=dict)
    commit: str = ""
    load: float = 0.0


class Machine(Document):
    """Where the rows were measured, and how busy that machine was before the last of them."""

    processor: str
    cores: int
    threads: int
    system: str
    python: str
    load_average: tuple[float, ...]


class Results(Document):
    """All rows of the last run of every case."""

    version: Literal["training_benchmark@1"] = "training_benchmark@1"
    machine: Machine
    commit: str
    versions: dict[str, str]
    rows: Annotated[list[Row], Field(default_factory=list)]


def ratio_of(ours: float, peer: float, unit: str) -> float:
    """How many times better ours is.

    Raises:
        ValueError: a unit whose direction is not known.
    """
    if unit in _MORE_IS_BETTER:
        return ours / peer
    if unit in _LESS_IS_BETTER:
        return peer / ours
    raise ValueError(f"unit {unit!r}: expected one of {', '.join(_MORE_IS_BETTER + _LESS_IS_BETTER)}")


def row(case: str, ours: float, peer: float, unit: str, note: str = "", **detail: Any) -> Row:
    """A row, its ratio in the direction of its unit."""
    return Row(
        case=case,
        ours=_rounded(ours),
        peer=_rounded(peer),
        unit=unit,
        ratio=round(ratio_of(ours, peer, unit), 3),
        note=note,
        detail=detail,
    )


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def merged(before: Sequence[Row], new: Iterable[Row]) -> list[Row]:
    """Rows with those of `new` in place of older ones of the same case; the order of first appearance stays."""
    by_case = {one.case: one for one in before}
    by_case.update({one.case: one for one in new})
    return list(by_case.values())


def record(new: Iterable[Row], path: Path = RESULTS) -> Results:
    """Write rows into the document, keeping cases that were not measured this time."""
    before = Results.read(path).rows if path.is_file() else []
    machine, commit = this_machine(), _commit()
    stamped = [one.model_copy(update={"commit": commit, "load": machine.load_average[0]}) for one in new]
    results = Results(machine=machine, commit=commit, versions=_versions(), rows=merged(before, stamped))
    path.parent.mkdir(parents=True, exist_ok=True)
    results.write(path)
    return results


def this_machine() -> Machine:
    """The machine as it is now."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        threads=1,
        system=platform.platform(),
        python=platform.python_version(),
        load_average=tuple(round(load, 2) for load in os.getloadavg()),
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 - git

    return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", "src") else "")


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _PACKAGES}

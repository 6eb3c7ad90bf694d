"""The commands of `docs/runbook.md`, by the names that stand before them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"(?:<!-- (test|not tested): ([^>]+?) -->\n)?```sh\n(.*?)```", re.DOTALL)


def blocks() -> list[tuple[str, str, str]]:
    """Mark (`test`, `not tested` or nothing), name or reason, and text of every block of commands."""
    return _BLOCK.findall((ROOT / "docs/runbook.md").read_text(encoding="utf-8"))


def block(name: str) -> str:
    """Commands of a block that tests run."""
    (text,) = [text for mark, named, text in blocks() if (mark, named) == ("test", name)]
    return text

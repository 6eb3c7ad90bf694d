"""Corrections of reviews, applied while the scenes are written; each is applied, or named with the reason why not."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hazardline.documents import Document
from hazardline.review.corrections import (
    CORRECTIONS_NAME,
    SCENE_FIELDS,
    Correction,
    CorrectionProblem,
    apply_corrections,
    of_answers,
    read_corrections,
    write_corrections,
)


class NotApplied(Document):
    """Corrections of a clip that stays as it was, and why (`hazardline.review.corrections.CorrectionProblem`)."""

    clip_id: str
    field: str
    reason: str
    detail: str


class Overlay:
    """The corrections of several reviews, by clip."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Read them.

        Raises:
            UserError: a file cannot be read, or a line is no correction.
        """
        self._corrections = [item for path in paths for item in read_corrections(path)]
        self._left: dict[str, list[Correction]] = {}
        for item in self._corrections:
            self._left.setdefault(item.clip_id, []).append(item)
        self._problems: list[CorrectionProblem] = []
        self.num_applied = 0
        """Values of the scenes that are other ones now, or were the corrected ones already."""

    def apply(self, scene: dict[str, Any]) -> dict[str, Any]:
        """A row of the scenes table, corrected where somebody has corrected it."""
        own = self._left.pop(scene["clip_id"], [])
        row, problems = apply_corrections(scene, own)
        self._problems += problems
        self.num_applied += 0 if problems else sum(item.field in SCENE_FIELDS for item in own)
        return row

    def not_applied(self) -> tuple[NotApplied, ...]:
        """What could not be applied, after the last row."""
        left = [
            CorrectionProblem(clip_id, items[0].field, "unknown_clip", f"{len(items)} corrections of no usable clip")
            for clip_id, items in self._left.items()
        ]
        return tuple(NotApplied(**asdict(problem)) for problem in [*self._problems, *left])

    def answers(self) -> list[dict[str, Any]]:
        """Corrections of answers: they change the content of the data set, and no row of the scenes."""
        return of_answers(self._corrections)

    def write(self, out: Path) -> None:
        """Leave them beside the scenes for synthesize, which applies those of answers; nothing where there are none."""
        if self._corrections:
            write_corrections(out / CORRECTIONS_NAME, self._corrections)

"""The published annotator: the pairs that a data set came with, word for word, from the table that ingest wrote.

A data set without any has no table; its clips are asked nothing.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hazardline.errors import UserError
from hazardline.suites import HAZARDNET, Suite
from hazardline.synthesize.hazard_pairs import risk_known
from hazardline.synthesize.pair import Annotation, Clip, QaPair, SceneRow, qa_id
from hazardline.synthesize.validate import PUBLISHED
from hazardline.tables import RECORDS, read_rows
from hazardline.tasks import PromptSet

NO_RECORD = "the data set publishes no pair of this clip"


class PublishedPairs:
    """Walks `records.parquet` beside the clips, which must come in the order of their ids."""

    def __init__(self, folder: Path, suite: Suite, prompts: PromptSet) -> None:
        """Use a folder that ingest wrote.

        Raises:
            UserError: the table cannot be read.
        """
        self._path = folder / RECORDS.file_name
        self._rows = read_rows(RECORDS, folder) if self._path.exists() else iter(())
        self._suite, self._prompts = suite, prompts
        self.num_unused = 0
        """Records of clips that are not in the scenes table."""

    def annotate(self, clips: Iterable[Clip]) -> Iterator[tuple[Clip, Annotation]]:
        """Each clip with its records.

        Raises:
            UserError: the records are not in the order of clip_id.
        """
        row = self._next("")
        for clip in clips:
            while row is not None and row["clip_id"] < clip.clip_id:
                self.num_unused += 1
                row = self._next(row["clip_id"])
            pairs = []
            while row is not None and row["clip_id"] == clip.clip_id:
                pairs.append(self._pair(row, clip))
                row = self._next(row["clip_id"])
            yield clip, Annotation(pairs, [] if pairs else [(task, NO_RECORD) for task in self._suite.tasks])
        while row is not None:
            self.num_unused += 1
            row = self._next(row["clip_id"])

    def _next(self, after: str) -> dict[str, Any] | None:
        row = next(self._rows, None)
        if row is not None and row["clip_id"] < after:
            raise UserError(
                f"{self._path}: {row['clip_id']} stands behind {after}; expected the order of clip_id, run ingest again"
            )
        return row

    def _pair(self, row: dict[str, Any], clip: Clip) -> QaPair:
        return QaPair(
            qa_id=qa_id(clip.clip_id, row["task"]),
            clip_id=clip.clip_id,
            split=clip.split,
            task=row["task"],
            question=row["question"],
            answer=row["answer"],
            is_positive=_is_positive(clip.scene, self._suite),
            annotator=PUBLISHED,
            prompt_version=self._prompts.version,
        )


def _is_positive(scene: SceneRow, suite: Suite) -> bool:
    """Whether a clip shows a crash; of an image, whether it shows a risk (as far as its annotation says so)."""
    if suite is HAZARDNET:
        is_risk = risk_known(scene)
        return scene["label"] != "normal" if is_risk is None else is_risk
    return bool(scene["label"] == "crash")

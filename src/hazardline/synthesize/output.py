"""The files of the synthesize stage, written clip by clip: each takes its name only when all are whole."""

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from hazardline.suites import Suite
from hazardline.synthesize.pair import Annotation, Clip
from hazardline.synthesize.published import PublishedWriter
from hazardline.synthesize.validate import Validation
from hazardline.tables import FAILED, QA, REJECTED, TableWriter


class OutputWriter:
    """Writes `qa.parquet`, `rejected.parquet`, `failed.parquet` and the published forms."""

    def __init__(self, out: Path, suite: Suite) -> None:
        """Write into a folder, as a context manager."""
        self._qa = TableWriter(QA, out)
        self._rejected = TableWriter(REJECTED, out)
        self._failed = TableWriter(FAILED, out)
        self._published = PublishedWriter(out, suite)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        for writer in (self._qa, self._rejected, self._failed, self._published):
            self._open.enter_context(writer)
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def write(self, clip: Clip, annotation: Annotation, checked: Validation) -> None:
        """Add what became of a clip."""
        for pair in checked.accepted:
            self._qa.write(pair.row())
            self._published.write(pair, clip.scene)
        for item in checked.rejected:
            self._rejected.write({**item.pair.row(), "reason": item.reason, "detail": item.detail})
        if annotation.failure is not None:
            self._failed.write({"clip_id": clip.clip_id, **asdict(annotation.failure)})

"""The pairs once more in the form in which each paper published its own: for other tools, and no stage reads them."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from hazardline.hazardnet import TOPICS
from hazardline.suites import HAZARDNET, Suite
from hazardline.synthesize.hazard_records import HazardRecord, hazard_records_name
from hazardline.synthesize.json_list import JsonListWriter
from hazardline.synthesize.pair import QaPair, SceneRow
from hazardline.synthesize.records import Record, records_name

SPLITS = ("train", "validation", "test")


class PublishedWriter:
    """Writes a file a split: CrashChat's conversations, or HazardQA's rows (the classification is no part of those)."""

    def __init__(self, out: Path, suite: Suite) -> None:
        """Write into a folder, as a context manager."""
        name = hazard_records_name if suite is HAZARDNET else records_name
        self._suite = suite
        self._lists = {split: JsonListWriter(out / name(split)) for split in SPLITS}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        for one in self._lists.values():
            self._open.enter_context(one)
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def write(self, pair: QaPair, scene: SceneRow) -> None:
        """Add a pair of a clip."""
        if self._suite is not HAZARDNET:
            self._lists[pair.split].write(Record.of(pair, scene))
        elif pair.task in TOPICS:
            self._lists[pair.split].write(HazardRecord.of(pair, scene))

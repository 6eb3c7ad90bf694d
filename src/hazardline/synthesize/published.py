"""The pairs once more in the form in which each paper published its own: for other tools, and no stage reads them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hazardline.hazardnet import TOPICS
from hazardline.suites import HAZARDNET, Suite
from hazardline.synthesize.hazard_records import HazardRecord, hazard_records_name, write_hazard_records
from hazardline.synthesize.pair import QaPair, SceneRow
from hazardline.synthesize.records import Record, records_name, write_records

SPLITS = ("train", "validation", "test")


def write_published(out: Path, pairs: Sequence[QaPair], scenes: Mapping[str, SceneRow], suite: Suite) -> None:
    """Write a file a split: CrashChat's conversations, or HazardQA's rows (the classification is no part of those)."""
    for split in SPLITS:
        chosen = [pair for pair in pairs if pair.split == split]
        if suite is HAZARDNET:
            topics = [HazardRecord.of(pair, scenes[pair.clip_id]) for pair in chosen if pair.task in TOPICS]
            write_hazard_records(out / hazard_records_name(split), topics)
        else:
            write_records(out / records_name(split), [Record.of(pair, scenes[pair.clip_id]) for pair in chosen])

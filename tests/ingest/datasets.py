"""Data sets on disk, and the stage's steps without processes."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from hazardline.datasets.store import DatasetStore
from hazardline.file_digests import FileDigests
from hazardline.ingest.adapter import Candidate, Problem
from hazardline.ingest.candidates import collect
from hazardline.ingest.config import SourceConfig
from hazardline.ingest.examine import Bench, examine
from hazardline.ingest.executors import Executor
from hazardline.ingest.inspection import Inspection
from hazardline.ingest.judge import judge, result_of
from hazardline.ingest.known import KnownContents
from hazardline.ingest.place import LocalPlace
from hazardline.ingest.scene_rows import scene_row
from hazardline.ingest.sources import adapter_of
from hazardline.ingest.stage import examine_new
from hazardline.ingest.work import Work
from hazardline.progress import SilentReporter
from tests.video_files import cut, moving_pictures, write_clip, write_sound

CRASH_TIMES = {"pre_crash_start_s": 0.5, "crash_start_s": 1.0, "crash_end_s": 1.5}


def clip(clip_id: str, video: str, label: str = "normal", **more: Any) -> dict[str, Any]:
    """A line of a native manifest."""
    return {"clip_id": clip_id, "video": video, "label": label, **more}


def write_manifest(root: Path, lines: Sequence[dict[str, Any] | str]) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    root.mkdir(parents=True, exist_ok=True)
    (root / "manifest.jsonl").write_text("\n".join(texts) + "\n", encoding="utf-8")
    return root


def candidates(root: Path, config: SourceConfig) -> Iterator[Candidate | Problem]:
    """What the adapter of a source says of a folder."""
    return adapter_of(LocalPlace(root), config).candidates()


@contextmanager
def books(root: Path, config: SourceConfig) -> Iterator[tuple[Work, KnownContents]]:
    """The books of an ingest in this process, every clip looked at, judged."""
    with tempfile.TemporaryDirectory() as name:
        store = DatasetStore(Path(name))
        bench = Bench.of_this_process(store)
        with closing(Work(Path(name) / "work.sqlite")) as work:
            place = LocalPlace(root)
            collect(work, place, adapter_of(place, config), store)
            with (
                closing(KnownContents(store.known_path, bench.found_by)) as known,
                closing(FileDigests(store.root / "digests.sqlite")) as digests,
            ):
                examine_new(work, store, known, digests, _in_line(bench), SilentReporter())
                judge(work, known)
                yield work, known


def _in_line(bench: Bench) -> Executor:
    return lambda pending: ((item.number, examine(bench, item.media)) for item in pending)


def select(root: Path, config: SourceConfig) -> tuple[list[Candidate], list[Problem]]:
    """Candidates that can be opened, and the others; nothing is looked at."""
    with tempfile.TemporaryDirectory() as name, closing(Work(Path(name) / "work.sqlite")) as work:
        place = LocalPlace(root)
        collect(work, place, adapter_of(place, config), DatasetStore(Path(name)))
        for item in work.media():
            work.settle(item.number, item.media.where, "")
        return [seen.candidate for seen in work.seen()], list(work.problems())


def in_process(root: Path, config: SourceConfig) -> tuple[list[dict[str, Any]], dict[str, Problem]]:
    """Scenes, and problems by clip id, without worker processes."""
    with books(root, config) as (work, known):
        scenes = []
        for seen in work.usable():
            found = result_of(seen, known)
            assert isinstance(found, Inspection)
            scenes.append(scene_row(seen, found))
        rows = list(work.problems())
    by_id = {row.clip_id: row for row in rows}
    assert len(by_id) == len(rows)
    return scenes, by_id


def write_hostile_folder(root: Path) -> Path:
    """The folder of the acceptance test: one of each trouble beside two good clips."""
    write_clip(root / "good.mp4", moving_pictures(0, 20))
    write_clip(root / "Ünï cödé 衝突 two.mp4", moving_pictures(1, 20))
    (root / "zero.mp4").touch()
    cut(write_clip(root / "cut.mp4", moving_pictures(2, 40)), 0.5)
    (root / "text.mp4").write_text("not a video\n" * 50)
    (root / "copy.mp4").write_bytes((root / "good.mp4").read_bytes())
    write_clip(root / "order.mp4", moving_pictures(3, 20))
    backwards = {"pre_crash_start_s": 1.2, "crash_start_s": 1.0, "crash_end_s": 1.5}
    return write_manifest(
        root,
        [
            clip("good", "good.mp4", "crash", times=CRASH_TIMES, scenario="rear_end"),
            clip("unicode", "Ünï cödé 衝突 two.mp4", "near_miss"),
            clip("zero", "zero.mp4"),
            clip("cut", "cut.mp4"),
            clip("text", "text.mp4"),
            clip("copy", "copy.mp4"),
            clip("order", "order.mp4", "crash", times=backwards),
        ],
    )


def cut_clip(path: Path) -> Path:
    """A video whose second half is missing."""
    return cut(write_clip(path, moving_pictures(2, 40)), 0.5)


def write_silent(root: Path) -> Path:
    return write_sound(root / "sound.mp4")

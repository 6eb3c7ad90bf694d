"""Data sets on disk, and the stage's steps without processes."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hazardline.ingest import stage
from hazardline.ingest.adapter import Candidate, Problem
from hazardline.ingest.config import SourceConfig
from hazardline.ingest.inspection import inspect
from hazardline.ingest.place import LocalPlace
from hazardline.ingest.sources import adapter_of
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


def select(root: Path, config: SourceConfig) -> tuple[stage.Found, list[Problem]]:
    """Candidates that can be opened, and the others."""
    place = LocalPlace(root)
    return stage.select(place, adapter_of(place, config))


def in_process(root: Path, config: SourceConfig) -> tuple[list[dict[str, Any]], dict[str, Problem]]:
    """Scenes, and problems by clip id, without worker processes."""
    found, problems = select(root, config)
    scenes, _, _, late = stage.judge(found, [inspect(path) for _, path in found])
    rows = [*problems, *late]
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


def write_silent(root: Path) -> Path:
    return write_sound(root / "sound.mp4")

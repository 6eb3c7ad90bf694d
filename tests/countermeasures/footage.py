"""Small data sets that leak, ingested in this process."""

from pathlib import Path
from typing import Any

import numpy as np

from hazardline.ingest.config import SourceConfig
from hazardline.ingest.features import FEATURES
from hazardline.ingest.fingerprints import FINGERPRINTS
from hazardline.ingest.inspection import Inspection
from hazardline.ingest.judge import result_of
from hazardline.ingest.scene_rows import scene_row
from hazardline.tables import SCENES, write_table
from tests.ingest.datasets import books, clip, write_manifest
from tests.video_files import moving_pictures, write_clip

TIMES = {"pre_crash_start_s": 1.6, "crash_start_s": 2.0, "crash_end_s": 2.6}


def ingested(root: Path, out: Path) -> Path:
    """The tables of a native folder."""
    out.mkdir(parents=True)
    scenes, features, fingerprints = [], [], []
    with books(root, SourceConfig()) as (work, known):
        for seen in work.usable():
            found = result_of(seen, known)
            assert isinstance(found, Inspection)
            scenes.append(scene_row(seen, found))
            features.append({"clip_id": scenes[-1]["clip_id"], **vars(found.features)})
            fingerprints.append({"clip_id": scenes[-1]["clip_id"], "frames": found.fingerprint})
        assert list(work.problems()) == []
    write_table(SCENES, out, scenes)
    write_table(FEATURES, out, features)
    write_table(FINGERPRINTS, out, fingerprints)
    return out


def planted(root: Path, num_clips: int) -> Path:
    """Crashes of one codec and size, ordinary driving of another; the pictures say nothing."""
    lines: list[dict[str, Any]] = []
    for k in range(num_clips):
        large = np.repeat(np.repeat(moving_pictures(2 * k, 30), 2, 1), 2, 2)
        write_clip(root / f"crash{k:02}.mp4", large, codec="mpeg4")
        write_clip(root / f"normal{k:02}.mp4", moving_pictures(2 * k + 1, 30))
        texts = {"description": "A car hits a van.", "agents": ["car", "van"]}
        lines.append(clip(f"crash{k:02}", f"crash{k:02}.mp4", "crash", times=TIMES, channel_id=f"c{k}", **texts))
        lines.append(clip(f"normal{k:02}", f"normal{k:02}.mp4", published_split="train", weather="rainy"))
    return write_manifest(root, lines)

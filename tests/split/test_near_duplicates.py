from pathlib import Path

import numpy as np
import pytest

from hazardline.ingest.fingerprints import FINGERPRINTS, INNER, INNER_CHANGE, MIRROR, NUM_WORDS
from hazardline.split import candidates, disk_sort
from hazardline.split.columns import Clips
from hazardline.split.near_duplicates import NearDuplicates, near_duplicates
from hazardline.tables import write_table
from tests.split.tables import fingerprints, frames, scene, with_flips

LIMIT = 0.3
FLIPS = np.concatenate([MIRROR, MIRROR, MIRROR[:1], MIRROR[:1]])


def _found(folder: Path, clips: dict[str, np.ndarray]) -> NearDuplicates:
    scenes = [scene(name) for name in clips]
    write_table(FINGERPRINTS, folder, fingerprints(scenes, clips))
    found = near_duplicates(Clips.of_rows(scenes), folder, LIMIT, folder)
    assert [path.name for path in folder.iterdir()] == ["fingerprints.parquet"], "scratch files are left"
    return found


def _others(num: int) -> dict[str, np.ndarray]:
    return {f"other-{k:03}": frames(1000 + k) for k in range(num)}


def test_copies_are_found_and_others_are_not(tmp_path: Path) -> None:
    base, other = frames(0), frames(9)
    clips = {
        "base": base,
        "noisy": with_flips(base, 0.06),
        "mirrored": base ^ FLIPS,
        "trimmed": base[6:],
        "cropped": np.concatenate([base[:, INNER], other[:, INNER], base[:, [INNER_CHANGE]], other[:, [7]]], 1),
        **_others(200),
    }
    found = _found(tmp_path, clips)
    linked = {clip for pair in found.neighbours for clip in (pair.first, pair.second)}
    assert linked == {"base", "noisy", "mirrored", "trimmed", "cropped"}
    assert len(found.neighbours) == 4 and found.num_clips_in_largest_group == 5 and found.num_uninformative == 0
    (turned,) = (pair for pair in found.neighbours if "mirrored" in (pair.first, pair.second))
    assert turned.is_mirrored
    (late,) = (pair for pair in found.neighbours if "trimmed" in (pair.first, pair.second))
    assert abs(late.offset_s) == pytest.approx(6 / 2.5)


def test_the_same_pictures_with_other_motion_are_another_clip(tmp_path: Path) -> None:
    camera = frames(0)
    later = np.concatenate([camera[:, :6], frames(1)[:, 6:]], 1)
    assert _found(tmp_path, {"a": camera, "b": later, **_others(20)}).neighbours == []
    parked = camera.copy()
    parked[:, 6:] = 0
    (pair,) = _found(tmp_path, {"a": parked, "b": with_flips(parked, 0.03) * (parked != 0), **_others(20)}).neighbours
    assert {pair.first, pair.second} == {"a", "b"} and pair.distance < 0.15


def test_blank_pictures_match_nothing_and_are_counted(tmp_path: Path) -> None:
    black = np.zeros((20, NUM_WORDS), np.uint64)
    glimpse = black.copy()
    glimpse[3:5] = frames(0, 2)
    clips = {"black": black, "dark": black, "glimpse": glimpse, "other": glimpse, "empty": black[:0], **_others(5)}
    found = _found(tmp_path, clips)
    assert found.neighbours == [] and found.num_uninformative == 5


def test_images_are_compared_by_their_one_picture(tmp_path: Path) -> None:
    image = frames(0, 1)
    image[:, 6:] = 0
    near, far = (with_flips(image, share, seed) * (image != 0) for share, seed in ((0.05, 1), (0.16, 2)))
    found = _found(tmp_path, {"image": image, "near": near, "far": far, **_others(50)})
    assert [{pair.first, pair.second} for pair in found.neighbours] == [{"image", "near"}]


def test_equal_clips_are_chained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    num_hits = 0
    met = candidates._met

    def counted(rows: np.ndarray, step: int, groups: np.ndarray) -> np.ndarray:
        nonlocal num_hits
        found = met(rows, step, groups)
        num_hits += len(found)
        return found

    monkeypatch.setattr(candidates, "_met", counted)
    clip = frames(0)
    clip[:, 3:6] = clip[:, :3]
    found = _found(tmp_path, {f"c{k:04}": clip for k in range(1500)})
    assert len(found.neighbours) == 1499 and found.num_clips_in_largest_group == 1500
    assert num_hits < 1500 * 10 * 2 * 4, "frames by window in the first sorting, nothing new in later ones"


def test_a_dark_title_that_all_clips_share_joins_none(tmp_path: Path) -> None:
    clips = _others(300)
    for clip in clips.values():
        clip[:4] = frames(0, 4)
    copy = {"copy": with_flips(clips["other-150"], 0.05)}
    found = _found(tmp_path, {**clips, **copy})
    assert [{pair.first, pair.second} for pair in found.neighbours] == [{"copy", "other-150"}]


def test_neither_order_nor_blocks_change_the_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = _others(60)
    clips |= {f"copy-{k:03}": with_flips(clips[f"other-{k:03}"], 0.05, k) for k in range(30)}
    whole = _found(tmp_path, clips)
    assert whole == _found(tmp_path, clips) and len(whole.neighbours) == 30
    monkeypatch.setattr(disk_sort, "RUN_ROWS", 300)
    monkeypatch.setattr(disk_sort, "_MERGE_ROWS", 100)
    monkeypatch.setattr(disk_sort, "_LEAST_BLOCK_ROWS", 10)
    in_pieces = _found(tmp_path, clips)
    pairs = [{(pair.first, pair.second) for pair in found.neighbours} for found in (whole, in_pieces)]
    assert pairs[0] == pairs[1]


def test_nothing_gives_nothing(tmp_path: Path) -> None:
    assert _found(tmp_path, {}) == NearDuplicates([], 0, 0)

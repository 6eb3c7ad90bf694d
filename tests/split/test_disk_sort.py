from pathlib import Path

import numpy as np
import pytest

from hazardline.split import disk_sort
from hazardline.split.disk_sort import DiskSort


def _rows(num: int, num_keys: int) -> np.ndarray:
    keys = np.random.default_rng(num).integers(0, num_keys, num, np.uint64)
    return np.stack([keys, np.arange(num, dtype=np.uint64)], 1)


@pytest.mark.parametrize("num_keys", [1, 7, 1 << 63])
def test_runs_on_disk_are_merged_as_memory_would_sort_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_keys: int
) -> None:
    monkeypatch.setattr(disk_sort, "RUN_ROWS", 1000)
    monkeypatch.setattr(disk_sort, "_MERGE_ROWS", 600)
    monkeypatch.setattr(disk_sort, "_LEAST_BLOCK_ROWS", 50)
    rows = _rows(10_000, num_keys)
    sort = DiskSort(tmp_path / "rows", 2)
    for part in np.array_split(rows, 37):
        sort.add(part)
    blocks = list(sort.blocks())
    found = np.concatenate(blocks)
    assert len(blocks) > 5 and max(map(len, blocks)) < 3000
    assert (np.diff(found[:, 0].astype(np.float64)) >= 0).all()
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, rows.tolist()))
    assert list(tmp_path.iterdir()) == []


def test_few_rows_stay_in_memory(tmp_path: Path) -> None:
    sort = DiskSort(tmp_path / "rows", 2)
    assert list(sort.blocks()) == []
    sort.add(np.array([[3, 0], [1, 1], [3, 2]], np.uint64))
    assert np.concatenate(list(sort.blocks())).tolist() == [[1, 1], [3, 0], [3, 2]]
    assert list(tmp_path.iterdir()) == []

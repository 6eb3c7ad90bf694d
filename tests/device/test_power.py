"""What must be on the disk before what: a power cut may forget everything that was not flushed."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.release.world import World


def test_a_slot_is_listed_only_after_all_of_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World.at(tmp_path)
    world.release_version("1")
    device = world.device()
    world.update(device)
    world.release_version("2")

    flushed: set[int] = set()
    listed: list[dict[str, Any]] = []
    replace, rename = os.replace, os.rename

    def record_flush(handle: int) -> None:
        flushed.add(os.fstat(handle).st_ino)

    def check(source: Any, target: Any) -> None:
        path = Path(target)
        if path.is_relative_to(device.root) and not path.is_relative_to(device.metadata):
            is_linked = Path(source).stat().st_nlink > 1
            assert is_linked or Path(source).stat().st_ino in flushed, f"{source} got its name before it was flushed"
        if path == device.state_path:
            state = json.loads(Path(source).read_bytes())
            if "b" in state["slots"] and not listed:
                inside = [device.slot("b"), device.slot("b").parent, *device.slot("b").rglob("*")]
                assert len(inside) > 8
                missing = [str(item) for item in inside if item.stat().st_ino not in flushed]
                assert missing == []
                listed.append(state)

    def checked_replace(source: Any, target: Any) -> None:
        check(source, target)
        replace(source, target)

    def checked_rename(source: Any, target: Any) -> None:
        check(source, target)
        rename(source, target)

    monkeypatch.setattr(os, "fsync", record_flush)
    monkeypatch.setattr(os, "replace", checked_replace)
    monkeypatch.setattr(os, "rename", checked_rename)
    assert world.update(device).version == 2
    assert len(listed) == 1
    metadata = [path for path in device.metadata.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(metadata) >= 4 and all(path.stat().st_ino in flushed for path in metadata)

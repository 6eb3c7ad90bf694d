"""The data set store under kills, full disks, damage, and ingests at the same time."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hazardline.datasets.store import DatasetStore
from hazardline.datasets.verify import verify
from hazardline.errors import UserError
from hazardline.ingest import stage
from hazardline.ingest.config import IngestConfig
from hazardline.progress import SilentReporter
from hazardline.tables import SCENES, read_table
from tests.ingest.datasets import clip, write_manifest
from tests.ingest.test_frame_folder import write_frames
from tests.video_files import moving_pictures, write_clip

NUM_POINTS = 16
INGEST = [sys.executable, "-m", "hazardline", "ingest"]


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    root = tmp_path / "footage"
    for k in range(2):
        write_clip(root / f"{k}.mp4", moving_pictures(k, 10))
    for name in "fg":
        write_frames(root / name, ".png", 6 if name == "f" else 7)
    frames = [clip(name, name, fps=10) for name in "fg"]
    return write_manifest(root, [*(clip(f"c{k}", f"{k}.mp4") for k in range(2)), *frames])


def ingest(footage: Path, out: Path) -> None:
    out.mkdir()
    stage.run(IngestConfig(root=str(footage), dataset="mine", num_workers=1), {}, out, SilentReporter())


def test_killed_at_any_point_the_store_stays_consistent(footage: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    program = [sys.executable, str(Path(__file__).with_name("kill_points.py"))]
    done = subprocess.run(
        [*program, str(footage), str(tmp_path / "work"), str(NUM_POINTS)], capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert len(results) == NUM_POINTS
    for result in results:
        assert result["was_killed"] and not result["damage_after_kill"], result
        assert result["second_status"] == 0 and result["is_expected"] and result["is_consistent"], result
        assert result["num_versions"] == 1, result
    assert any("known.sqlite" in r["point"] or "INSERT" in r["point"] for r in results)


def test_two_ingests_at_once(footage: Path, tmp_path: Path, datasets_of_this_test: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(footage, other)
    manifest = (other / "manifest.jsonl").read_text().splitlines()
    (other / "manifest.jsonl").write_text("\n".join(manifest[1:]) + "\n")
    recipe = tmp_path / "both"
    recipe.mkdir()
    program = (
        "import sys; from pathlib import Path; from hazardline.ingest import stage;"
        "from hazardline.ingest.config import IngestConfig; from hazardline.progress import SilentReporter;"
        "out = Path(sys.argv[2]); out.mkdir();"
        "stage.run(IngestConfig(root=sys.argv[1], dataset='mine', num_workers=1), {}, out, SilentReporter())"
    )
    roots = [footage, other, footage, other]
    processes = [
        subprocess.Popen([sys.executable, "-c", program, str(root), str(recipe / str(k))], stderr=subprocess.PIPE)
        for k, root in enumerate(roots)
    ]
    for process in processes:
        _, error = process.communicate(timeout=300)
        assert process.returncode == 0, error.decode()
    assert [len(read_table(SCENES, recipe / str(k))) for k in range(4)] == [4, 3, 4, 3]
    store = DatasetStore(datasets_of_this_test)
    found = verify(store, SilentReporter())
    assert found.is_consistent and not found.observations
    version, chain = store.head("mine"), []
    while version is not None:
        chain.append(version.num_clips)
        version = store.version(version.parent) if version.parent else None
    assert len(chain) == found.num_versions and all(a != b for a, b in itertools.pairwise(chain))


def test_a_full_disk_is_said_and_leaves_nothing_half_written(footage: Path, tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("no mount namespaces here")
    small = tmp_path / "small"
    small.mkdir()
    script = tmp_path / "full.sh"
    environment = {**os.environ, "HAZARDLINE_DATASETS": str(small / "store")}
    seen = []
    for size_kb in (48, 100, 150):
        script.write_text(
            f"mount -t tmpfs -o size={size_kb}k tmpfs {small} || exit 77\n"
            f"rm -rf {tmp_path}/out\n"
            f"{' '.join(INGEST)} --root {footage} --out {tmp_path}/out; echo ingest $?\n"
            f"{' '.join(INGEST)} --verify; echo verify $?\n"
            f"mount -o remount,size=64m {small}\n"
            f"rm -rf {tmp_path}/out\n"
            f"{' '.join(INGEST)} --root {footage} --out {tmp_path}/out >/dev/null; echo again $?\n"
            f"{' '.join(INGEST)} --verify; echo verify $?\n"
        )
        done = subprocess.run(
            ["unshare", "-rm", "sh", str(script)], capture_output=True, text=True, env=environment, timeout=300
        )
        if done.returncode == 77:
            pytest.skip("tmpfs cannot be mounted here")
        text = done.stdout + done.stderr
        assert "Traceback" not in text, text
        assert "again 0" in text and "verify 0" in text and "verify 1" not in text, text
        seen.append(("ingest 2" in text and "run again" in text) or "has room" in text)
        assert seen[-1] or "ingest 0" in text, text
    assert sum(seen) >= 2


def test_verify_says_what_is_damaged(
    footage: Path, tmp_path: Path, datasets_of_this_test: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="no data set store"):
        verify(DatasetStore(datasets_of_this_test), SilentReporter())
    ingest(footage, tmp_path / "out")
    store = DatasetStore(datasets_of_this_test)
    found = verify(store, SilentReporter())
    assert not found.observations and (found.num_versions, found.num_heads, found.num_media) == (1, 1, 2)
    head = store.head("mine")
    assert head is not None
    (version,) = store.root.glob("versions/*")
    media = sorted(store.root.glob("media/*/*.mov"))
    untouched = tmp_path / "untouched"
    shutil.copytree(store.root, untouched)

    def damaged(what: str) -> list[str]:
        found = verify(store, SilentReporter())
        shutil.rmtree(store.root)
        shutil.copytree(untouched, store.root)
        return [f"{item.severity} {item.place.name}" for item in found.observations if what in item.what]

    media[0].chmod(0o644)
    media[0].write_bytes(media[0].read_bytes()[:-1])
    assert damaged("not what its name says") == [f"damage {media[0].name}"]
    media[1].unlink()
    assert damaged("is gone") == [f"damage {media[1].name}"]
    (version / "features.parquet").chmod(0o644)
    (version / "features.parquet").write_bytes(b"")
    assert damaged("was changed") == ["damage features.parquet"]
    (version / "scenes.parquet").unlink()
    assert damaged("is missing") == ["damage scenes.parquet"]
    (version / "more.txt").write_text("?")
    assert damaged("no part of the version") == ["damage more.txt"]
    version.rename(version.with_name("0" * 64))
    assert damaged("not what its name says") == [f"damage {'0' * 64}"]
    (store.root / "heads/mine.json").write_text("{")
    assert damaged("no readable version") == ["damage mine.json"]
    (store.root / "known.sqlite").write_bytes(b"not a database" * 100)
    assert damaged("begins it anew") == ["note known.sqlite"]


def test_a_damaged_cache_is_begun_anew(footage: Path, tmp_path: Path, datasets_of_this_test: Path) -> None:
    ingest(footage, tmp_path / "1")
    for name in ("known.sqlite", "digests.sqlite"):
        for path in datasets_of_this_test.glob(f"{name}*"):
            path.write_bytes(b"rubbish" * 1000)
    ingest(footage, tmp_path / "2")
    assert (tmp_path / "1/scenes.parquet").read_bytes() == (tmp_path / "2/scenes.parquet").read_bytes()
    assert (datasets_of_this_test / "known.sqlite.damaged").exists()


def test_media_that_were_deleted_are_made_again(footage: Path, tmp_path: Path, datasets_of_this_test: Path) -> None:
    ingest(footage, tmp_path / "1")
    shutil.rmtree(datasets_of_this_test / "media")
    ingest(footage, tmp_path / "2")
    assert verify(DatasetStore(datasets_of_this_test), SilentReporter()).is_consistent

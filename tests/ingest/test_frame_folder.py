from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hazardline import video
from hazardline.ingest.config import SourceConfig
from hazardline.ingest.frame_folder import FrameFolderError, in_order, write_video
from tests.ingest.datasets import clip, in_process, write_manifest
from tests.video_files import moving_pictures


def write_frames(folder: Path, suffix: str, count: int = 12, digits: int = 6, first: int = 1) -> list[Path]:
    folder.mkdir(parents=True)
    paths = []
    for number, picture in enumerate(moving_pictures(0, count)):
        path = folder / f"{number + first:0{digits}}{suffix}"
        Image.fromarray(picture).save(path)
        paths.append(path)
    return paths


@pytest.mark.parametrize("fps", [10.0, 30.0, 29.97, 12.5])
def test_png_frames_come_out_as_they_went_in(tmp_path: Path, fps: float) -> None:
    frames = write_frames(tmp_path / "f", ".png")
    write_video(frames, fps, tmp_path / "a.mov")
    info = video.probe(tmp_path / "a.mov")
    assert (info.num_frames, info.codec) == (12, "png")
    assert info.fps == pytest.approx(fps, rel=1e-4) and info.duration_s == pytest.approx(12 / fps, rel=1e-3)
    decoded = video.decode(tmp_path / "a.mov", info.fps, info.width_px, info.height_px)
    assert np.array_equal(decoded, np.stack([np.asarray(Image.open(path)) for path in frames])[: len(decoded)])
    assert len(decoded) == 12


def test_jpeg_frames_keep_their_bytes(tmp_path: Path) -> None:
    frames = write_frames(tmp_path / "f", ".jpg")
    write_video(frames, 10.0, tmp_path / "a.mov")
    write_video(frames, 10.0, tmp_path / "b.mov")
    data = (tmp_path / "a.mov").read_bytes()
    assert data == (tmp_path / "b.mov").read_bytes()
    assert all(path.read_bytes() in data for path in frames)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([], "missing_frames"),
        (["notes.txt"], "missing_frames"),
        (["1.jpg", "3.jpg"], "missing_frames"),
        (["000005.jpg", "000006.jpg"], "missing_frames"),
        (["1.jpg", "01.jpg"], "bad_annotation"),
        (["1.jpg", "2.png"], "bad_annotation"),
        (["1.jpg", "cover.jpg"], "bad_annotation"),
        (["1.jpg", "999999999999.jpg"], "missing_frames"),
    ],
)
def test_what_is_no_clip(names: list[str], reason: str) -> None:
    with pytest.raises(FrameFolderError) as caught:
        in_order(names)
    assert caught.value.reason == reason and caught.value.detail


def test_frames_are_ordered_by_number_not_by_name() -> None:
    names = [f"img_{number}.JPG" for number in range(12)]
    assert in_order([*sorted(names), "readme.md"]) == names


def test_a_folder_of_frames_is_ingested_as_a_video(tmp_path: Path) -> None:
    write_frames(tmp_path / "clips/a", ".jpg", 20)
    write_frames(tmp_path / "clips/b", ".jpg", 20)
    (tmp_path / "clips/b/000007.jpg").unlink()
    write_frames(tmp_path / "clips/c", ".png", 20, 4, 0)
    (tmp_path / "clips/d").mkdir()
    (tmp_path / "clips/d/000001.jpg").touch()
    lines = [clip(name, f"clips/{name}", fps=10) for name in "abd"]
    scenes, problems = in_process(
        write_manifest(tmp_path, [*lines, clip("c", "clips/c", fps=30), clip("e", "clips/a")]), SourceConfig()
    )
    assert [(s["clip_id"], s["fps"], s["num_frames"], s["codec"]) for s in scenes] == [
        ("a", 10.0, 20, "mjpeg"),
        ("c", 30.0, 20, "png"),
    ]
    assert {name: problem.reason for name, problem in problems.items()} == {
        "b": "missing_frames",
        "d": "unreadable",
        "e": "unknown_rate",
    }
    assert "[7]" in problems["b"].detail


def test_frames_behind_a_link_stay_in_the_folder(tmp_path: Path) -> None:
    secret = write_frames(tmp_path / "secret", ".png", 2)
    root = tmp_path / "data"
    (root / "a").mkdir(parents=True)
    for path in secret:
        (root / "a" / path.name).symlink_to(path)
    _, problems = in_process(write_manifest(root, [clip("a", "a", fps=10)]), SourceConfig())
    assert problems["a"].reason == "path_outside_root"

"""Images as clips of one frame: right pixels, and a clear fault for every file that is none."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hazardline import video
from hazardline.image_file import is_image, probe, read
from hazardline.video import VideoError


def write_image(path: Path, width: int = 48, height: int = 32, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_an_image_is_a_video_of_one_frame(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png")
    info = video.probe(path)
    assert (info.codec, info.width_px, info.height_px, info.num_frames, info.duration_s) == ("png", 48, 32, 1, 0.0)
    assert info.num_samples(10.0) == 1
    frames = video.decode(path, 10.0, 48, 32)
    assert np.array_equal(frames, np.asarray(Image.open(path))[None])


def test_another_size_is_the_mean_over_areas(tmp_path: Path) -> None:
    Image.fromarray(np.tile(np.uint8([[[0] * 3, [200] * 3]]), (4, 4, 1))).save(tmp_path / "stripes.png")
    assert np.abs(read(tmp_path / "stripes.png", 4, 2).astype(int) - 100).max() <= 1


def test_a_camera_held_on_its_side_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "side.jpg", exif=exif)
    info = probe(tmp_path / "side.jpg")
    assert (info.codec, info.width_px, info.height_px) == ("jpeg", 20, 40)
    assert read(tmp_path / "side.jpg", 20, 40).shape == (40, 20, 3)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16"])
def test_every_kind_of_pixel_becomes_rgb(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (20, 10)).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png", 20, 10).shape == (10, 20, 3)


def test_names_tell_images(tmp_path: Path) -> None:
    assert [is_image(Path(name)) for name in ("a.PNG", "b.jpeg", "c.jpg", "d.mp4", "e.gif")] == [
        True, True, True, False, False,
    ]  # fmt: skip


def _cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _large(path: Path) -> None:
    Image.new("1", (5000, 10)).save(path)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(b""), "unreadable"),
        (lambda path: path.write_text("no image"), "unreadable"),
        (lambda path: path.write_bytes(b"GIF89a" + bytes(40)), "unreadable"),
        (lambda path: path.unlink(), "missing_file"),
        (lambda path: (path.unlink(), path.mkdir()), "unreadable"),
        (_cut, "truncated"),
        (_large, "unreadable"),
    ],
)
def test_what_is_no_whole_image_is_named(tmp_path: Path, spoil: object, reason: str) -> None:
    path = write_image(tmp_path / "a.png")
    spoil(path)  # type: ignore[operator]
    with pytest.raises(VideoError, match=r"a\.png") as caught:
        video.decode(path, 10.0, 48, 32)
    assert caught.value.reason == reason


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    with pytest.raises(VideoError, match=r"over the limit|exceeds limit"):
        read(tmp_path / "bomb.png", 20, 20)

import os
import pickle
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import av
import numpy as np
import pytest

from hazardline import video, video_file
from hazardline.errors import UserError
from hazardline.video import VideoError, VideoInfo
from tests.video_files import cut, moving_pictures, numbered_pictures, write_blank, write_clip, write_sound


def _level(frame: np.ndarray) -> int:
    """Which of `numbered_pictures` a frame is."""
    return round((float(frame.mean()) - 20) / 4)


def _reason(path: Path) -> str:
    with pytest.raises(VideoError) as caught:
        video.probe(path)
        video.decode(path, 10, 72, 48)
    assert str(path) in str(caught.value)
    return caught.value.reason


def test_probe_tells_what_the_file_promises(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", moving_pictures(0, 25), fps=10)
    assert video.probe(path) == VideoInfo("h264", 144, 96, 10.0, 25, 2.5)


def test_same_size_is_the_decoders_picture_bit_for_bit(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", moving_pictures(0, 25), fps=10)
    with av.open(str(path)) as container:
        exact = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    frames = video.decode(path, 10, 144, 96)
    assert frames.dtype == np.uint8 and frames.shape == (25, 96, 144, 3)
    assert np.array_equal(frames, exact)
    assert np.array_equal(video.decode(path, 5, 144, 96), exact[:24:2])


def test_another_size_is_the_mean_over_areas(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(40, 200, (3, 192, 288, 1)).astype(np.uint8)
    path = write_clip(tmp_path / "a.mp4", np.repeat(noise, 3, axis=3))
    small = video.decode(path, 10, 72, 48)
    means = video.decode(path, 10, 288, 192).reshape(3, 48, 4, 72, 4, 3).mean((2, 4))
    assert small.std() > 5 and np.abs(small - means).mean() < 1


@pytest.mark.parametrize("rate_hz", [1, 4, 5, 10, 12.5, 30])
def test_frame_k_is_on_display_at_its_time(tmp_path: Path, rate_hz: float) -> None:
    path = write_clip(tmp_path / "a.mp4", numbered_pictures(30), fps=10)
    frames = video.decode(path, rate_hz, 64, 48)
    assert len(frames) == int(3 * rate_hz)
    assert [_level(f) for f in frames] == [int(k / rate_hz * 10 + 1e-6) for k in range(len(frames))]


def test_time_stamps_are_honoured(tmp_path: Path) -> None:
    times_s = [0.0, 0.1, 0.2, 1.0, 1.1, 2.5, 2.6, 2.7, 2.8, 2.9]
    for name in ("a.mkv", "a.mp4"):
        path = write_clip(tmp_path / name, numbered_pictures(10), times_s=times_s)
        shown = [_level(f) for f in video.decode(path, 10, 64, 48)]
        expected = [int(np.searchsorted(times_s, k / 10 + 1e-6, side="right")) - 1 for k in range(len(shown))]
        assert len(shown) >= 29 and shown == expected


def test_first_time_stamp_is_the_origin(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", numbered_pictures(5), times_s=[3.0, 3.1, 3.2, 3.3, 3.4])
    assert [_level(f) for f in video.decode(path, 10, 64, 48, max_s=0.5)] == [0, 1, 2, 3, 4]


def test_max_s_reads_the_beginning(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", numbered_pictures(30), fps=10)
    assert [_level(f) for f in video.decode(path, 5, 64, 48, max_s=1)] == [0, 2, 4, 6, 8]


def test_a_very_short_clip_has_one_frame(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", numbered_pictures(1), fps=10)
    assert video.decode(path, 5, 64, 48).shape == (1, 48, 64, 3)


def test_rotated_clips_come_upright(tmp_path: Path) -> None:
    pictures = moving_pictures(3, 3)
    plain = video.decode(write_clip(tmp_path / "a.mp4", pictures), 10, 144, 96)
    turned = video.decode(write_clip(tmp_path / "b.mp4", pictures, rotation=180), 10, 144, 96)
    assert np.array_equal(turned, plain[:, ::-1, ::-1])
    quarter = video.decode(write_clip(tmp_path / "c.mp4", pictures, rotation=90), 10, 96, 144)
    assert np.array_equal(quarter, np.rot90(plain, axes=(1, 2)))


def test_threads_change_nothing(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", moving_pictures(0, 40))
    assert np.array_equal(video.decode(path, 10, 72, 48), video.decode(path, 10, 72, 48, thread_count=3))


@pytest.mark.parametrize("name", ["Ünï cödé 中文.mp4", "two  blanks .mp4", "100%d.mp4", "a:b?c#.mp4"])
def test_any_file_name(tmp_path: Path, name: str) -> None:
    path = write_clip(tmp_path / "x.mp4", moving_pictures(0, 10)).rename(tmp_path / name)
    assert len(video.decode(path, 10, 72, 48)) == 10


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mpeg4"), ("a.mkv", "libx264"), ("a.ts", "libx264")])
def test_other_containers(tmp_path: Path, name: str, codec: str) -> None:
    path = write_clip(tmp_path / name, numbered_pictures(20), codec=codec)
    assert [_level(f) for f in video.decode(path, 5, 64, 48)][:9] == list(range(0, 18, 2))


def test_a_file_without_a_header_is_counted(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", numbered_pictures(20))
    data = path.read_bytes()
    at = data.index(b"\x44\x89\x88")  # the Duration element of a Matroska file; overwrite it by a Void element
    path.write_bytes(data[:at] + b"\xec\x89\x88"[:1] + b"\x89" + data[at + 2 : at + 3] + data[at + 3 :])
    info = video.probe(path)
    assert info.num_frames == 20 and info.duration_s == pytest.approx(2.0, abs=0.11)
    assert len(video.decode(path, 10, 64, 48)) >= 19


def test_missing_empty_and_foreign_files(tmp_path: Path) -> None:
    assert _reason(tmp_path / "none.mp4") == "missing_file"
    assert _reason(tmp_path / ("x" * 300)) == "missing_file"
    (tmp_path / "empty.mp4").touch()
    assert _reason(tmp_path / "empty.mp4") == "unreadable"
    assert _reason(tmp_path) == "unreadable"
    (tmp_path / "text.mp4").write_text("This is a letter.\n" * 200)
    assert _reason(tmp_path / "text.mp4") == "unreadable"
    assert _reason(write_sound(tmp_path / "sound.mp4")) == "no_video_stream"


def test_a_named_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert _reason(tmp_path / "pipe.mp4") == "unreadable"


def test_playlists_are_not_followed(tmp_path: Path) -> None:
    inner = write_clip(tmp_path / "inner.ts", moving_pictures(0, 10))
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n" + inner.name + "\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.mp4").write_text(playlist)
    assert _reason(tmp_path / "list.mp4") == "unreadable"
    (tmp_path / "concat.mp4").write_text(f"ffconcat version 1.0\nfile {inner.name}\n")
    assert _reason(tmp_path / "concat.mp4") == "unreadable"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_cut_files_are_truncated(tmp_path: Path, share: float) -> None:
    pictures = moving_pictures(0, 60)
    assert _reason(cut(write_clip(tmp_path / "a.mp4", pictures), share)) == "truncated"
    assert _reason(cut(write_clip(tmp_path / "a.mkv", pictures), share)) == "truncated"


def test_an_index_without_its_frames_is_truncated(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", moving_pictures(0, 60))
    with av.open(str(path)) as source, av.open(str(tmp_path / "b.mp4"), "w", options={"movflags": "faststart"}) as sink:
        stream = sink.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                sink.mux(packet)
    assert len(video.decode(tmp_path / "b.mp4", 10, 72, 48)) == 60
    assert _reason(cut(tmp_path / "b.mp4", 0.7)) == "truncated"


def test_damaged_packets_in_the_middle_are_truncation(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", moving_pictures(0, 60), gop_size=5)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    for packet in packets[20:40]:
        data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    assert _reason(path) == "truncated"


def test_one_damaged_packet_is_forgiven(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", moving_pictures(0, 60), codec="mpeg4", gop_size=1)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = [p for p in container.demux(video=0) if p.size][30]
    data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    assert len(video.decode(path, 10, 72, 48)) == 60


def test_a_header_that_lies_about_its_duration(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", moving_pictures(0, 30))
    data = bytearray(path.read_bytes())
    at = data.index(b"\x44\x89\x88") + 3
    data[at : at + 8] = np.array([300.0 * 1000], ">f8").tobytes()
    path.write_bytes(data)
    assert _reason(path) == "truncated"
    data[at : at + 8] = np.array([0.3 * 1000], ">f8").tobytes()
    path.write_bytes(data)
    assert _reason(path) == "inconsistent_duration"


@pytest.mark.parametrize(
    ("limit", "value"), [("MAX_SIDE_PX", 100), ("MAX_DURATION_S", 1.0), ("MAX_FRAMES", 9), ("MAX_TOTAL_PX", 10_000)]
)
def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: float) -> None:
    path = write_clip(tmp_path / "a.mp4", moving_pictures(0, 20))
    monkeypatch.setattr(video_file, limit, value)
    with pytest.raises(VideoError, match="over the limit") as caught:
        video.probe(path)
    assert caught.value.reason == "unreadable"


def test_a_small_file_may_not_become_many_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is one of pixels for each byte: blank pictures are over it, a parked camera's still picture is not."""
    monkeypatch.setattr(video_file, "FREE_PX", 10_000_000)
    blank = write_blank(tmp_path / "blank.mp4", (1024, 100, 2))
    assert blank.stat().st_size < 20_000
    with pytest.raises(VideoError, match="over the limit") as caught:
        video.probe(blank)
    assert caught.value.reason == "unreadable"
    monkeypatch.setattr(video_file, "FREE_PX", 0)
    picture = np.kron(np.random.default_rng(0).integers(30, 220, (68, 120, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    still = np.broadcast_to(picture, (250, *picture.shape))
    parked = write_clip(tmp_path / "parked.mp4", still, fps=25, gop_size=250, options={"crf": "35"})
    assert video.probe(parked).num_frames == len(list(video.frames(parked, 25, 24, 16))) == 250


def test_pictures_that_grow_behind_the_head_are_counted_as_they_decode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_file, "FREE_PX", 10_000_000)
    path = write_blank(tmp_path / "a.ts", (64, 10, 1), (1024, 100, 2))
    assert video.probe(path).width_px == 64
    monkeypatch.setattr(video, "_chosen", ("pyav", "in this test"))
    seen = 0
    with pytest.raises(VideoError, match="over the limit") as caught:
        for _ in video.frames(path, 30, 24, 16):
            seen += 1
    assert caught.value.reason == "unreadable" and 10 < seen < 100


def test_decode_refuses_an_array_that_would_fill_the_memory(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", moving_pictures(0, 20))
    with pytest.raises(UserError, match="over the limit"):
        video.decode(path, 1000, 4000, 4000)


def test_random_damage_never_escapes_as_another_error(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", moving_pictures(0, 20))
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    outcomes = set()
    for _ in range(150):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), rng.integers(1, 30)):
            data[at] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            outcomes.add(len(video.decode(path, 10, 72, 48)) > 0)
        except VideoError as error:
            outcomes.add(error.reason)
    assert True in outcomes and "truncated" in outcomes


def test_errors_travel_between_processes(tmp_path: Path) -> None:
    error = pickle.loads(pickle.dumps(VideoError(tmp_path / "a.mp4", "truncated", "3 of 9")))
    assert (error.path, error.reason, error.detail) == (tmp_path / "a.mp4", "truncated", "3 of 9")


def test_arguments_must_be_positive(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", moving_pictures(0, 5))
    with pytest.raises(ValueError, match="positive"):
        video.decode(path, 0, 72, 48)


def test_the_choice_is_made_once_and_explained() -> None:
    assert video.backend() in ("pyav", "torchcodec")
    assert video.backend() == video.backend() and len(video.backend_reason()) > 10


_WITHOUT_TORCH = """
import sys
from pathlib import Path
from hazardline import video
video.use_pyav("no torch on a vehicle")
video.decode(Path(sys.argv[1]), 5, 72, 48)
assert "torch" not in sys.modules, "torch was imported"
print(video.backend(), video.backend_reason())
"""

_BOTH = """
import sys
from pathlib import Path
import numpy as np
from hazardline import video, video_pyav
for name in sys.argv[1:]:
    path = Path(name)
    for width_px, height_px in ((144, 96), (72, 48)):
        ours = np.stack(list(video_pyav.frames(path, 5, width_px, height_px, None, 1)))
        theirs = video.decode(path, 5, width_px, height_px)
        assert video.backend() == "torchcodec", video.backend_reason()
        assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
        assert np.array_equal(video.at(path, [0.6, 0.0, 0.4], width_px, height_px), theirs[[3, 0, 2]])
        difference = np.abs(ours.astype(int) - theirs).mean()
        assert difference < 3, (name, width_px, difference)
        print(f"{path.name} {width_px} {difference:.2f}")
for name in sys.argv[1:]:
    path = Path(name)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.6)])
    try:
        video.decode(path, 5, 72, 48)
    except video.VideoError as error:
        print(error.reason)
"""


def _run(code: str, paths: list[Path], library_path: Path | None = None) -> str:
    source = str(Path(video.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": source}
    if library_path is not None:
        environment["LD_LIBRARY_PATH"] = str(library_path)
    command = [sys.executable, "-c", code, *map(str, paths)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_process_can_stay_without_torch(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", moving_pictures(0, 10))
    assert _run(_WITHOUT_TORCH, [path]) == "pyav no torch on a vehicle\n"


def _ffmpeg_libraries(folder: Path) -> Path:
    """FFmpeg's libraries under their plain names, from the copies that the PyAV wheel carries."""
    for file in metadata.files("av") or []:
        name = Path(str(file)).name
        if name.startswith(("libav", "libsw")) and ".so." in name:
            stem, _, version = name.partition(".so.")
            source = Path(str(file.locate()))
            (folder / f"{stem.rsplit('-', 1)[0]}.so.{version.split('.')[0]}").symlink_to(source)
    return folder


def test_torchcodec_shows_the_same_frames(tmp_path: Path) -> None:
    pytest.importorskip("torchcodec")
    libraries = tmp_path / "lib"
    libraries.mkdir()
    if not any(_ffmpeg_libraries(libraries).iterdir()):
        pytest.skip("this build of PyAV carries no FFmpeg libraries")
    first = write_clip(tmp_path / "a.mp4", moving_pictures(5, 40))
    second = write_clip(tmp_path / "b.mkv", moving_pictures(6, 8), times_s=[0, 0.1, 0.2, 1, 1.1, 2.5, 2.6, 2.7])
    lines = _run(_BOTH, [first, second], libraries).split("\n")
    assert lines[4:6] == ["truncated", "truncated"]


_MEDIA = os.environ.get("HAZARDLINE_TEST_MEDIA")


@pytest.mark.skipif(_MEDIA is None, reason="HAZARDLINE_TEST_MEDIA names no folder of real clips")
def test_real_clips_decode() -> None:
    assert _MEDIA is not None
    paths = [p for p in Path(_MEDIA).iterdir() if p.suffix in (".mp4", ".avi")]
    assert paths
    for path in paths:
        info = video.probe(path)
        frames = video.decode(path, 2, 144, 96)
        assert frames.shape == (max(1, int(info.duration_s * 2)), 96, 144, 3) and frames.std() > 10

"""`video.at` shows what `video.frames` shows, to the bit, and decodes less of the file."""

import os
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hazardline import video, video_pyav, video_seek
from hazardline.errors import UserError
from hazardline.video import VideoError
from tests.video_files import cut, moving_pictures, write_clip

WIDTH_PX, HEIGHT_PX, RATE_HZ = 96, 64, 10.0


def _pictures(num_frames: int = 60) -> np.ndarray:
    """Pictures of which no two are alike, with noise that the codec must spend bits on."""
    noise = np.random.default_rng(1).integers(-20, 20, (num_frames, HEIGHT_PX, WIDTH_PX, 1))
    return np.clip(moving_pictures(3, num_frames, WIDTH_PX, HEIGHT_PX) + noise, 0, 255).astype(np.uint8)


class Watch:
    """What the seeking decoder did: packets that it was given, and doubts."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.fed: list[int] = []
        self.doubts: list[str] = []


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    seen = Watch()
    feed, doubt = video_seek._Seeker._feed, video_seek.Doubt

    def watched_feed(seeker: video_seek._Seeker, place: int, is_wanted: bool = True) -> list:
        seen.fed.append(place)
        return feed(seeker, place, is_wanted)

    class WatchedDoubt(doubt):  # type: ignore[misc, valid-type]
        def __init__(self, why: str) -> None:
            seen.doubts.append(why)
            super().__init__(why)

    monkeypatch.setattr(video_seek._Seeker, "_feed", watched_feed)
    monkeypatch.setattr(video_seek, "Doubt", WatchedDoubt)
    return seen


@pytest.fixture(autouse=True)
def _pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "_chosen", ("pyav", "these tests are of its path"))


def _choices(num_frames: int) -> Iterator[list[int]]:
    """Which frames to ask for: one, few, the first and last, all, in odd orders and twice."""
    rng = np.random.default_rng(0)
    for count in (1, 3, 8):
        yield sorted(int(k) for k in rng.choice(num_frames, min(count, num_frames), replace=False))
    yield [0, num_frames - 1]
    yield [num_frames - 1, 7 % num_frames, 7 % num_frames, 0]
    yield list(range(num_frames))


def _check(path: Path, thread_count: int = 1) -> None:
    whole = video.decode(path, RATE_HZ, WIDTH_PX, HEIGHT_PX)
    assert len(np.unique(whole.reshape(len(whole), -1), axis=0)) > len(whole) / 4  # wrong frames would show
    for chosen in _choices(len(whole)):
        found = video.at(path, [k / RATE_HZ for k in chosen], WIDTH_PX, HEIGHT_PX, thread_count)
        assert found.dtype == np.uint8
        wrong = [k for row, k in enumerate(chosen) if not np.array_equal(found[row], whole[k])]
        assert not wrong, f"of {chosen}"


H264 = {"preset": "veryfast"}
CODECS = {
    "h264": ("libx264", H264, 0),
    "h264_b": ("libx264", H264, 3),
    "h264_pyramid": ("libx264", {**H264, "x264-params": "b-pyramid=normal:bframes=8:ref=5:b-adapt=2"}, None),
    "h264_open_gop": ("libx264", {**H264, "x264-params": "open-gop=1:bframes=3:b-adapt=0"}, None),
    "h264_interlaced": ("libx264", {**H264, "x264-params": "interlaced=1"}, 3),
    "hevc": ("libx265", {"preset": "ultrafast", "x265-params": "log-level=none:open-gop=0:bframes=3"}, None),
    "hevc_open_gop": ("libx265", {"preset": "ultrafast", "x265-params": "log-level=none:open-gop=1:bframes=3"}, None),
    "mpeg4": ("mpeg4", {}, 0),
    "mpeg4_b": ("mpeg4", {}, 2),
    "mpeg2_b": ("mpeg2video", {}, 2),
    "msmpeg4": ("msmpeg4", {}, None),
    "mjpeg": ("mjpeg", {}, None),
    "vp8": ("libvpx", {"deadline": "realtime", "auto-alt-ref": "1", "lag-in-frames": "10"}, None),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "10"}, None),
    "av1": ("libsvtav1", {"preset": "12"}, None),
    "ffv1": ("ffv1", {}, None),
    "png": ("png", {}, None),
}
CONTAINERS = {
    "mp4": "h264 h264_b h264_pyramid h264_open_gop h264_interlaced hevc hevc_open_gop mpeg4 mpeg4_b mjpeg vp9 av1",
    "mkv": "h264_b h264_open_gop hevc_open_gop mpeg4_b mpeg2_b mjpeg vp8 vp9 ffv1",
    "ts": "h264 h264_b h264_open_gop hevc_open_gop mpeg2_b",
    "avi": "h264 mpeg4 msmpeg4 mjpeg ffv1 png",
}
CASES = [(container, codec) for container, codecs in CONTAINERS.items() for codec in codecs.split()]


def _write(path: Path, codec: str, gop_size: int, times_s: list[float] | None = None, num_frames: int = 60) -> Path:
    name, options, max_b_frames = CODECS[codec]
    if not _encodes(name):
        pytest.skip(f"this build of FFmpeg does not encode {name}")
    pictures = _pictures(num_frames)
    return write_clip(path, pictures, 10, name, times_s, gop_size=gop_size, options=options, max_b_frames=max_b_frames)


def _encodes(name: str) -> bool:
    try:
        av.Codec(name, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


@pytest.mark.parametrize(("container", "codec"), CASES)
def test_frames_at_times_are_those_of_the_whole_decode(
    tmp_path: Path, watch: Watch, container: str, codec: str
) -> None:
    path = _write(tmp_path / f"a.{container}", codec, 12)
    _check(path)
    assert not watch.doubts, "seeking is expected to do"


@pytest.mark.parametrize("gop_size", [1, 3, 30, 250])
@pytest.mark.parametrize("codec", ["h264", "h264_b", "h264_open_gop"])
def test_any_distance_of_key_frames(tmp_path: Path, watch: Watch, codec: str, gop_size: int) -> None:
    _check(_write(tmp_path / "a.mp4", codec, gop_size))
    assert not watch.doubts


@pytest.mark.parametrize("codec", ["h264_b", "hevc_open_gop", "mpeg4_b", "vp9"])
def test_threads_change_nothing(tmp_path: Path, watch: Watch, codec: str) -> None:
    _check(_write(tmp_path / "a.mkv", codec, 12), thread_count=3)
    assert not watch.doubts


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    container=st.sampled_from(["mp4", "mkv", "ts"]),
    codec=st.sampled_from(["h264", "h264_b", "h264_pyramid", "h264_open_gop", "mpeg4"]),
    gop_size=st.integers(1, 40),
    steps_ms=st.lists(st.integers(20, 400), min_size=2, max_size=40),
    start_ms=st.sampled_from([0, 40, 3000]),
    data=st.data(),
)
def test_any_clock_and_any_times(
    tmp_path: Path, container: str, codec: str, gop_size: int, steps_ms: list[int], start_ms: int, data: st.DataObject
) -> None:
    if container == "ts" and codec == "mpeg4":
        codec = "h264"
    times_s = [(start_ms + ms) / 1000 for ms in np.cumsum([0, *steps_ms]).tolist()]
    path = _write(tmp_path / f"a.{container}", codec, gop_size, times_s, len(times_s))
    try:
        whole = video.decode(path, 50.0, WIDTH_PX, HEIGHT_PX)
    except VideoError as error:
        with pytest.raises(VideoError, match=error.reason):
            video.at(path, [0.0], WIDTH_PX, HEIGHT_PX)
        return
    chosen = data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=12))
    found = video.at(path, [k / 50.0 for k in chosen], WIDTH_PX, HEIGHT_PX)
    assert np.array_equal(found, whole[chosen])


def test_only_what_is_needed_is_decoded(tmp_path: Path, watch: Watch) -> None:
    path = _write(tmp_path / "a.mp4", "h264", 12)
    video.at(path, [0.0, 2.5, 2.6, 4.9], WIDTH_PX, HEIGHT_PX)
    assert watch.fed == [0, 24, 25, 26, 48, 49]


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
def test_pictures_that_none_refers_to_are_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, container: str
) -> None:
    """Two of three pictures are B pictures without references: of 30 in the chain 20 need no decoding."""
    path = _write(tmp_path / f"a.{container}", "h264_b", 250)
    decoded = []
    decode = video_seek._Seeker._decode

    def watched(seeker: video_seek._Seeker, packet: av.Packet | None) -> list:
        frames = decode(seeker, packet)
        decoded.extend(frames)
        return frames

    monkeypatch.setattr(video_seek._Seeker, "_decode", watched)
    found = video.at(path, [4.0], WIDTH_PX, HEIGHT_PX)
    assert len(decoded) < 30
    assert np.array_equal(found[0], video.decode(path, RATE_HZ, WIDTH_PX, HEIGHT_PX)[40])


def test_a_stream_that_is_refreshed_bit_by_bit_has_no_key_frame_to_begin_at(tmp_path: Path, watch: Watch) -> None:
    options = {**H264, "x264-params": "intra-refresh=1"}
    path = write_clip(tmp_path / "a.mp4", _pictures(), gop_size=12, options=options, max_b_frames=0)
    _check(path)
    assert set(watch.doubts) == {"a key frame did not come out of the decoder"}


def test_files_without_an_index_are_read_on(tmp_path: Path, watch: Watch) -> None:
    whole = _write(tmp_path / "a.mkv", "h264_b", 12).read_bytes()
    cues = whole.index(b"\x1c\x53\xbb\x6b")
    (tmp_path / "b.mkv").write_bytes(whole[:cues] + b"\xec" + whole[cues + 4 :])
    _check(_remuxed(tmp_path / "a.mkv", tmp_path / "c.mp4", {"movflags": "frag_keyframe+empty_moov"}))
    avi = _write(tmp_path / "a.avi", "mpeg4", 12).read_bytes()
    (tmp_path / "b.avi").write_bytes(avi[: avi.index(b"idx1")])
    _check(tmp_path / "b.avi")
    assert not watch.doubts or set(watch.doubts) <= {"seeking did not lead to a packet at or before the key frame"}


def _remuxed(source: Path, target: Path, options: dict[str, str], from_packet: int = 0) -> Path:
    """The same packets in another file, from one of them on."""
    with av.open(str(source)) as container, av.open(str(target), "w", options=options) as sink:
        stream = sink.add_stream_from_template(container.streams.video[0])
        for number, packet in enumerate(container.demux(video=0)):
            if packet.size and number >= from_packet:
                packet.stream = stream
                sink.mux(packet)
    return target


@pytest.mark.parametrize("name", ["b.mp4", "b.mkv", "b.ts"])
@pytest.mark.parametrize("from_packet", [5, 12])
def test_clips_cut_out_of_a_recording(tmp_path: Path, name: str, from_packet: int) -> None:
    """From the middle of a group (nothing to begin with), and with pictures that refer to what was cut off."""
    whole = _write(tmp_path / "a.mkv", "h264_open_gop", 12)
    path = _remuxed(whole, tmp_path / name, {}, from_packet)
    try:
        expected = video.decode(path, RATE_HZ, WIDTH_PX, HEIGHT_PX)
    except VideoError as error:
        with pytest.raises(VideoError, match=error.reason):
            video.at(path, [0.0, 1.0], WIDTH_PX, HEIGHT_PX)
        return
    chosen = [0, 1, 9, 20, len(expected) - 1]
    found = video.at(path, [k / RATE_HZ for k in chosen], WIDTH_PX, HEIGHT_PX)
    assert np.array_equal(found, expected[chosen])


def test_rotated_clips_come_upright(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", moving_pictures(3, 30), rotation=90)
    whole = video.decode(path, RATE_HZ, 96, 144)
    assert np.array_equal(video.at(path, [0.0, 2.5], 96, 144), whole[[0, 25]])


def test_behind_the_end_the_last_frame_is_shown(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.mp4", "h264_b", 12)
    found = video.at(path, [5.9, 6.0, 6.3], WIDTH_PX, HEIGHT_PX)
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])
    for time_s in (-0.1, 9.0, float("nan")):
        with pytest.raises(UserError, match=r"lasts 6\.000 s"):
            video.at(path, [time_s], WIDTH_PX, HEIGHT_PX)


def test_no_times_give_no_frames(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.mp4", "h264", 12)
    assert video.at(path, [], WIDTH_PX, HEIGHT_PX).shape == (0, HEIGHT_PX, WIDTH_PX, 3)


def test_an_image_is_on_display_at_all_times(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.png"), "w") as sink:
        stream = sink.add_stream("png", rate=1, options={})
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "rgb24"
        sink.mux(stream.encode(av.VideoFrame.from_ndarray(_pictures(1)[0], format="rgb24")))
    found = video.at(tmp_path / "a.png", [0.0, 5.0], WIDTH_PX, HEIGHT_PX)
    assert np.array_equal(found, _pictures(1)[[0, 0]])


def test_what_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.mp4", "h264", 12)
    with pytest.raises(UserError, match="over the limit"):
        video.at(path, [0.0] * 1000, 4000, 4000)
    with pytest.raises(ValueError, match="positive"):
        video.at(path, [0.0], 0, 64)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_cut_files_are_refused_without_decoding(tmp_path: Path, watch: Watch, name: str) -> None:
    path = cut(_write(tmp_path / name, "h264_b", 12), 0.6)
    with pytest.raises(VideoError) as by_seeking:
        video.at(path, [0.0], WIDTH_PX, HEIGHT_PX)
    with pytest.raises(VideoError) as by_packets:
        video.check_packets(path)
    assert by_seeking.value.reason == by_packets.value.reason == "truncated"
    assert not watch.fed


def test_an_index_without_its_frames_is_truncated(tmp_path: Path) -> None:
    whole = _remuxed(_write(tmp_path / "a.mp4", "h264", 12), tmp_path / "b.mp4", {"movflags": "faststart"})
    assert video.check_packets(whole) == video.probe(whole)
    with pytest.raises(VideoError, match="promised frames") as caught:
        video.check_packets(cut(whole, 0.7))
    assert caught.value.reason == "truncated"


def test_a_header_that_lies_about_its_duration(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.mkv", "h264", 12)
    data = bytearray(path.read_bytes())
    at = data.index(b"\x44\x89\x88") + 3
    for promised_s, reason in ((300.0, "truncated"), (0.3, "inconsistent_duration")):
        data[at : at + 8] = np.array([promised_s * 1000], ">f8").tobytes()
        path.write_bytes(data)
        with pytest.raises(VideoError) as caught:
            video.check_packets(path)
        assert caught.value.reason == reason


@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
def test_damage_on_the_way_to_a_frame_is_judged_by_the_whole_decode(tmp_path: Path, watch: Watch, codec: str) -> None:
    path = _write(tmp_path / "a.mp4", codec, 12)
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    data[packets[30].pos : packets[30].pos + packets[30].size] = bytes(packets[30].size)
    path.write_bytes(data)
    whole = video.decode(path, RATE_HZ, WIDTH_PX, HEIGHT_PX)
    assert np.array_equal(video.at(path, [2.9, 3.0, 3.3], WIDTH_PX, HEIGHT_PX), whole[[29, 30, 33]])
    assert watch.doubts
    for packet in packets[20:40]:
        data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    with pytest.raises(VideoError) as caught:
        video.at(path, [3.0], WIDTH_PX, HEIGHT_PX)
    assert caught.value.reason == "truncated"


def test_random_damage_never_escapes_and_never_changes_a_frame(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.mp4", "h264_b", 12, num_frames=30)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    equal = refused = 0
    for _ in range(60):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), rng.integers(1, 50)):
            data[at] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            expected = video.decode(path, RATE_HZ, WIDTH_PX, HEIGHT_PX)
        except VideoError:
            refused += 1
            expected = None
        try:
            found = video.at(path, [0.3, 1.7], WIDTH_PX, HEIGHT_PX)
        except VideoError:
            assert expected is None
            continue
        if expected is not None:
            assert np.array_equal(found, expected[[3, 17]])
            equal += 1
    assert equal >= 10 and refused >= 10  # both kinds of damage were met


@pytest.mark.parametrize(("container", "codec"), [*CASES, ("avi", "h264_b")])
def test_whole_files_pass_the_check_of_packets(tmp_path: Path, container: str, codec: str) -> None:
    path = _write(tmp_path / f"a.{container}", codec, 12, num_frames=24)
    assert video.check_packets(path) == video.probe(path)


def test_time_that_runs_backwards_is_refused(tmp_path: Path) -> None:
    first, second = _write(tmp_path / "a.ts", "h264", 12), _write(tmp_path / "b.ts", "h264", 12)
    path = tmp_path / "c.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(VideoError) as caught:
        video.check_packets(path)
    assert caught.value.reason == "inconsistent_duration"


def test_the_definition_does_not_depend_on_order(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.mp4", "h264_b", 12)
    times_s = [3.3, 0.0, 5.9, 3.3]
    found = video_pyav.at(path, times_s, WIDTH_PX, HEIGHT_PX, 1)
    assert np.array_equal(found, video.decode(path, RATE_HZ, WIDTH_PX, HEIGHT_PX)[[33, 0, 59, 33]])


_MEDIA = os.environ.get("HAZARDLINE_TEST_MEDIA")


@pytest.mark.skipif(_MEDIA is None, reason="HAZARDLINE_TEST_MEDIA names no folder of real clips")
def test_real_clips(watch: Watch) -> None:
    assert _MEDIA is not None
    for path in sorted(p for p in Path(_MEDIA).iterdir() if p.suffix in (".mp4", ".avi")):
        assert video.check_packets(path) == video.probe(path)
        whole = video.decode(path, RATE_HZ, 144, 96)
        chosen = np.linspace(0, len(whole) - 1, 8).astype(int)
        assert np.array_equal(video.at(path, [k / RATE_HZ for k in chosen], 144, 96), whole[chosen])
    assert not watch.doubts

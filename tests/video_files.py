"""Small real video files for tests, made with PyAV."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame


def moving_pictures(seed: int, num_frames: int, width_px: int = 144, height_px: int = 96) -> np.ndarray:
    """uint8 (T, H, W, 3): a smooth random picture that drifts, different for every seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 220, (6, 9, 3))
    picture = np.kron(coarse, np.ones((-(-height_px // 6), -(-width_px // 9), 1)))[:height_px, :width_px]
    return np.stack([np.roll(picture, k, axis=1).astype(np.uint8) for k in range(num_frames)])


def numbered_pictures(num_frames: int, width_px: int = 64, height_px: int = 48) -> np.ndarray:
    """uint8 (T, H, W, 3): frame k is a flat grey of level 20 + 4 k."""
    levels = 20 + 4 * np.arange(num_frames, dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (num_frames, height_px, width_px, 3)).copy()


def write_clip(
    path: Path,
    pictures: np.ndarray,
    fps: int = 10,
    codec: str = "libx264",
    times_s: Sequence[float] | None = None,
    rotation: int | None = None,
    gop_size: int = 12,
    options: Mapping[str, str] | None = None,
    max_b_frames: int | None = None,
) -> Path:
    """Encode pictures; `times_s` gives a variable frame rate, `options` take the place of those for good pictures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        good = {"crf": "12", "preset": "veryfast"} if codec == "libx264" else {"qmin": "1", "qmax": "2"}
        stream = container.add_stream(codec, rate=fps, options=good if options is None else dict(options))
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = {"mjpeg": "yuvj420p", "png": "rgb24"}.get(codec, "yuv420p")
        stream.gop_size, stream.bit_rate = gop_size, 4_000_000
        if max_b_frames is not None:
            stream.codec_context.max_b_frames = max_b_frames
        if rotation is not None:
            stream.set_display_rotation(rotation)
        if times_s is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index, picture in enumerate(pictures):
            frame = VideoFrame.from_ndarray(picture, format="rgb24")
            if times_s is not None:
                frame.pts, frame.time_base = round(times_s[index] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_blank(path: Path, *parts: tuple[int, int, int], fps: int = 30) -> Path:
    """Blank pictures that take next to no bytes.

    Each part is a side in pixels, a number of pictures that begin with the only key frame, and how often those are
    repeated: one repetition alone is encoded, so that a bomb costs its writer little.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pieces = [(_blank_packets(path, side_px, num_pictures), repeats) for side_px, num_pictures, repeats in parts]
    first = path.with_name(f"{path.stem}-{parts[0][0]}{path.suffix}")
    with av.open(str(first)) as source, av.open(str(path), "w") as container:
        template = source.streams.video[0]
        stream = container.add_stream_from_template(template)
        assert template.time_base is not None
        step = round(1 / fps / template.time_base)
        place = 0
        for data, is_key in (packet for packets, repeats in pieces for _ in range(repeats) for packet in packets):
            packet = av.Packet(data)
            packet.pts = packet.dts = place * step
            packet.duration, packet.time_base, packet.is_keyframe = step, template.time_base, is_key
            packet.stream = stream
            container.mux(packet)
            place += 1
    for side_px, _, _ in parts:
        path.with_name(f"{path.stem}-{side_px}{path.suffix}").unlink()
    return path


def _blank_packets(path: Path, side_px: int, num_pictures: int) -> list[tuple[bytes, bool]]:
    piece = path.with_name(f"{path.stem}-{side_px}{path.suffix}")
    options = {"preset": "ultrafast", "x264-params": f"bframes=0:cabac=1:scenecut=0:keyint={num_pictures}"}
    with av.open(str(piece), "w") as container:
        stream = container.add_stream("libx264", rate=30, options=options)
        stream.width = stream.height = side_px
        stream.pix_fmt = "yuv420p"
        frame = VideoFrame(side_px, side_px, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([128]) * plane.buffer_size)
        for number in range(num_pictures):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(piece)) as container:
        return [(bytes(packet), packet.is_keyframe) for packet in container.demux(video=0) if packet.size]


def write_sound(path: Path) -> Path:
    """A second of silence in an MP4 file: no video stream."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cut(path: Path, share: float) -> Path:
    """Keep the first part of a file only."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path

"""Plants near duplicates: copies of a clip as they come from other uploaders, each of a known kind.

A copy is made of the decoded pictures of its base clip and is a file of its own; everything random in it comes from the
name of the base and the kind.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from PIL import Image, ImageDraw

CROP_SHARE = 0.05
"""Of width and height, cut off at each side."""
TRIM_SHARES = (0.1, 0.3)
"""Of the length of the clip, cut off at one end."""
MARK_SHARES = (0.05, 0.08)
"""Of the area of the picture, hidden by a watermark in a corner."""


@dataclass(frozen=True)
class Clip:
    """Decoded pictures, uint8 (T, H, W, 3), and their rate."""

    pictures: np.ndarray
    fps: float


Change = Callable[[Clip, np.random.Generator], Clip]


def read_clip(path: Path, start_s: float = 0.0, length_s: float | None = None, max_width_px: int = 1920) -> Clip:
    """Decode all pictures of a file, or of a part of it."""
    pictures = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        fps = float(stream.average_rate or 10)
        first = round(start_s * fps)
        last = None if length_s is None else first + round(length_s * fps)
        scale = min(1.0, max_width_px / stream.width)
        width, height = _even(stream.width * scale), _even(stream.height * scale)
        for index, frame in enumerate(container.decode(stream)):
            if last is not None and index >= last:
                break
            if index >= first:
                pictures.append(frame.to_ndarray(format="rgb24", width=width, height=height))
    return Clip(np.stack(pictures), fps)


def write_clip(path: Path, clip: Clip, codec: str = "libx264", crf: int = 18) -> Path:
    """Encode a clip; mpeg4 at a bit rate that shows its blocks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"crf": str(crf), "preset": "veryfast"} if codec == "libx264" else {"qmin": "6", "qmax": "20"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(clip.fps).limit_denominator(1000), options=options)
        stream.height, stream.width = clip.pictures.shape[1:3]
        stream.pix_fmt, stream.thread_count = "yuv420p", 1
        if codec != "libx264":
            stream.bit_rate = max(60_000, int(0.08 * stream.width * stream.height * clip.fps))
        for picture in clip.pictures:
            container.mux(stream.encode(VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def _even(pixels: float) -> int:
    return max(16, 2 * round(pixels / 2))


def _resized(pictures: Sequence[np.ndarray] | np.ndarray, width: int, height: int) -> np.ndarray:
    return np.stack(
        [np.asarray(Image.fromarray(p).resize((width, height), Image.Resampling.BICUBIC)) for p in pictures]
    )


def scaled(factor: float) -> Change:
    """Another size."""

    def change(clip: Clip, rng: np.random.Generator) -> Clip:
        height, width = clip.pictures.shape[1:3]
        return Clip(_resized(clip.pictures, _even(width * factor), _even(height * factor)), clip.fps)

    return change


def cropped(clip: Clip, rng: np.random.Generator) -> Clip:
    """5 % less at each side, scaled back to the old size."""
    height, width = clip.pictures.shape[1:3]
    y, x = round(CROP_SHARE * height), round(CROP_SHARE * width)
    inner = np.ascontiguousarray(clip.pictures[:, y : height - y, x : width - x])
    return Clip(_resized(inner, width, height), clip.fps)


def mirrored(clip: Clip, rng: np.random.Generator) -> Clip:
    """Left is right."""
    return Clip(clip.pictures[:, :, ::-1], clip.fps)


def trimmed(where: str) -> Change:
    """10 to 30 % less at the start, at the end, or half of that at both; cut at any picture."""

    def change(clip: Clip, rng: np.random.Generator) -> Clip:
        num_cut = max(1, round(len(clip.pictures) * rng.uniform(*TRIM_SHARES)))
        before = {"start": num_cut, "end": 0, "both": num_cut // 2}[where]
        after = num_cut - before
        return Clip(clip.pictures[before : len(clip.pictures) - after], clip.fps)

    return change


def watermarked(clip: Clip, rng: np.random.Generator) -> Clip:
    """A box with text in a corner, 5 to 8 % of the area, three quarters opaque or wholly."""
    height, width = clip.pictures.shape[1:3]
    area = rng.uniform(*MARK_SHARES)
    share_x = rng.uniform(0.22, 0.4)
    box_w, box_h = round(width * share_x), round(height * area / share_x)
    right, low = rng.integers(2, size=2)
    box = Image.new("RGB", (box_w, box_h), tuple(int(v) for v in rng.integers(0, 256, 3)))
    ink = tuple(int(v) for v in rng.integers(0, 256, 3))
    ImageDraw.Draw(box).text((box_w // 20, box_h // 8), "CRASH TV", fill=ink, font_size=max(8, box_h * 0.6))
    opacity = rng.choice([0.75, 1.0])
    pictures = clip.pictures.copy()
    y, x = (height - box_h) * low, (width - box_w) * right
    part = pictures[:, y : y + box_h, x : x + box_w]
    part[:] = (opacity * np.asarray(box) + (1 - opacity) * part).astype(np.uint8)
    return Clip(pictures, clip.fps)


def slowed_rate(clip: Clip, rng: np.random.Generator) -> Clip:
    """Every fifth picture is dropped; the clip lasts as long as before."""
    kept = np.arange(len(clip.pictures)) % 5 != 4
    return Clip(clip.pictures[kept], clip.fps * kept.mean())


@dataclass(frozen=True)
class Kind:
    """How a copy is made: changes in order, then an encoder."""

    changes: tuple[Change, ...]
    codec: str = "libx264"
    crf: int = 23


KINDS: dict[str, Kind] = {
    "reencoded_crf35": Kind((), crf=35),
    "reencoded_mpeg4": Kind((), "mpeg4"),
    "reencoded_rate": Kind((slowed_rate,)),
    "scaled_half": Kind((scaled(0.5),)),
    "scaled_up": Kind((scaled(1.5),)),
    "cropped": Kind((cropped,)),
    "mirrored": Kind((mirrored,)),
    "trimmed_start": Kind((trimmed("start"),)),
    "trimmed_end": Kind((trimmed("end"),)),
    "trimmed_both": Kind((trimmed("both"),)),
    "watermarked": Kind((watermarked,)),
    "cropped_watermarked_crf35": Kind((cropped, watermarked), crf=35),
    "mirrored_trimmed": Kind((mirrored, trimmed("start"))),
    "mirrored_cropped": Kind((cropped, mirrored)),
    "trimmed_scaled_watermarked": Kind((trimmed("both"), scaled(0.5), watermarked)),
    "all_at_once": Kind((cropped, mirrored, trimmed("start"), scaled(0.5), watermarked), "mpeg4"),
}


SINGLE_KINDS = tuple(KINDS)[:11]
"""One change at a time; the others combine several."""


def plant(path: Path, base: Clip, name: str, kind: str) -> Path:
    """Write the copy of one kind of a base clip; `name` (of the base) and kind decide what is random in it."""
    rng = np.random.default_rng(zlib.crc32(f"{name}/{kind}".encode()))
    clip = base
    for change in KINDS[kind].changes:
        clip = change(clip, rng)
    return write_clip(path, clip, KINDS[kind].codec, KINDS[kind].crf)

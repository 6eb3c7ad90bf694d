"""Folders of numbered frames as videos: the images' own bytes become the packets of one QuickTime file.

Nothing is decoded or encoded, so nothing is lost; after ingest a clip is one file, whatever it was before, and any
frame of it can be reached at once. The same frames at the same rate give the same bytes.
"""

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av

from hazardline.ingest.reason import Reason
from hazardline.video_file import MAX_FRAMES, error_text

FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")
_DEMUXERS = {".jpg": "jpeg_pipe", ".jpeg": "jpeg_pipe", ".png": "png_pipe"}
_MAX_FRAME_BYTES = 64 << 20
_SHOWN = 5


class FrameFolderError(Exception):
    """A folder of frames is no clip: `reason` is the word for the quarantine table."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """Keep the parts."""
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def is_frame(name: str) -> bool:
    """Whether a file's name is that of an image."""
    return Path(name).suffix.lower() in FRAME_SUFFIXES


def in_order(names: Sequence[str]) -> list[str]:
    """The images among the names of one folder, by their numbers.

    Raises:
        FrameFolderError: there is none, kinds of images are mixed, a number is missing or stands twice, or there are
            too many.
    """
    found = [name for name in names if is_frame(name)]
    numbered: dict[int, str] = {}
    for name in sorted(found):
        match = re.search(r"(\d{1,12})$", Path(name).stem, re.ASCII)
        if match is None:
            raise FrameFolderError("bad_annotation", f"{name!r} is an image without a number among numbered frames")
        if int(match[1]) in numbered:
            raise FrameFolderError("bad_annotation", f"{name!r} and {numbered[int(match[1])]!r} are the same frame")
        numbered[int(match[1])] = name
    if not numbered:
        raise FrameFolderError("missing_frames", f"no numbered {', '.join(FRAME_SUFFIXES)} file in the folder")
    if len({_DEMUXERS[Path(name).suffix.lower()] for name in found}) > 1:
        raise FrameFolderError("bad_annotation", "PNG and JPEG frames are mixed in one folder")
    first, last = min(numbered), max(numbered)
    if first > 1:
        raise FrameFolderError("missing_frames", f"the first frame is {first}: times would count from another frame")
    if len(numbered) > MAX_FRAMES:
        raise FrameFolderError("unreadable", f"{len(numbered)} frames are over the limit of {MAX_FRAMES}")
    if last - first + 1 != len(numbered):
        lacking = [n for n in range(first, min(last, first + len(numbered) + _SHOWN)) if n not in numbered][:_SHOWN]
        raise FrameFolderError(
            "missing_frames", f"{last - first + 1 - len(numbered)} of the frames {first}..{last} are missing: {lacking}"
        )
    return [numbered[number] for number in sorted(numbered)]


def write_video(frames: Sequence[Path], fps: float, out: Path) -> None:
    """Write frames as the packets of one QuickTime file.

    Args:
        frames: JPEG files, or PNG files, in order.
        fps: frames a second.
        out: the file to write.

    Raises:
        FrameFolderError: a frame is empty, too large, or the first is no image.
    """
    step_s = 1 / Fraction(str(fps)).limit_denominator(100_000)
    try:
        with av.open(str(frames[0]), format=_DEMUXERS[frames[0].suffix.lower()]) as first:
            options = {"fflags": "+bitexact"}
            with av.open(str(out), "w", format="mov", options=options) as video:
                stream = video.add_stream_from_template(first.streams.video[0], opaque=True)
                stream.time_base = step_s
                for number, path in enumerate(frames):
                    if not 0 < path.stat().st_size <= _MAX_FRAME_BYTES:
                        raise FrameFolderError("unreadable", f"{path.name} has {path.stat().st_size} bytes")
                    packet = av.Packet(path.read_bytes())
                    packet.stream, packet.time_base = stream, step_s
                    packet.pts = packet.dts = number
                    packet.duration, packet.is_keyframe = 1, True
                    video.mux(packet)
    except (av.FFmpegError, IndexError) as error:
        raise FrameFolderError("unreadable", f"{frames[0].name} begins no clip: {error_text(error)}") from None

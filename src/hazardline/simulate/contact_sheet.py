"""A picture of a native folder: one row a clip, frames around the event, boxes, times, labels."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import av
from PIL import Image, ImageDraw

from hazardline.errors import UserError
from hazardline.files import path_inside, write_atomic
from hazardline.native import MANIFEST_NAME, NativeClip

FRAMES_PER_ROW = 8
_AROUND_S = (-2.5, -1.5, -0.8, -0.3, 0.0, 0.3, 0.8, 1.5)
_WIDTH_PX = 216
_TEXT_PX = 150
_CAPTION_PX = 14
_COLOURS = {"crash": (255, 90, 80), "near_miss": (255, 200, 60), "normal": (120, 220, 120)}


def contact_sheet(root: Path, out_png: Path, num_clips: int = 15, seed: int = 0) -> None:
    """Draw some clips of a native folder, as many of each label as there are to be had.

    Around the event (or evenly over the clip where none is known), with the boxes of the ground truth where there is
    one: red for the risk agent, blue for all others.

    Args:
        root: folder with `manifest.jsonl`.
        out_png: picture to write.
        num_clips: rows at most.
        seed: another seed chooses other clips.

    Raises:
        UserError: the manifest or a video cannot be read.
    """
    rows = [_row(root, clip) for clip in _choose(_read_manifest(root), num_clips, seed)]
    width = max(row.width for row in rows)
    sheet = Image.new("RGB", (width, sum(row.height for row in rows)), (20, 20, 20))
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_atomic(out_png, buffer.getvalue())


def _read_manifest(root: Path) -> list[NativeClip]:
    manifest = root / MANIFEST_NAME
    try:
        lines = manifest.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{manifest}: cannot be read ({error}); expected the manifest of a native folder") from None
    clips = [NativeClip.parse_json(line, f"{manifest}:{n}") for n, line in enumerate(lines, 1) if line.strip()]
    if not clips:
        raise UserError(f"{manifest}: names no clip; a contact sheet needs at least one")
    return clips


def _choose(clips: list[NativeClip], count: int, seed: int) -> list[NativeClip]:
    """Clips in a seeded order, the labels taking turns, then grouped by scenario and pair for the eye."""
    ordered = sorted(clips, key=lambda clip: hashlib.sha256(f"{seed}/{clip.clip_id}".encode()).digest())
    queues = [[clip for clip in ordered if clip.label == label] for label in _COLOURS]
    chosen: list[NativeClip] = []
    while len(chosen) < count and any(queues):
        for queue in queues:
            if queue and len(chosen) < count:
                chosen.append(queue.pop(0))
    return sorted(chosen, key=lambda clip: (clip.scenario, clip.pair_id or "", clip.label))


def _decode(root: Path, clip: NativeClip) -> Iterator[tuple[float, Image.Image]]:
    path = path_inside(root, clip.video)
    if path is None:
        raise UserError(f"clip {clip.clip_id}: video {clip.video} lies outside {root}; expected a path below it")
    try:
        with av.open(str(path)) as container:
            start: float | None = None
            for frame in container.decode(video=0):
                time_s = float(frame.time or 0.0)
                start = time_s if start is None else start
                yield time_s - start, frame.to_image()
    except (OSError, av.FFmpegError, IndexError) as error:
        raise UserError(f"{path}: cannot be decoded as a video ({error})") from None


def _row(root: Path, clip: NativeClip) -> Image.Image:
    frames = list(_decode(root, clip))
    if not frames:
        raise UserError(f"{root / clip.video}: holds no frame")
    times = clip.times
    event_s = times.crash_start_s if times.crash_start_s is not None else times.event_s
    picked = _pick(len(frames), [time_s for time_s, _ in frames], event_s)
    height = round(_WIDTH_PX * frames[0][1].height / frames[0][1].width)
    row = Image.new("RGB", (_TEXT_PX + _WIDTH_PX * len(picked), height + _CAPTION_PX), (20, 20, 20))
    _write_label(row, clip)
    for column, index in enumerate(picked):
        time_s, image = frames[index]
        picture = image.resize((_WIDTH_PX, height), Image.Resampling.BILINEAR)
        _draw_boxes(picture, clip, index)
        left = _TEXT_PX + column * _WIDTH_PX
        row.paste(picture, (left, 0))
        inside = times.crash_start_s is not None and times.crash_start_s <= time_s <= (times.crash_end_s or 0)
        ImageDraw.Draw(row).text(
            (left + 4, height + 1), f"{time_s:.1f} s", (255, 90, 80) if inside else (200, 200, 200)
        )
    return row


def _pick(count: int, times_s: list[float], event_s: float | None) -> list[int]:
    if event_s is None:
        return [round((k + 0.5) * count / FRAMES_PER_ROW - 0.5) for k in range(FRAMES_PER_ROW)]
    return [min(range(count), key=lambda i: abs(times_s[i] - (event_s + offset))) for offset in _AROUND_S]


def _write_label(row: Image.Image, clip: NativeClip) -> None:
    draw, times = ImageDraw.Draw(row), clip.times
    draw.text((4, 2), clip.label, _COLOURS[clip.label])
    spans = [f"pre {times.pre_crash_start_s}" if times.pre_crash_start_s is not None else ""]
    if times.crash_start_s is not None:
        spans.append(f"crash {times.crash_start_s}-{times.crash_end_s}")
    if times.event_s is not None:
        spans.append(f"event {times.event_s}")
    lines = [clip.scenario, f"{clip.weather} {clip.light} {clip.scene}", *spans, *_wrap(clip.description or "")]
    draw.multiline_text((4, 16), "\n".join(line for line in lines if line), (220, 220, 220), spacing=2)


def _wrap(text: str, width: int = 24) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) + 1 > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _draw_boxes(picture: Image.Image, clip: NativeClip, frame: int) -> None:
    truth, draw = clip.ground_truth, ImageDraw.Draw(picture)
    if truth is None:
        return
    for agent in truth.agents:
        if frame in agent.frames:
            left, top, right, bottom = agent.boxes[agent.frames.index(frame)]
            colour = (255, 60, 60) if agent.name == truth.risk_agent else (80, 160, 255)
            box = (left * picture.width, top * picture.height, right * picture.width, bottom * picture.height)
            draw.rectangle(box, outline=colour)

"""Clips on disk with their questions: mp4 files of moving shapes, the same frames as images, and records of peers.

A clip is written at 10 frames a second; every fifth frame is seen, so that the sampling rules of both peers and ours
(evenly from the first to the last frame) name the same frames.
"""

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from benchmarks.training.synthetic import ANSWER_TOKENS, FRAME_PX, QUESTION_TOKENS, TOKENS_PER_GROUP, Family
from benchmarks.training.words import sentence

RATE_HZ = 10
STRIDE = 5
_HEADER_TOKENS = 6
"""Tokens between question and answer; they count as a part of the question's length."""


@dataclass(frozen=True)
class Question:
    """A question and its answer as text."""

    question: str
    answer: str


@dataclass(frozen=True)
class VideoClip:
    """A clip on disk.

    Attributes:
        video: mp4 file.
        frames: the seen frames as PNG files.
        questions: with their answers.
    """

    video: Path
    frames: tuple[Path, ...]
    questions: tuple[Question, ...]


def num_seen_frames(family: Family, num_tokens: int) -> int:
    """Frames that give a number of vision tokens: Qwen2-VL merges two frames into one step in time."""
    return (2 if family == "qwen2_vl" else 1) * num_tokens // TOKENS_PER_GROUP


def make_clips(folder: Path, num_clips: int, num_questions: int, num_seen: int) -> list[VideoClip]:
    """Write clips of `num_seen` seen frames (each once) and give them questions."""
    return [
        _clip(folder / f"{num_seen}frames" / f"clip{number:03}", number, num_questions, num_seen)
        for number in range(num_clips)
    ]


def _clip(folder: Path, number: int, num_questions: int, num_seen: int) -> VideoClip:
    video = folder / "clip.mp4"
    frames = tuple(folder / f"{place:03}.png" for place in range(num_seen))
    if not video.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _write_video(folder / "making.mp4", _pictures(number, (num_seen - 1) * STRIDE + 1))
        for picture, path in zip(read_seen_frames(folder / "making.mp4", num_seen), frames, strict=True):
            picture.save(path)  # as decoded: a peer that is given images sees the same pixels
        (folder / "making.mp4").rename(video)
    return VideoClip(video, frames, tuple(_question(number, place) for place in range(num_questions)))


def _question(number: int, place: int) -> Question:
    seed = 1000 * number + 10 * place
    uneven = np.random.default_rng(seed)
    words = QUESTION_TOKENS - _HEADER_TOKENS + int(uneven.integers(-QUESTION_TOKENS // 4, QUESTION_TOKENS // 4 + 1))
    answer = ANSWER_TOKENS + int(uneven.integers(-ANSWER_TOKENS // 4, ANSWER_TOKENS // 4 + 1))
    return Question(sentence(words, seed), sentence(answer, seed + 1))


def _pictures(number: int, count: int) -> np.ndarray:
    """Uint8 (count, height, width, 3): a road, a sky, and boxes that move over them."""
    chosen = np.random.default_rng(number)
    pictures = np.empty((count, FRAME_PX, FRAME_PX, 3), np.uint8)
    pictures[:, : FRAME_PX // 2] = chosen.integers(120, 256, 3)
    pictures[:, FRAME_PX // 2 :] = chosen.integers(40, 110, 3)
    for _ in range(6):
        colour, size = chosen.integers(0, 256, 3), int(chosen.integers(12, 50))
        start, step = chosen.uniform(0, FRAME_PX - size, 2), chosen.uniform(-3, 3, 2)
        for place in range(count):
            top, left = (int(value) % (FRAME_PX - size) for value in start + place * step)
            pictures[place, top : top + size, left : left + size] = colour
    return pictures


def _write_video(path: Path, pictures: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(RATE_HZ))
        stream.width = stream.height = FRAME_PX
        stream.pix_fmt = "yuv420p"
        # without mbtree x264 always writes the same bytes
        stream.options = {"crf": "23", "preset": "fast", "threads": "1", "x264-params": "mbtree=0"}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def read_seen_frames(video: Path, num_seen: int) -> list[Image.Image]:
    """Decode a video on one thread and keep frames spread evenly from the first to the last."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        wanted = set(np.linspace(0, stream.frames - 1, num_seen).astype(int).tolist())
        return [frame.to_image() for place, frame in enumerate(container.decode(stream)) if place in wanted]


def sharegpt_records(clips: list[VideoClip], are_frames: bool) -> list[dict[str, Any]]:
    """Records of LLaMA-Factory, one a question, the questions of a clip one behind another."""
    return [
        {
            "conversations": [
                {"from": "human", "value": f"<video>{one.question}"},
                {"from": "gpt", "value": one.answer},
            ],
            "videos": [[str(path) for path in clip.frames] if are_frames else str(clip.video)],
        }
        for clip in clips
        for one in clip.questions
    ]


def swift_records(clips: list[VideoClip]) -> list[dict[str, Any]]:
    """Records of ms-swift, as `sharegpt_records`."""
    return [
        {
            "messages": [
                {"role": "user", "content": f"<video>{one.question}"},
                {"role": "assistant", "content": one.answer},
            ],
            "videos": [str(clip.video)],
        }
        for clip in clips
        for one in clip.questions
    ]


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    """Write records as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))

"""A small world for the tests of training: real videos, a scenes table and a QA table of the real stages' schemas."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from hazardline.files import sha256_file
from hazardline.synthesize.deterministic import annotate
from hazardline.tables import QA, SCENES, write_table
from hazardline.tasks import PROMPTS

FPS = 10
WIDTH_PX, HEIGHT_PX = 144, 96


def write_video(path: Path, num_frames: int, seed: int) -> None:
    """A bright box that crosses a grey street, sideways at its own speed."""
    generator = np.random.default_rng(seed)
    row, speed = int(generator.integers(20, 60)), int(generator.integers(1, 4))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "20", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt, stream.time_base = WIDTH_PX, HEIGHT_PX, "yuv420p", Fraction(1, FPS)
        for index in range(num_frames):
            image = np.full((HEIGHT_PX, WIDTH_PX, 3), 90, np.uint8)
            left = (index * speed) % (WIDTH_PX - 20)
            image[row : row + 18, left : left + 20] = (230, 60 + seed * 7 % 150, 40)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def scene_row(clip_id: str, path: Path, label: str, num_frames: int, start_s: float) -> dict[str, Any]:
    """A row of the scenes table; `start_s` is when the crash (or the closest moment of a near miss) is."""
    is_crash = label == "crash"
    return {
        "clip_id": clip_id,
        "video_uri": str(path),
        "sha256": sha256_file(path),
        "size_bytes": path.stat().st_size,
        "source": "test",
        "label": label,
        "pair_id": None,
        "recording_id": None,
        "channel_id": None,
        "location": None,
        "published_split": None,
        "agents": [],
        "classification": None,
        "scenario": "crossing",
        "weather": "sunny",
        "light": "day",
        "scene": "urban",
        "duration_s": num_frames / FPS,
        "fps": float(FPS),
        "num_frames": num_frames,
        "width_px": WIDTH_PX,
        "height_px": HEIGHT_PX,
        "codec": "h264",
        "pre_crash_start_s": start_s - 1.3 if is_crash else None,
        "crash_start_s": start_s if is_crash else None,
        "crash_end_s": start_s + 0.6 if is_crash else None,
        "event_s": start_s if label == "near_miss" else None,
        "accident_type": None,
        "ego_involved": True if is_crash else None,
        "still": None,
        "description": "ego-car hits a car from the left." if is_crash else None,
        "cause": "The car came from the left without yielding." if is_crash else None,
        "prevention": "Drivers must yield to the right." if is_crash else None,
    }


def write_world(root: Path, num_train: int, num_validation: int, num_test: int = 0) -> dict[str, Path]:
    """Write videos and tables; returns the stage inputs `ingest` and `synthesize`."""
    videos, inputs = root / "videos", {"ingest": root / "ingest", "synthesize": root / "synthesize"}
    for folder in (videos, *inputs.values()):
        folder.mkdir(parents=True)
    prompts = PROMPTS["crashchat-short@1"]
    splits = ["train"] * num_train + ["validation"] * num_validation + ["test"] * num_test
    scenes: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    for number, split in enumerate(splits):
        clip_id, label = f"clip_{number:03d}", ("crash", "near_miss", "crash", "normal")[number % 4]
        num_frames = 40 + 3 * (number % 5)
        path = videos / f"{clip_id}.mp4"
        write_video(path, num_frames, number)
        scene = scene_row(clip_id, path, label, num_frames, start_s=1.6 + 0.1 * (number % 8))
        scenes.append(scene)
        pairs.extend(vars(pair) for pair in annotate(scene, split, prompts).pairs)
    write_table(SCENES, inputs["ingest"], scenes)
    write_table(QA, inputs["synthesize"], pairs)
    return inputs

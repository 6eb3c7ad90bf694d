"""A small line up to evaluation: real videos, tables of the real stages, a random base and two random branches."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hazardline.files import sha256_file, write_json
from hazardline.pocket.architecture import TINY, PocketSize
from hazardline.pocket.random_base import write_random_base
from hazardline.progress import SilentReporter
from hazardline.split.findings import found
from hazardline.synthesize import stage as synthesize
from hazardline.synthesize.config import SynthesizeConfig
from hazardline.tables import ASSIGNMENT, SCENES, write_table
from hazardline.vlm.model import LoraSettings, add_branch, load_base, save_branch
from tests.video_files import moving_pictures, write_clip

LABELS = ("crash", "near_miss", "crash", "normal")
FAMILIES = {
    "rear_end": ("ego-car hits a car.", "The driver followed too closely.", "Keep a safe distance."),
    "dart_out": ("car hits a pedestrian.", "The pedestrian crossed without looking.", "Slow down near crossings."),
    "cut_in": ("truck hits a van.", "The truck changed lane with too small a gap.", "Leave a gap and signal."),
}
NUM_FRAMES = 36


def scene_row(number: int, video: Path) -> dict[str, Any]:
    label = LABELS[number % len(LABELS)]
    is_crash = label == "crash"
    scenario = list(FAMILIES)[number // 4 % len(FAMILIES)]
    description, cause, prevention = FAMILIES[scenario]
    start_s = 1.2 + 0.1 * (number % 7)
    return {
        "clip_id": f"clip_{number:03d}",
        "video_uri": str(video),
        "sha256": sha256_file(video),
        "size_bytes": video.stat().st_size,
        "source": "native",
        "label": label,
        "pair_id": None,
        "recording_id": None,
        "channel_id": None,
        "location": None,
        "published_split": None,
        "agents": [],
        "classification": None,
        "scenario": scenario,
        "weather": ("sunny", "rainy")[number // 2 % 2],
        "light": ("day", "night")[number // 8 % 2],
        "scene": "urban",
        "duration_s": NUM_FRAMES / 10,
        "fps": 10.0,
        "num_frames": NUM_FRAMES,
        "width_px": 144,
        "height_px": 96,
        "codec": "h264",
        "pre_crash_start_s": start_s - 0.6 if is_crash else None,
        "crash_start_s": start_s if is_crash else None,
        "crash_end_s": start_s + 1.1 if is_crash else None,
        "event_s": start_s if label == "near_miss" else None,
        "accident_type": None,
        "ego_involved": None,
        "description": description if is_crash else None,
        "cause": cause if is_crash else None,
        "prevention": prevention if is_crash else None,
        "still": None,
    }


def write_tables(root: Path, splits: Sequence[str], videos: Sequence[Path]) -> dict[str, Path]:
    """Output folders of ingest, split and synthesize over one clip a split name; videos are used in turn."""
    inputs = {name: root / name for name in ("ingest", "split", "synthesize", "train")}
    inputs["synthesize"].mkdir(parents=True)
    rows = [scene_row(number, videos[number % len(videos)]) for number in range(len(splits))]
    write_table(SCENES, inputs["ingest"], rows)
    write_table(
        ASSIGNMENT,
        inputs["split"],
        [
            {"clip_id": row["clip_id"], "group_id": row["clip_id"], "split": split}
            for row, split in zip(rows, splits, strict=True)
        ],
    )
    config = SynthesizeConfig(prompt_version="crashchat-short@1")
    synthesize.run(config, inputs, inputs["synthesize"], SilentReporter())
    return inputs


def write_adapters(base: Path, folder: Path) -> None:
    """Two branches whose weights are random in every part, so that neither answers as the base does."""
    for seed, branch in enumerate(("linguistic", "perception")):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = add_branch(load_base(base), branch, LoraSettings(rank=4, alpha=8, dropout=0.0))
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    torch.nn.init.normal_(parameter, std=0.2)
        save_branch(model, branch, folder / branch)


def write_line(root: Path, splits: Sequence[str], num_videos: int, size: PocketSize = TINY) -> dict[str, Path]:
    """Everything that evaluate reads, and under `base` the checkpoint that the adapters belong to."""
    videos = [
        write_clip(root / "videos" / f"{seed}.mp4", moving_pictures(seed, NUM_FRAMES)) for seed in range(num_videos)
    ]
    inputs = write_tables(root, splits, videos)
    write_random_base(root / "base", size=size)
    write_adapters(root / "base", inputs["train"])
    finding = found("cheap_features", "warning", "clip_colour AUC 0.8 [0.75, 0.85].", {"num_crash": 40}, "Balance it.")
    write_json(inputs["split"] / "leakage.json", {"version": "leakage@2", "findings": [finding.data()], "rows": []})
    losses = [{"step": step, "loss": 3.0 / (1 + step / 50)} for step in range(0, 200, 20)]
    validation = [{"step": step, "losses": {"crash_recognition": 0.7}} for step in (100, 200)]
    write_json(
        inputs["train"] / "training.json", {"branches": {"linguistic": {"losses": losses, "validation": validation}}}
    )
    return {**inputs, "base": root / "base"}

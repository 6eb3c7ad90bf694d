"""A small HazardNet line up to evaluation: real images, real stages' tables, a random base and a random branch."""

from collections.abc import Sequence
from pathlib import Path

from hazardline.files import sha256_file, write_json
from hazardline.pocket.random_base import write_random_image_base
from hazardline.progress import SilentReporter
from hazardline.synthesize import stage as synthesize
from hazardline.synthesize.config import SynthesizeConfig
from hazardline.tables import ASSIGNMENT, SCENES, write_table
from tests.device.images import spread, write_image, write_image_branch
from tests.synthesize.images import image, thing, truth

STILLS = (
    truth(thing(ahead_m=8.0)),
    truth(),
    truth(thing("pedestrian", 14.0, colour="blue"), road="narrow_lane", lanes=1),
    truth(thing("van", 30.0, 4.0), road="intersection", signal="red", stop_line_m=15.0),
    truth(thing("truck", 40.0), road="highway"),
)


def write_image_tables(root: Path, splits: Sequence[str]) -> dict[str, Path]:
    """Output folders of ingest, split and synthesize over one image a split name; two in a row are of one scene."""
    inputs = {name: root / name for name in ("ingest", "split", "synthesize", "train")}
    inputs["synthesize"].mkdir(parents=True)
    rows = []
    for number in range(len(splits)):
        path = write_image(root / "images" / f"{number:03d}.png", number)
        around = {"weather": ("sunny", "rainy")[number % 2], "light": ("day", "night")[number // 2 % 2]}
        changes = {"video_uri": str(path), "sha256": sha256_file(path), "width_px": 120, "height_px": 90, **around}
        rows.append(image(f"image_{number:03d}", STILLS[number % len(STILLS)], "near_miss", **changes))
    write_table(SCENES, inputs["ingest"], rows)
    groups = [f"image_{number // 2 * 2:03d}" for number in range(len(splits))]
    assigned = [
        {"clip_id": row["clip_id"], "group_id": group, "split": split}
        for row, group, split in zip(rows, groups, splits, strict=True)
    ]
    write_table(ASSIGNMENT, inputs["split"], assigned)
    config = SynthesizeConfig(prompt_version="hazardnet-short@1")
    synthesize.run(config, inputs, inputs["synthesize"], SilentReporter())
    return inputs


def write_image_line(root: Path, splits: Sequence[str]) -> dict[str, Path]:
    """Everything that evaluate reads, and under `base` the checkpoint that the adapter belongs to."""
    inputs = write_image_tables(root, splits)
    write_random_image_base(root / "base")
    spread(root / "base")
    write_image_branch(root / "base", inputs["train"] / "linguistic")
    losses = [{"step": step, "loss": 3.0 / (1 + step)} for step in range(5)]
    write_json(inputs["train"] / "training.json", {"branches": {"linguistic": {"losses": losses, "validation": []}}})
    return {**inputs, "base": root / "base"}

"""A small Qwen2-VL with HazardNet's kind of branch, as a float bundle; images to ask it about."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from hazardline.device.manifest import Prompts
from hazardline.export.bundle import Graphs, Source, make_graphs, write_manifest, write_parts
from hazardline.pocket.random_base import write_random_image_base
from hazardline.progress import SilentReporter
from hazardline.suites import HAZARDNET
from hazardline.vlm.model import LoraSettings, add_branch, load_base, load_branches, save_branch
from tests.video_files import moving_pictures
from tests.vlm.small import spread_weights

LIMITS = dict.fromkeys(HAZARDNET.tasks, 12) | {HAZARDNET.key_task: 160}


@dataclass(frozen=True)
class ImageModel:
    """A model with one branch on `q_proj` and `v_proj` alone, and its float bundle."""

    folder: Path
    model: Any
    source: Source
    graphs: Graphs


def write_image(path: Path, seed: int, width_px: int = 120, height_px: int = 90) -> Path:
    """A PNG, different for every seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(moving_pictures(seed, 1, width_px, height_px)[0]).save(path)
    return path


def spread(base: Path) -> None:
    """Larger random weights: fresh ones hardly look at an image, and would repeat one token whatever is wrong."""
    model = load_base(base)
    spread_weights(model)
    model.model.language_model.norm.weight.data.mul_(10.0)
    model.save_pretrained(base)


def write_image_branch(base: Path, folder: Path, trains_projector: bool = False) -> Path:
    """A random branch as HazardNet trains one (section 4), far from the base."""
    settings = LoraSettings(4, 8, 0.0, targets=("q_proj", "v_proj"), trains_projector=trains_projector)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = add_branch(load_base(base), "linguistic", settings)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.3)
    save_branch(model, "linguistic", folder)
    return folder


def make_image_bundle(root: Path) -> ImageModel:
    """Everything below a folder; the bundle is `bundle`."""
    write_random_image_base(root / "base")
    spread(root / "base")
    adapter = write_image_branch(root / "base", root / "train" / "linguistic")
    prompts = HAZARDNET.prompts["hazardnet-short@1"]
    source = Source(
        name="tiny",
        base=root / "base",
        adapters={"linguistic": adapter},
        data_digest="0" * 64,
        prompts=Prompts(
            version=prompts.version,
            questions=prompts.questions,
            max_new_tokens=LIMITS,
            schemas={task: dict(schema) for task, schema in HAZARDNET.schemas.items()},
        ),
    )
    model = load_branches(source.base, {"linguistic": adapter})
    graphs = make_graphs(model, source, SilentReporter())
    write_parts(root / "bundle", graphs, source, None)
    write_manifest(root / "bundle", source, None, {})
    return ImageModel(root / "bundle", model, source, graphs)

"""First stage of the pocket image base: Qwen2-VL's encoder learns to perceive, by dense targets on merge windows."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from hazardline.pocket import stills
from hazardline.pocket.architecture import build_qwen2_vl
from hazardline.pocket.parallel import Descent
from hazardline.pocket.perception import COLOURS, KINDS, WEATHERS
from hazardline.pocket.settings import PocketImageSettings
from hazardline.pocket.stills import HEADINGS, ROADS, SIGNALS
from hazardline.vlm.layout import Layout
from hazardline.vlm.pixels import frames_to_patches
from hazardline.vlm.qwen2_vl import encode_patches

_KIND_WEIGHTS = (0.3, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0)
_NUM_REGRESSED = 6  # box (4), range, metres to the right
_CELL_SIZES = (1, len(KINDS) + 1, len(COLOURS) + 1, len(HEADINGS), _NUM_REGRESSED, 1)
_FRAME_SIZES = (len(WEATHERS), 1, len(ROADS), 1, len(SIGNALS), 1, 1, 2)
NUM_CELL, NUM_FRAME = sum(_CELL_SIZES), sum(_FRAME_SIZES)
"""Outputs of a head for one cell, and for the whole image."""
PLACEHOLDER_IDS = {"pad": 0, "end": 2, "image": 3, "video": 4, "vision_start": 5, "vision_end": 6}
"""For a model whose language part is not used."""


class Heads(nn.Module):
    """Reads cells from merge windows, and the frame from the mean and the maximum over all of them."""

    def __init__(self, width: int, merge: int) -> None:
        super().__init__()
        self.window = width * merge**2
        self.cells = nn.Sequential(nn.Linear(self.window, 256), nn.GELU(), nn.Linear(256, NUM_CELL))
        self.pooled = nn.Sequential(nn.Linear(self.window, 256), nn.GELU())
        self.frame = nn.Linear(512, NUM_FRAME)

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """(images, patches, width) -> (images, cells, outputs), (images, outputs)."""
        windows = states.view(len(states), -1, self.window)
        seen = self.pooled(windows)
        return self.cells(windows), self.frame(torch.cat([seen.mean(dim=1), seen.amax(dim=1)], dim=1))


def cell_loss(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Loss of cells, and the share of occupied cells whose kind is named rightly."""
    occupancy, kind, colour, heading, numbers, brake = output.split(_CELL_SIZES, dim=-1)
    true_kind = target[..., 1].long()
    held = true_kind > 0
    goal = target[held]
    loss = 4 * functional.l1_loss(occupancy[..., 0].sigmoid(), target[..., 0])
    weights = output.new_tensor(_KIND_WEIGHTS)
    loss = loss + functional.cross_entropy(kind.flatten(0, -2), true_kind.flatten(), weight=weights)
    loss = loss + functional.cross_entropy(colour[held], goal[:, 2].long())
    loss = loss + functional.cross_entropy(heading[held], goal[:, 3].long())
    loss = loss + 10 * functional.l1_loss(numbers[held][:, :4], goal[:, 4:8])
    loss = loss + 4 * functional.smooth_l1_loss(numbers[held][:, 4:], goal[:, 8:10])
    loss = loss + functional.binary_cross_entropy_with_logits(brake[held][:, 0], goal[:, 10])
    return loss, (kind[held].argmax(dim=-1) == true_kind[held]).float().mean()


def frame_loss(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Loss of frames, and the share of roads that are named rightly."""
    weather, night, road, lanes, signal, crossing, bump, numbers = output.split(_FRAME_SIZES, dim=-1)
    loss = functional.cross_entropy(weather, target[:, 0].long()) + 2 * functional.cross_entropy(
        road, target[:, 2].long()
    )
    loss = loss + 2 * functional.cross_entropy(signal, target[:, 4].long())
    for logit, place in ((night, 1), (lanes, 3), (crossing, 5), (bump, 6)):
        loss = loss + functional.binary_cross_entropy_with_logits(logit[:, 0], target[:, place].clamp(max=1))
    loss = loss + 2 * functional.smooth_l1_loss(numbers, target[:, 7:9])
    return loss, (road.argmax(dim=-1) == target[:, 2].long()).float().mean()


class Drawer:
    """Draws batches of images with their targets, each mirrored half of the time."""

    def __init__(self, corpus: stills.Stills, indices: list[int], layout: Layout) -> None:
        """Compute the targets of both versions of every image once."""
        self._pixels, self._indices, self._layout = corpus.pixels, indices, layout
        grid = layout.grid[0] // layout.merge, layout.grid[1] // layout.merge
        chosen = [corpus.stills[index] for index in indices]
        self._targets = [stills.all_targets(side, *grid) for side in (chosen, [stills.mirrored(one) for one in chosen])]

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Patches (count, patches, size), cell targets, frame targets."""
        places = rng.integers(len(self._indices), size=count)
        flips = rng.random(count) < 0.5
        images = [self._pixels[self._indices[place]] for place in places]
        images = [image[:, ::-1] if flip else image for image, flip in zip(images, flips, strict=True)]
        patches = frames_to_patches(np.stack(images), self._layout, list(range(count)))
        pairs = [
            (self._targets[flip][0][place], self._targets[flip][1][place])
            for place, flip in zip(places, flips.astype(int), strict=True)
        ]
        cells, frames = (torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True))
        return torch.from_numpy(patches), cells, frames


def losses(tower: nn.Module, heads: Heads, batch: tuple[Tensor, Tensor, Tensor], layout: Layout) -> dict[str, Tensor]:
    """Losses `cells` and `frame`; measures `kind` and `road`."""
    patches, cells, frames = batch
    with torch.autocast("cpu", torch.bfloat16):
        from_cells, from_frames = heads(encode_patches(tower, patches, layout.grid, layout.merge))
    cell, kind = cell_loss(from_cells.float(), cells)
    frame, road = frame_loss(from_frames.float(), frames)
    return {"cells": cell, "frame": frame, "kind": kind.detach(), "road": road.detach()}


def train(rank: int, world: int, root: Path, work: Path, settings: PocketImageSettings) -> None:
    """Pre-train the encoder; rank 0 writes `vision.safetensors` and `vision.json` into `work`."""
    layout, plan = settings.layout, settings.vision
    corpus = stills.load(root, work)
    training, held_out = stills.divide(corpus, settings.num_validation_scenes)
    drawer, checker = Drawer(corpus, training, layout), Drawer(corpus, held_out, layout)
    model = build_qwen2_vl(settings.size, layout.patch_px, 512, PLACEHOLDER_IDS, settings.seed + 1)
    tower = model.model.visual
    torch.manual_seed(settings.seed + 1)
    heads = Heads(settings.size.vision_width, layout.merge)
    trained = [*tower.patch_embed.parameters(), *tower.blocks.parameters(), *heads.parameters()]
    groups = [{"params": trained, "weight_decay": plan.weight_decay}]
    descent = Descent(rank, groups, plan.num_steps, plan.learning_rate, 60)
    rng = np.random.default_rng([settings.seed, 1, rank])
    for step in range(plan.num_steps):
        descent.start(step)
        parts = losses(tower, heads, drawer.draw(plan.images_per_step // world, rng), layout)
        (parts["cells"] + parts["frame"]).backward()
        descent.finish()
        if descent.is_due(step, 100):
            descent.record(step, _validate(tower, heads, checker, layout))
            save_file(vision_weights(tower), work / "vision.partial.safetensors")
    if rank == 0:
        (work / "vision.partial.safetensors").rename(work / "vision.safetensors")
        (work / "vision.json").write_text(json.dumps(descent.history, indent=1))


def vision_weights(tower: nn.Module) -> dict[str, Tensor]:
    """The encoder's weights; the merger is the projector, which the second stage trains."""
    return {name: value.contiguous() for name, value in tower.state_dict().items() if not name.startswith("merger.")}


@torch.no_grad()
def _validate(tower: nn.Module, heads: Heads, checker: Drawer, layout: Layout) -> dict[str, float]:
    rng = np.random.default_rng(5)
    found = [losses(tower, heads, checker.draw(64, rng), layout) for _ in range(4)]
    return {name: round(float(np.mean([float(parts[name]) for parts in found])), 4) for name in found[0]}

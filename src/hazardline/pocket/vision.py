"""First stage of the pocket base: the vision encoder learns to perceive, by dense targets on its merged tokens."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from hazardline.pocket import corpus
from hazardline.pocket.architecture import build_model
from hazardline.pocket.parallel import Descent
from hazardline.pocket.perception import COLOURS, KINDS, SCENES, WEATHERS
from hazardline.pocket.settings import PocketSettings
from hazardline.vlm.pixels import frames_to_patches
from hazardline.vlm.video_llama3 import encode_patches, pool_windows

_KIND_WEIGHTS = (0.3, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0)
_SUBCELLS = 4
_REGRESSED = 10  # box (4), range, closing, growth, drift, brake light, speed
_CELL_OUTPUTS = 1 + len(KINDS) + 1 + len(COLOURS) + 1 + _REGRESSED
_FRAME_OUTPUTS = 6 + len(WEATHERS) + 1 + len(SCENES)


@dataclass(frozen=True)
class Batch:
    """Patches (frames, patches, size), cell targets (frames, 24, 13), frame targets (frames, 9)."""

    patches: Tensor
    cells: Tensor
    frame: Tensor


class PerceptionHeads(nn.Module):
    """Reads cells from the merged tokens, cells from the patches, and the frame from all merged tokens."""

    def __init__(self, width: int, num_tokens: int) -> None:
        super().__init__()
        self.token_cells = nn.Sequential(nn.Linear(width, 256), nn.GELU(), nn.Linear(256, _SUBCELLS * _CELL_OUTPUTS))
        self.patch_cells = nn.Sequential(nn.Linear(width, 256), nn.GELU(), nn.Linear(256, _CELL_OUTPUTS))
        self.frame = nn.Sequential(nn.Linear(width * num_tokens, 256), nn.GELU(), nn.Linear(256, _FRAME_OUTPUTS))


def window_cells(values: Tensor) -> Tensor:
    """Cells (frames, 4 x 6, ...) in the order of merged tokens and their sub-cells: (frames, 6, 4, ...)."""
    tail = values.shape[2:]
    grid = values.view(len(values), 2, 2, 3, 2, *tail)
    return grid.permute(0, 1, 3, 2, 4, *range(5, grid.ndim)).reshape(len(values), 6, _SUBCELLS, *tail)


def patch_cells(states: Tensor) -> Tensor:
    """Mean of the 2 x 2 patches of each cell: (frames, 96, width) -> (frames, 6, 4, width)."""
    frames, _, width = states.shape
    return states.view(frames, 6, 2, 2, 2, 2, width).mean(dim=(3, 5)).reshape(frames, 6, _SUBCELLS, width)


def cell_loss(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Loss of cell outputs (..., outputs) against targets (..., 13), and the share of occupied cells named rightly."""
    kinds, colours = len(KINDS) + 1, len(COLOURS) + 1
    occupancy, kind, colour, rest = output.split([1, kinds, colours, _REGRESSED], dim=-1)
    true_kind = target[..., 1].long()
    held = true_kind > 0
    loss = 4 * functional.l1_loss(occupancy[..., 0].sigmoid(), target[..., 0])
    loss = loss + functional.cross_entropy(
        kind.flatten(0, -2), true_kind.flatten(), weight=output.new_tensor(_KIND_WEIGHTS)
    )
    inside, goal = rest[held], target[held]
    loss = loss + functional.cross_entropy(colour[held], goal[:, 2].long())
    loss = loss + 10 * functional.l1_loss(inside[:, :4], goal[:, 3:7])
    for column, (place, weight) in enumerate(((7, 4.0), (8, 2.0), (9, 1.0), (10, 1.0)), start=4):
        loss = loss + weight * functional.smooth_l1_loss(inside[:, column], goal[:, place])
    loss = loss + functional.binary_cross_entropy_with_logits(inside[:, 8], goal[:, 11])
    loss = loss + functional.smooth_l1_loss(inside[:, 9], goal[:, 12])
    right = (kind[held].argmax(dim=-1) == true_kind[held]).float().mean()
    return loss, right


def frame_loss(output: Tensor, target: Tensor) -> Tensor:
    """Loss of frame outputs (frames, outputs) against targets (frames, 9)."""
    numbers, weather, night, scene = output.split([6, len(WEATHERS), 1, len(SCENES)], dim=-1)
    order = [0, 1, 4, 5, 6, 7]
    weights = output.new_tensor([4.0, 4.0, 6.0, 3.0, 3.0, 1.0])
    loss = (functional.smooth_l1_loss(numbers, target[:, order], reduction="none").mean(0) * weights).sum()
    loss = loss + functional.cross_entropy(weather, target[:, 2].long())
    loss = loss + functional.binary_cross_entropy_with_logits(night[:, 0], target[:, 3])
    return loss + 0.5 * functional.cross_entropy(scene, target[:, 8].long())


def decorrelation_loss(tokens: Tensor) -> Tensor:
    """Variance and covariance penalty on tokens (frames, tokens, width): zero when they are white."""
    flat = tokens.float().flatten(0, 1)
    centred = flat - flat.mean(dim=0)
    covariance = centred.T @ centred / (len(flat) - 1)
    spread = covariance.diagonal().clamp(min=1e-6).sqrt()
    off_diagonal = covariance - torch.diag(covariance.diagonal())
    return functional.relu(1 - spread).mean() + off_diagonal.square().sum() / flat.shape[1]


def draw_batch(clips: list[corpus.CorpusClip], count: int, rng: np.random.Generator, settings: PocketSettings) -> Batch:
    """Random frames: four from each of count / 4 clips, a clip mirrored half of the time."""
    patches, cells, frames = [], [], []
    for _ in range(count // 4):
        clip = clips[int(rng.integers(len(clips)))]
        indices = [int(k) for k in rng.integers(len(clip.frames), size=4)]
        low = max(0, min(indices) - 3)
        pixels, cell = np.asarray(clip.frames[low : max(indices) + 1]), clip.cells[indices]
        if rng.random() < 0.5:
            pixels, cell = np.ascontiguousarray(pixels[:, :, ::-1]), mirror_cells(cell)
        patches.append(frames_to_patches(pixels, settings.layout, [k - low for k in indices]))
        cells.append(cell)
        frames.append(clip.frame[indices])
    return Batch(*(torch.from_numpy(np.concatenate(part)) for part in (patches, cells, frames)))


def mirror_cells(cells: np.ndarray) -> np.ndarray:
    """Cell targets of the mirrored image."""
    grid = cells.reshape(len(cells), 4, 6, -1)[:, :, ::-1].copy()
    held = grid[..., 1] > 0
    grid[..., 3], grid[..., 5] = np.where(held, 1 - grid[..., 5], 0), np.where(held, 1 - grid[..., 3], 0)
    grid[..., 10] *= -1
    return grid.reshape(cells.shape)


def losses(tower: nn.Module, heads: PerceptionHeads, batch: Batch, settings: PocketSettings) -> dict[str, Tensor]:
    """All losses of a batch by name, and the measures `kind` (share of cells named rightly)."""
    layout = settings.layout
    states = encode_patches(tower, batch.patches, layout.grid, layout.merge)
    tokens = pool_windows(states, layout.merge)
    target = window_cells(batch.cells)
    from_tokens = heads.token_cells(tokens).view(*target.shape[:3], _CELL_OUTPUTS)
    token_loss, right = cell_loss(from_tokens.float(), target)
    patch_loss, _ = cell_loss(heads.patch_cells(patch_cells(states)).float(), target)
    return {
        "cells": token_loss,
        "patches": 0.5 * patch_loss,
        "frame": frame_loss(heads.frame(tokens.flatten(1)).float(), batch.frame),
        "white": settings.vision.decorrelation * decorrelation_loss(tokens),
        "kind": right.detach(),
    }


def train(rank: int, world: int, root: Path, work: Path, settings: PocketSettings) -> None:
    """Pre-train the encoder; rank 0 writes `vision.safetensors` and `vision.json` into `work`."""
    training, validation = corpus.divide(corpus.load(root, work), settings.corpus.num_validation)
    plan, torch_seed = settings.vision, settings.seed + 1
    model = build_model(settings.size, settings.layout, 512, {"pad": 0, "end": 2, "image": 3, "video": 4}, torch_seed)
    tower = model.model.vision_model
    torch.manual_seed(torch_seed)
    heads = PerceptionHeads(settings.size.vision_width, settings.layout.tokens_per_frame)
    parameters = [*tower.parameters(), *heads.parameters()]
    groups = [{"params": parameters, "weight_decay": plan.weight_decay}]
    descent = Descent(rank, groups, plan.num_steps, plan.learning_rate, 60)
    rng = np.random.default_rng([settings.seed, 1, rank])
    for step in range(plan.num_steps):
        descent.start(step)
        with torch.autocast("cpu", torch.bfloat16):
            parts = losses(tower, heads, draw_batch(training, plan.frames_per_step // world, rng, settings), settings)
        total = torch.stack([value for name, value in parts.items() if name != "kind"]).sum()
        total.backward()
        descent.finish()
        if descent.is_due(step, 200):
            descent.record(step, _validate(tower, heads, validation, settings))
    if rank == 0:
        save_file({name: value.contiguous() for name, value in tower.state_dict().items()}, work / "vision.safetensors")
        (work / "vision.json").write_text(json.dumps(descent.history, indent=1))


@torch.no_grad()
def _validate(
    tower: nn.Module, heads: PerceptionHeads, clips: list[corpus.CorpusClip], settings: PocketSettings
) -> dict[str, float]:
    rng = np.random.default_rng(5)
    totals: dict[str, list[float]] = {}
    for _ in range(4):
        batch = draw_batch(clips, 128, rng, settings)
        with torch.autocast("cpu", torch.bfloat16):
            parts = losses(tower, heads, batch, settings)
            states = encode_patches(tower, batch.patches, settings.layout.grid, settings.layout.merge)
            tokens = pool_windows(states, settings.layout.merge)
            numbers = heads.frame(tokens.flatten(1)).float()
        for name, value in parts.items():
            totals.setdefault(name, []).append(float(value))
        for name, column, place in (
            ("corr_speed", 0, 0),
            ("corr_acceleration", 1, 1),
            ("corr_range", 2, 4),
            ("corr_closing", 3, 5),
        ):
            pair = torch.stack([numbers[:, column], batch.frame[:, place]])
            totals.setdefault(name, []).append(float(torch.corrcoef(pair)[0, 1]))
        spectrum = torch.linalg.eigvalsh(torch.cov(tokens.float().flatten(0, 1).T))
        totals.setdefault("eigen_median", []).append(float(spectrum.median()))
        totals.setdefault("eigen_max", []).append(float(spectrum.max()))
    return {name: round(float(np.mean(values)), 4) for name, values in totals.items()}

"""Second stage of the pocket image base: merger and language model learn to answer questions about images.

The vision encoder is frozen from here on; its features are computed once for every image and its mirror image. What the
merger's first layer takes is whitened while it is trained (see `hazardline.vlm.whitening`), and the map is folded into
that layer whenever the model is written.
"""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from hazardline.pocket import stills
from hazardline.pocket.architecture import build_qwen2_vl
from hazardline.pocket.english import dictation, handbook, spelled
from hazardline.pocket.parallel import Descent, decayed_groups
from hazardline.pocket.settings import PocketImageSettings
from hazardline.pocket.still_questions import QA, StillQuestions, vocabulary_texts
from hazardline.pocket.still_vision import NUM_CELL, NUM_FRAME, PLACEHOLDER_IDS, cell_loss, frame_loss
from hazardline.pocket.vocabulary import special_ids, train_tokenizer
from hazardline.progress import Reporter
from hazardline.train.packed import answer_losses, use_tree_attention
from hazardline.train.prefix import ClipRow, Turn
from hazardline.vlm.layout import LAYOUT_NAME
from hazardline.vlm.model import encode, projector_noise
from hazardline.vlm.pixels import frames_to_patches
from hazardline.vlm.text import TOKENIZER_NAME, Prompter
from hazardline.vlm.whitening import Whitening

SIDES = ("plain", "mirrored")
_BATCH = 48
_WORD_REPEATS = 60
_SIMPLE_UNTIL = 0.15
"""Share of the steps in which every question is answered with one word."""
_FIRST_WEIGHT, _FIRST_BIAS = (f"model.visual.merger.mlp.0.{part}" for part in ("weight", "bias"))


def encode_corpus(root: Path, work: Path, settings: PocketImageSettings, reporter: Reporter) -> None:
    """Write the frozen encoder's features of all images, and of all mirrored: float16 (n, patches, width) each."""
    num_images = len(stills.load(root, work).stills)
    shape = (num_images, settings.layout.features_per_frame, settings.size.vision_width)
    for side in SIDES:
        np.lib.format.open_memmap(work / f"features.{side}.npy", mode="w+", dtype=np.float16, shape=shape).flush()
    starts = range(0, num_images, _BATCH)
    reporter.phase("encode", len(starts))
    with ProcessPoolExecutor(settings.num_processes, mp_context=get_context("spawn")) as pool:
        for _ in pool.map(_encode_part, ((start, work, settings) for start in starts)):
            reporter.advance()


@torch.inference_mode()
def _encode_part(task: tuple[int, Path, PocketImageSettings]) -> None:
    start, work, settings = task
    torch.set_num_threads(1)
    model = _model_with_vision(work, settings, 512, PLACEHOLDER_IDS)
    layout = settings.layout
    pixels = np.load(work / "pixels.npy", mmap_mode="r")[start : start + _BATCH]
    for side, images in zip(SIDES, (pixels, pixels[:, :, ::-1]), strict=True):
        patches = torch.from_numpy(frames_to_patches(images, layout, list(range(len(images)))))
        with torch.autocast("cpu", torch.bfloat16):
            features = encode(model, patches, layout.grid, layout.merge)
        stored = np.load(work / f"features.{side}.npy", mmap_mode="r+")
        stored[start : start + len(images)] = features.half().numpy()
        stored.flush()


def _model_with_vision(work: Path, settings: PocketImageSettings, vocab_size: int, ids: dict[str, int]) -> Any:
    model = build_qwen2_vl(settings.size, settings.layout.patch_px, vocab_size, ids, settings.seed + 2)
    missing, odd = model.model.visual.load_state_dict(load_file(work / "vision.safetensors"), strict=False)
    assert not odd and all(name.startswith("merger.") for name in missing), (missing, odd)
    model.model.visual.patch_embed.requires_grad_(False)
    model.model.visual.blocks.requires_grad_(False)
    return model


def fit_whitening(work: Path, indices: Sequence[int], settings: PocketImageSettings) -> Whitening:
    """Whitening of normalised merge windows, (merge x merge x width) each, of every 24th image."""
    chosen = np.load(work / f"features.{SIDES[0]}.npy", mmap_mode="r")[list(indices[::24])]
    width = settings.size.vision_width
    states = functional.layer_norm(torch.from_numpy(chosen.astype(np.float32)), (width,))
    return Whitening.fit(states.reshape(-1, width * settings.layout.merge**2))


def enter_white(model: Any, whitening: Whitening, seed: int) -> None:
    """Let the merger train on white windows, from weights of a useful scale; its norm stays as it is."""
    merger = model.model.visual.merger
    merger.ln_q.requires_grad_(False)
    first, second = merger.mlp[0], merger.mlp[2]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        first.weight.normal_(0, first.in_features**-0.5, generator=generator)
        second.weight.normal_(0, 0.3 * second.in_features**-0.5, generator=generator)
        first.bias.zero_()
        second.bias.zero_()
    first.register_forward_pre_hook(lambda layer, inputs: (whitening(inputs[0].float()),))


def corpus_texts(chosen: Sequence[stills.Still], seed: int) -> Iterator[str]:
    """Texts that the vocabulary is built from: questions, answers and handbook sentences."""
    rng = np.random.default_rng([seed, 3])
    for still in chosen:
        for question, answer in StillQuestions(still, rng).draw(16):
            yield f"{question} {answer}"
    for question, answer in handbook(rng, 2 * len(chosen)):
        yield f"{question} {answer}"
    yield from vocabulary_texts() * _WORD_REPEATS
    yield from ["<|im_start|>user\n", "\n", "assistant\n", " Yes", " No", " Answer: "] * 200


@dataclass(frozen=True)
class Visit:
    """One image of a step: its row, and what its tokens should know.

    Attributes:
        row: image and questions.
        cells: (image tokens, CELL_TARGETS).
        frame: (FRAME_TARGETS,).
    """

    row: ClipRow
    cells: Tensor
    frame: Tensor


class Auxiliary(nn.Module):
    """Reads a middle layer: what stands in each image token's window, and of the last token of the prefix the scene.

    Thrown away afterwards. Without it the language model learns to answer by guessing long before it learns to look.
    """

    def __init__(self, layer: nn.Module, width: int, num_tokens: int) -> None:
        super().__init__()
        self.num_tokens = num_tokens
        self.cells = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 256), nn.GELU(), nn.Linear(256, NUM_CELL))
        self.frame = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 128), nn.GELU(), nn.Linear(128, NUM_FRAME))
        self._hidden: list[Tensor] = []
        layer.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._hidden[:] = [(output[0] if isinstance(output, tuple) else output)[0]]

    def loss(self, visit: Visit) -> Tensor:
        """Of the latest forward pass, which was over this visit's row."""
        end = len(visit.row.prefix)
        hidden = self._hidden[0][end - 1 - self.num_tokens : end].float()
        cell, _ = cell_loss(self.cells(hidden[:-1])[None], visit.cells[None])
        frame, _ = frame_loss(self.frame(hidden[-1:]), visit.frame[None])
        return cell + frame


@dataclass(frozen=True)
class Corpus:
    """Images with their features, and the way to ask about them."""

    stills: Sequence[stills.Still]
    features: tuple[np.ndarray, np.ndarray]
    prompter: Prompter
    settings: PocketImageSettings

    def visit(self, index: int, rng: np.random.Generator, augment: bool, simple_share: float) -> Visit:
        """One image, perhaps mirrored, with questions drawn for it."""
        plan, layout = self.settings.language, self.settings.layout
        is_mirrored = bool(augment and rng.random() < 0.5)
        still = stills.mirrored(self.stills[index]) if is_mirrored else self.stills[index]
        pairs = StillQuestions(still, rng).draw(plan.questions_per_image, simple_share)
        features = torch.from_numpy(self.features[is_mirrored][index].astype(np.float32))[None]
        row = ClipRow(features, self.prompter.prefix([0.0]), [self._turn(pair) for pair in pairs], layout.grids(1))
        cells = stills.cell_targets(still.truth, *(side // layout.merge for side in layout.grid))
        return Visit(row, torch.from_numpy(cells), torch.from_numpy(stills.frame_targets(still)))

    def _turn(self, pair: QA) -> Turn:
        return Turn(self.prompter.question(pair[0]), self.prompter.answer(pair[1]))

    def handbook_row(self, rng: np.random.Generator) -> ClipRow:
        """Handbook sentences and a dictation without an image, as they are or spelled."""
        layout = self.settings.layout
        share = self.settings.language.spelled_share if rng.random() < 0.5 else 0.0
        turns = []
        for question, answer in [*handbook(rng, 4), *dictation(rng, 2)]:
            pieces = spelled(layout.answer_format.format(answer=answer), share, rng)
            ids = [token for piece in pieces for token in self.prompter.encode(piece)]
            turns.append(Turn(self.prompter.question(question), [*ids, self.prompter.end_id]))
        prefix = self.prompter.encode("<|im_start|>user\n")
        return ClipRow(torch.zeros(0, layout.features_per_frame, self.settings.size.vision_width), prefix, turns)


def train(rank: int, world: int, root: Path, work: Path, settings: PocketImageSettings) -> None:
    """Pre-train merger and language model; rank 0 writes the checkpoint into `work/checkpoint`."""
    plan = settings.language
    loaded = stills.load(root, work)
    training, held_out = stills.divide(loaded, settings.num_validation_scenes)
    texts = corpus_texts([loaded.stills[index] for index in training[::3]], settings.seed)
    tokenizer = train_tokenizer(texts, settings.layout, plan.vocab_size)
    prompter = Prompter(tokenizer, settings.layout)
    model = _model_with_vision(work, settings, tokenizer.get_vocab_size(), special_ids(tokenizer))
    use_tree_attention(model)
    whitening = fit_whitening(work, training, settings)
    enter_white(model, whitening, settings.seed + 3)
    features = tuple(np.load(work / f"features.{side}.npy", mmap_mode="r") for side in SIDES)
    corpus = Corpus(loaded.stills, (features[0], features[1]), prompter, settings)
    torch.manual_seed(settings.seed + 4)
    layer = model.model.language_model.layers[plan.auxiliary_layer]
    auxiliary = Auxiliary(layer, settings.size.text_width, settings.layout.tokens_per_frame)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad] + list(auxiliary.parameters())
    groups = decayed_groups(trained, tokenizer.get_vocab_size(), plan.weight_decay)
    descent = Descent(rank, groups, plan.num_steps, plan.learning_rate, plan.warmup_steps)
    rng = np.random.default_rng([settings.seed, 4, rank])
    noise = torch.Generator().manual_seed(settings.seed + 5 + rank)
    running = 0.0
    for step in range(plan.num_steps):
        descent.start(step)
        simple_share = 1.0 if step < _SIMPLE_UNTIL * plan.num_steps else plan.simple_share
        for place in rng.integers(len(training), size=plan.images_per_step):
            visit = corpus.visit(training[place], rng, augment=True, simple_share=simple_share)
            with torch.autocast("cpu", torch.bfloat16), projector_noise(model, plan.projector_noise, noise):
                loss = answer_losses(model, [visit.row]).mean_over_turns()
            total = loss + auxiliary.loss(visit) * (0.2 if step < 0.3 * plan.num_steps else 0.1)
            (total / plan.images_per_step).backward()
            running = 0.995 * running + 0.005 * float(loss.detach())
        if rng.random() < plan.handbook_share:
            with torch.autocast("cpu", torch.bfloat16):
                (0.3 * answer_losses(model, [corpus.handbook_row(rng)]).mean_over_turns()).backward()
        descent.finish()
        if descent.is_due(step, 200):
            measured = _validate(model, corpus, held_out)
            descent.record(step, {"train": round(running, 4), **measured})
            _save(model, tokenizer, work / "checkpoint", settings, whitening)
    if rank == 0:
        (work / "language.json").write_text(json.dumps(descent.history, indent=1))


@torch.no_grad()
def _validate(model: nn.Module, corpus: Corpus, held_out: Sequence[int]) -> dict[str, float]:
    """Mean loss of held-out images, the share of tokens and of whole answers that are right when led along them."""
    rng = np.random.default_rng(7)
    found: dict[str, list[float]] = {"loss": [], "token_top1": [], "answers_right": []}
    for index in held_out[::3]:
        row = corpus.visit(index, rng, augment=False, simple_share=corpus.settings.language.simple_share).row
        with torch.autocast("cpu", torch.bfloat16):
            losses = answer_losses(model, [row])
        found["loss"].append(float(losses.mean_over_turns()))
        right = (losses.chosen == losses.target).float()
        found["token_top1"].append(float(right.mean()))
        whole = [float(part.min()) for part in right.split([len(turn.answer) for turn in row.turns])]
        found["answers_right"].append(float(np.mean(whole)))
    return {name: round(float(np.mean(values)), 4) for name, values in found.items()}


def _save(model: Any, tokenizer: Tokenizer, folder: Path, settings: PocketImageSettings, whitening: Whitening) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach() for name, value in model.state_dict().items()}
    state[_FIRST_WEIGHT], state[_FIRST_BIAS] = whitening.folded(state[_FIRST_WEIGHT], state[_FIRST_BIAS])
    model.save_pretrained(folder, state_dict={name: value.to(torch.float16) for name, value in state.items()})
    tokenizer.save(str(folder / TOKENIZER_NAME))
    settings.layout.write(folder / LAYOUT_NAME)

"""Second stage of the pocket base: projector and language model learn to answer questions about drives.

The vision encoder is frozen from here on; its features are computed once for every clip, start phase and mirroring.
"""

import json
import math
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
from transformers import VideoLlama3ForConditionalGeneration

from hazardline.pocket import corpus
from hazardline.pocket.architecture import build_model
from hazardline.pocket.auxiliary import NUM_AUXILIARY, auxiliary_targets
from hazardline.pocket.english import dictation, handbook, spelled
from hazardline.pocket.parallel import Descent, decayed_groups
from hazardline.pocket.perception import cut
from hazardline.pocket.questions import QA, Questions
from hazardline.pocket.settings import PocketSettings
from hazardline.pocket.vocabulary import number_texts, special_ids, time_texts, train_tokenizer
from hazardline.progress import Reporter
from hazardline.train.features import PLAIN, Variant, all_variants
from hazardline.train.loss import AnswerLosses, TimeTargets
from hazardline.train.packed import answer_losses, use_tree_attention
from hazardline.train.prefix import ClipRow, Turn
from hazardline.vlm.layout import LAYOUT_NAME, Layout
from hazardline.vlm.model import encode, projector_noise
from hazardline.vlm.pixels import frames_to_patches
from hazardline.vlm.text import TOKENIZER_NAME, Prompter
from hazardline.vlm.whitening import Whitening

_TEXTS_PER_CLIP = 40


def variant_name(clip_id: str, variant: Variant) -> str:
    """File name of the features of one variant of a clip."""
    return f"{clip_id}.{variant.name}.features.npy"


def _variants(layout: Layout) -> tuple[Variant, ...]:
    return all_variants(layout, phase=True, mirror=True)


def encode_corpus(root: Path, work: Path, settings: PocketSettings, reporter: Reporter) -> None:
    """Write the frozen encoder's features of every variant of every clip, float16 (frames, tokens, width)."""
    ids = [clip.clip_id for clip in corpus.load(root, work)]
    reporter.phase("encode", len(ids))
    parts = [ids[k::16] for k in range(16)]
    with ProcessPoolExecutor(settings.num_processes, mp_context=get_context("spawn")) as pool:
        for count in pool.map(_encode_part, ((part, work, settings) for part in parts)):
            reporter.advance(count)


@torch.inference_mode()
def _encode_part(task: tuple[list[str], Path, PocketSettings]) -> int:
    ids, work, settings = task
    torch.set_num_threads(1)
    layout = settings.layout
    model = _model_with_vision(work, settings, 512, {"pad": 0, "end": 2, "image": 3, "video": 4})
    for clip_id in ids:
        frames = np.load(work / f"{clip_id}.frames.npy")
        for variant in _variants(layout):
            seen = np.ascontiguousarray(frames[:, :, ::-1]) if variant.is_mirrored else frames
            patches = torch.from_numpy(frames_to_patches(seen, layout, layout.sample(len(seen), variant.phase)))
            with torch.autocast("cpu", torch.bfloat16):
                features = encode(model, patches, layout.grid, layout.merge)
            np.save(work / variant_name(clip_id, variant), features.half().numpy())
    return len(ids)


def _model_with_vision(
    work: Path, settings: PocketSettings, vocab_size: int, ids: dict[str, int]
) -> VideoLlama3ForConditionalGeneration:
    model = build_model(settings.size, settings.layout, vocab_size, ids, settings.seed + 2)
    model.model.vision_model.load_state_dict(load_file(work / "vision.safetensors"))
    model.model.vision_model.requires_grad_(False)
    return model


def corpus_texts(clips: Sequence[corpus.CorpusClip], seed: int) -> Iterator[str]:
    """Texts that the vocabulary is built from: questions, answers and handbook sentences, none about crashes."""
    rng = np.random.default_rng([seed, 3])
    for clip in clips:
        asker = Questions(clip.drive, rng)
        pairs = asker.clip_questions(_TEXTS_PER_CLIP) + asker.frame_questions(8) + asker.captions(3)
        for question, answer in pairs:
            yield f"{question} {answer}"
    for question, answer in handbook(rng, 6 * len(clips)):
        yield f"{question} {answer}"
    yield from ["<|im_start|>user\n", "\n", "assistant\n", " Yes", " No"] * 200


def fit_whitening(clips: Sequence[corpus.CorpusClip], work: Path) -> Whitening:
    """Whitening of every ninth clip's features."""
    sample = [torch.from_numpy(np.load(work / variant_name(clip.clip_id, PLAIN))).float() for clip in clips[::9]]
    return Whitening.fit(torch.cat([features.flatten(0, 1) for features in sample]))


@dataclass(frozen=True)
class Visit:
    """One clip of a step: its row, how many of its first turns are sentences, and what its time tags should know."""

    row: ClipRow
    num_captions: int
    auxiliary: Tensor
    """(sampled frames, NUM_AUXILIARY)."""


class Visits:
    """Draws augmented clips with questions."""

    def __init__(
        self,
        clips: Sequence[corpus.CorpusClip],
        work: Path,
        prompter: Prompter,
        targets: TimeTargets,
        settings: PocketSettings,
        whitening: Whitening,
    ) -> None:
        self._whitening = whitening
        self._clips, self._work, self._prompter = clips, work, prompter
        self._targets, self._settings = targets, settings
        self._prefixes: dict[int, list[int]] = {}

    def turn(self, question: str, answer: str) -> Turn:
        """Token ids of a pair, the time tokens carrying most of an answer's weight."""
        ids = self._prompter.answer(answer)
        return Turn(self._prompter.question(question), ids, 1.0, self._targets.token_weights(ids))

    def spelled_turn(
        self, question: str, answer: str, share: float, rng: np.random.Generator, weight: float = 1.0
    ) -> Turn:
        """The same with a share of the answer's words written in pieces; for answers without times."""
        text = self._settings.layout.answer_format.format(answer=answer)
        ids = [token for piece in spelled(text, share, rng) for token in self._prompter.encode(piece)]
        return Turn(self._prompter.question(question), [*ids, self._prompter.end_id], weight)

    def prefix(self, num_frames: int) -> list[int]:
        """Prefix of a clip of that many frames."""
        if num_frames not in self._prefixes:
            times = [k / self._settings.layout.rate_hz for k in range(num_frames)]
            self._prefixes[num_frames] = self._prompter.prefix(times)
        return self._prefixes[num_frames]

    def draw(self, rng: np.random.Generator, progress: float, augment: bool = True) -> Visit:
        """A clip in one of its variants, perhaps cut at both ends, with its questions."""
        clip = self._clips[int(rng.integers(len(self._clips)))]
        return self.visit(clip, rng, progress, augment)

    def visit(self, clip: corpus.CorpusClip, rng: np.random.Generator, progress: float, augment: bool) -> Visit:
        """One clip with questions drawn for it."""
        plan = self._settings.language
        variants = _variants(self._settings.layout)
        variant = variants[int(rng.integers(len(variants)))] if augment else PLAIN
        features = np.load(self._work / variant_name(clip.clip_id, variant))
        head = tail = 0
        if augment and rng.random() < 0.7:
            head, tail = int(rng.integers(max(1, len(features) // 3))), int(rng.integers(max(1, len(features) // 4)))
        if len(features) - head - tail < 16:
            head = tail = 0
        features = features[head : len(features) - tail]
        start = variant.phase + 2 * head
        drive = cut(clip.drive, start, min(clip.drive.num_frames, start + 2 * len(features)), variant.is_mirrored)
        asker = Questions(drive, rng)
        captions = asker.captions(plan.captions_per_clip)
        pairs = self._pairs(asker, 0.6 if progress < 0.12 else 0.25, plan.questions_per_clip - len(captions))
        share = plan.spelled_caption_share if augment else 0.0
        turns = [self.spelled_turn(question, answer, share, rng, plan.caption_weight) for question, answer in captions]
        turns += [self.turn(question, answer) for question, answer in pairs]
        row = ClipRow(self._whitening(torch.from_numpy(features).float()), self.prefix(len(features)), turns)
        return Visit(row, len(captions), torch.from_numpy(auxiliary_targets(drive, len(features))))

    def _pairs(self, asker: Questions, frame_share: float, count: int) -> list[QA]:
        moments = asker.frame_questions(round(count * frame_share))
        return moments + asker.clip_questions(count - len(moments))

    def handbook_row(self, rng: np.random.Generator) -> ClipRow:
        """Handbook sentences and a dictation without a clip, as they are or spelled."""
        width, tokens = self._settings.size.vision_width, self._settings.layout.tokens_per_frame
        share = self._settings.language.spelled_share if rng.random() < 0.5 else 0.0
        pairs = [*handbook(rng, 4), *dictation(rng, 2)]
        turns = [self.spelled_turn(question, answer, share, rng) for question, answer in pairs]
        return ClipRow(torch.zeros(0, tokens, width), self.prefix(0), turns)


def initialise(model: VideoLlama3ForConditionalGeneration, tokenizer: Tokenizer, settings: PocketSettings) -> None:
    """Give times and numbers embeddings that lie on smooth curves, and the projector a useful scale."""
    generator = torch.Generator().manual_seed(settings.seed + 3)
    width = settings.size.text_width
    frequencies = 2 * math.pi / torch.logspace(math.log10(3), math.log10(160), width // 2)
    with torch.no_grad():
        table = model.model.language_model.embed_tokens.weight
        for texts in (time_texts(settings.layout), number_texts()):
            place = torch.arange(float(len(texts)))[:, None] * frequencies
            curve = torch.cat([torch.cos(place), torch.sin(place)], dim=1)
            curve = curve[:, torch.randperm(width, generator=generator)]
            noise = torch.randn(curve.shape, generator=generator)
            rows = [tokenizer.encode(text, add_special_tokens=False).ids[0] for text in texts]
            table[torch.tensor(rows)] = 0.028 * curve + 0.006 * noise
        first, _, second = model.model.projector.readout
        first.weight.normal_(0, settings.size.vision_width**-0.5, generator=generator)
        second.weight.normal_(0, 0.3 * width**-0.5, generator=generator)
        first.bias.zero_()
        second.bias.zero_()


class _Tap:
    """Keeps the output of one decoder layer of the latest forward pass, (tokens, hidden)."""

    def __init__(self, layer: nn.Module) -> None:
        self.hidden: Tensor | None = None
        layer.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self.hidden = (output[0] if isinstance(output, tuple) else output)[0]


def tag_positions(num_frames: int, prompter: Prompter) -> Tensor:
    """Positions of the time tags in a prefix with the time after the frame, (frames,)."""
    start = len(prompter.encode(prompter.layout.prompt_start))
    width = prompter.layout.tokens_per_frame
    return start + torch.arange(num_frames) * (width + 1) + width


def train(rank: int, world: int, root: Path, work: Path, settings: PocketSettings) -> None:
    """Pre-train projector and language model; rank 0 writes the checkpoint into `work/checkpoint`."""
    training, validation = corpus.divide(corpus.load(root, work), settings.corpus.num_validation)
    plan = settings.language
    tokenizer = train_tokenizer(corpus_texts(training, settings.seed), settings.layout, plan.vocab_size)
    prompter = Prompter(tokenizer, settings.layout)
    model = _model_with_vision(work, settings, tokenizer.get_vocab_size(), special_ids(tokenizer))
    initialise(model, tokenizer, settings)
    use_tree_attention(model)
    times = [prompter.encode(text)[0] for text in time_texts(settings.layout)]
    targets = TimeTargets.gaussian(times, tokenizer.get_vocab_size(), plan.sigma_steps)
    torch.manual_seed(settings.seed + 4)
    width = settings.size.text_width
    auxiliary = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 128), nn.GELU(), nn.Linear(128, NUM_AUXILIARY))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad] + list(auxiliary.parameters())
    groups = decayed_groups(trained, tokenizer.get_vocab_size(), plan.weight_decay)
    descent = Descent(rank, groups, plan.num_steps, plan.learning_rate, plan.warmup_steps)
    whitening = fit_whitening(training, work)
    visits = Visits(training, work, prompter, targets, settings, whitening)
    tap = _Tap(model.model.language_model.layers[plan.auxiliary_layer])
    rng, noise = (
        np.random.default_rng([settings.seed, 4, rank]),
        torch.Generator().manual_seed(settings.seed + 5 + rank),
    )
    running = [0.0, 0.0]
    for step in range(plan.num_steps):
        descent.start(step)
        progress = step / plan.num_steps
        visit = visits.draw(rng, progress)
        with torch.autocast("cpu", torch.bfloat16), projector_noise(model, plan.projector_noise, noise):
            loss = answer_losses(model, [visit.row], targets).mean_over_turns()
        side = _auxiliary_loss(auxiliary, tap, visit, prompter)
        total = loss + side * (9.0 if progress < 0.3 else 4.5)
        if rng.random() < plan.handbook_share:
            with torch.autocast("cpu", torch.bfloat16):
                total = total + 0.5 * answer_losses(model, [visits.handbook_row(rng)]).mean_over_turns()
        total.backward()
        descent.finish()
        running = [0.99 * old + 0.01 * float(new.detach()) for old, new in zip(running, (loss, side), strict=True)]
        if descent.is_due(step, 500):
            measured = _validate(model, auxiliary, tap, visits, validation, targets, prompter)
            descent.record(step, {"train": round(running[0], 4), **measured})
            _save(model, tokenizer, work / "checkpoint", settings, whitening)
    if rank == 0:
        _save(model, tokenizer, work / "checkpoint", settings, whitening)
        (work / "language.json").write_text(json.dumps(descent.history, indent=1))


def _auxiliary_loss(auxiliary: nn.Module, tap: _Tap, visit: Visit, prompter: Prompter) -> Tensor:
    assert tap.hidden is not None
    tags = tap.hidden[tag_positions(len(visit.auxiliary), prompter)].float()
    loss: Tensor = functional.smooth_l1_loss(auxiliary(tags), visit.auxiliary, beta=0.5)
    return loss


@torch.no_grad()
def _validate(
    model: nn.Module,
    auxiliary: nn.Module,
    tap: _Tap,
    visits: Visits,
    clips: Sequence[corpus.CorpusClip],
    targets: TimeTargets,
    prompter: Prompter,
) -> dict[str, float]:
    rng = np.random.default_rng(7)
    found: dict[str, list[float]] = {"loss": [], "caption": [], "aux": [], "token_top1": [], "time_error_s": []}
    for clip in clips:
        visit = visits.visit(clip, rng, 1.0, augment=False)
        with torch.autocast("cpu", torch.bfloat16):
            losses = answer_losses(model, [visit.row], targets)
        found["loss"].append(float(losses.mean_over_turns()))
        found["caption"].append(float(losses.per_turn()[: visit.num_captions].mean()))
        found["aux"].append(float(_auxiliary_loss(auxiliary, tap, visit, prompter)))
        _measure_tokens(losses, targets, found)
    return {name: round(float(np.mean(values)), 4) for name, values in found.items() if values}


def _measure_tokens(losses: AnswerLosses, targets: TimeTargets, found: dict[str, list[float]]) -> None:
    chosen = losses.chosen
    found["token_top1"].append(float((chosen == losses.target).float().mean()))
    true, said = targets.index[losses.target], targets.index[chosen]
    both = (true >= 0) & (said >= 0)
    if both.any():
        found["time_error_s"].append(float((true[both] - said[both]).abs().float().mean()) * 0.2)


def _save(
    model: VideoLlama3ForConditionalGeneration,
    tokenizer: Tokenizer,
    folder: Path,
    settings: PocketSettings,
    whitening: Whitening,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach() for name, value in model.state_dict().items()}
    weight, bias = "model.projector.readout.0.weight", "model.projector.readout.0.bias"
    state[weight], state[bias] = whitening.folded(state[weight], state[bias])
    model.save_pretrained(folder, state_dict={name: value.to(torch.float16) for name, value in state.items()})
    whitening.save(folder)
    tokenizer.save(str(folder / TOKENIZER_NAME))
    settings.layout.write(folder / LAYOUT_NAME)

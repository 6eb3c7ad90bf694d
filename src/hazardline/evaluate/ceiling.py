"""How much the frozen encoder's features hold: a small bi-GRU trained on them directly, for crash and when.

A diagnosis beside the report. Where the probe is good and the model is not, tuning is at fault; where both are bad,
the encoder is (or the clips are). The probe is no competitor: it answers two questions and writes no text.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from hazardline.evaluate import bootstrap, scores
from hazardline.evaluate.config import CeilingConfig
from hazardline.evaluate.document import Estimate
from hazardline.evaluate.features import Features, StoredClip
from hazardline.evaluate.testset import Clip
from hazardline.tasks import parse_interval

_FRAME_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
"""Tried on validation: a frame belongs to the crash above this share of the clip's highest frame probability."""


@dataclass(frozen=True)
class ProbeAnswer:
    """Log-odds of a crash, and the probability of every frame to lie in it."""

    crash_log_odds: float
    frame_probabilities: npt.NDArray[np.float64]
    times_s: tuple[float, ...]

    def interval(self, threshold: float) -> scores.Interval:
        """The longest run of frames above a share of the highest probability, from its first to past its last frame."""
        probabilities = self.frame_probabilities
        above = np.flatnonzero(probabilities >= threshold * probabilities.max())
        runs = np.split(above, np.flatnonzero(np.diff(above) > 1) + 1)
        longest = max(runs, key=len)
        step_s = self.times_s[1] - self.times_s[0] if len(self.times_s) > 1 else 0.0
        return self.times_s[longest[0]], self.times_s[longest[-1]] + step_s


class Probe(nn.Module):
    """Tokens of a frame -> a vector -> bidirectional GRU -> one logit a frame and one for the clip."""

    def __init__(self, tokens: int, width: int, hidden: int) -> None:
        """Fresh weights from torch's generator."""
        super().__init__()
        self.token = nn.Linear(width, 24)
        self.frame = nn.Linear(24 * tokens, hidden)
        self.time = nn.GRU(hidden, hidden, batch_first=True, bidirectional=True)
        self.frame_head = nn.Linear(2 * hidden, 1)
        self.clip_head = nn.Linear(2 * hidden, 1)

    def forward(self, features: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """(clips, frames, tokens, width) and a mask (clips, frames) -> logits (clips, frames) and (clips,)."""
        states = functional.gelu(self.token(features)).flatten(2)
        states = functional.dropout(functional.gelu(self.frame(states)), 0.3, self.training)
        lengths = visible.sum(dim=1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(states, lengths, batch_first=True, enforce_sorted=False)
        states, _ = nn.utils.rnn.pad_packed_sequence(self.time(packed)[0], batch_first=True)
        states = functional.dropout(states, 0.3, self.training)
        highest = states.masked_fill(~visible[..., None], -math.inf).max(dim=1).values
        return self.frame_head(states)[..., 0], self.clip_head(highest)[..., 0]


@dataclass(frozen=True)
class _Example:
    features: Tensor
    times_s: tuple[float, ...]
    is_crash: bool
    in_crash: Tensor
    """1 for a frame inside the crash; all 0 without an interval."""
    has_frame_target: bool


@dataclass(frozen=True)
class Standard:
    """Mean and scale of every feature channel over the training clips."""

    mean: Tensor
    scale: Tensor


def measure_ceiling(
    train: Sequence[Clip],
    validation: Sequence[Clip],
    test: Sequence[Clip],
    features: Features,
    config: CeilingConfig,
    num_resamples: int,
    seed: int,
) -> dict[str, Estimate]:
    """Train the probe on the training clips, set its thresholds on validation, score it on the test clips.

    Args:
        train: clips to learn from.
        validation: clips to choose the two thresholds on.
        test: clips to score.
        features: by clip_id.
        config: of the probe.
        num_resamples: of the bootstrap.
        seed: of weights, order, noise and bootstrap; the same seed gives the same estimates.

    Returns:
        near_miss_auc, normal_auc, recognition_macro_f1 and crash_miou, those that are defined.
    """
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        examples = [_example(clip, features[clip.clip_id]) for clip in train]
        probe, standard = _train(examples, config, seed)
    told = {part: _answers(probe, standard, clips, features) for part, clips in (("v", validation), ("t", test))}
    cut = _best_cut(validation, told["v"])
    frame_threshold = _best_frame_threshold(validation, told["v"])
    return _estimates(test, told["t"], cut, frame_threshold, num_resamples, seed)


def _example(clip: Clip, stored: StoredClip) -> _Example:
    interval = parse_interval(clip.references.get("crash_localization", ""))
    times = torch.tensor(stored.times_s)
    inside = torch.zeros(len(times)) if interval is None else ((times >= interval[0]) & (times < interval[1])).float()
    return _Example(
        torch.from_numpy(stored.load()), stored.times_s, clip.is_crash, inside, clip.is_crash and interval is not None
    )


def _train(examples: Sequence[_Example], config: CeilingConfig, seed: int) -> tuple[Probe, Standard]:
    pixels = torch.cat([example.features.flatten(0, 1) for example in examples])
    standard = Standard(pixels.mean(dim=0), pixels.std(dim=0).clamp(min=1e-3))
    probe = Probe(examples[0].features.shape[1], examples[0].features.shape[2], config.hidden_size)
    optimizer = torch.optim.AdamW(probe.parameters(), lr=config.learning_rate, weight_decay=0.1)
    rng = np.random.default_rng(seed)
    probe.train()
    for epoch in range(config.epochs):
        share = 0.5 * (1.0 + math.cos(math.pi * epoch / config.epochs)) + 0.02
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * share
        order = rng.permutation(len(examples))
        for start in range(0, len(order), config.batch_size):
            batch = [examples[index] for index in order[start : start + config.batch_size]]
            optimizer.zero_grad()
            _loss(probe, standard, batch, config.feature_noise).backward()
            nn.utils.clip_grad_norm_(probe.parameters(), 1.0)
            optimizer.step()
    return probe.eval(), standard


def _batch(standard: Standard, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    padded = nn.utils.rnn.pad_sequence([(item - standard.mean) / standard.scale for item in features], True)
    lengths = torch.tensor([len(item) for item in features])
    return padded, torch.arange(padded.shape[1])[None] < lengths[:, None]


def _loss(probe: Probe, standard: Standard, batch: Sequence[_Example], noise: float) -> Tensor:
    features, visible = _batch(standard, [example.features for example in batch])
    frame_logits, clip_logits = probe(features + noise * torch.randn_like(features), visible)
    target = torch.tensor([float(example.is_crash) for example in batch])
    loss = functional.binary_cross_entropy_with_logits(clip_logits, target)
    rows = torch.tensor([example.has_frame_target for example in batch])
    if rows.any():
        inside = nn.utils.rnn.pad_sequence([example.in_crash for example in batch], True)
        chosen = visible & rows[:, None]
        loss = loss + functional.binary_cross_entropy_with_logits(frame_logits[chosen], inside[chosen])
    return loss


@torch.inference_mode()
def _answers(probe: Probe, standard: Standard, clips: Sequence[Clip], features: Features) -> list[ProbeAnswer]:
    found = []
    for clip in clips:
        stored = features[clip.clip_id]
        frames, crash = probe(*_batch(standard, [torch.from_numpy(stored.load())]))
        found.append(ProbeAnswer(float(crash[0]), frames[0].sigmoid().double().numpy(), stored.times_s))
    return found


def _labels(clips: Sequence[Clip]) -> scores.Array:
    return np.array([float(clip.is_crash) for clip in clips])


def _log_odds(answers: Sequence[ProbeAnswer]) -> scores.Array:
    return np.array([answer.crash_log_odds for answer in answers])


def _best_cut(clips: Sequence[Clip], answers: Sequence[ProbeAnswer]) -> float:
    """The log-odds at which validation macro-F1 is best; the lowest of equals."""
    values = _log_odds(answers)
    cuts = np.unique(values)
    reached = [scores.single(scores.macro_f1, _labels(clips), (values >= cut).astype(np.float64)) for cut in cuts]
    return float(cuts[int(np.argmax(reached))])


def _ious(clips: Sequence[Clip], answers: Sequence[ProbeAnswer], threshold: float) -> scores.Array:
    found = []
    for clip, answer in zip(clips, answers, strict=True):
        true = parse_interval(clip.references.get("crash_localization", ""))
        if true is not None:
            found.append(scores.interval_iou(answer.interval(threshold), true))
    return np.array(found, dtype=np.float64)


def _best_frame_threshold(clips: Sequence[Clip], answers: Sequence[ProbeAnswer]) -> float:
    reached = [_ious(clips, answers, threshold).sum() for threshold in _FRAME_THRESHOLDS]
    return _FRAME_THRESHOLDS[int(np.argmax(reached))]


def _estimates(
    clips: Sequence[Clip],
    answers: Sequence[ProbeAnswer],
    cut: float,
    frame_threshold: float,
    num_resamples: int,
    seed: int,
) -> dict[str, Estimate]:
    labels, values = _labels(clips), _log_odds(answers)
    ious = _ious(clips, answers, frame_threshold)
    inputs = {
        "recognition_macro_f1": (labels, (values >= cut).astype(np.float64)),
        "crash_miou": (np.ones(len(ious)), ious),
    }
    for metric, negative in (("near_miss_auc", "near_miss"), ("normal_auc", "normal")):
        chosen = np.array([clip.label in ("crash", negative) for clip in clips], dtype=bool)
        inputs[metric] = (labels[chosen], values[chosen])
    found = {}
    for metric, (targets, given) in sorted(inputs.items()):
        estimate = bootstrap.metric_estimate(metric, targets, given, num_resamples, seed)
        if estimate is not None:
            found[metric] = estimate
    return found

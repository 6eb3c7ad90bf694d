"""From a clip to a row of token ids and features, augmented by the generator of its visit.

Augmentation works on cached features: whole frames are dropped, another variant of the clip is read. What a visit looks
like is a pure function of (seed, epoch, clip), and nothing is tokenised twice.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from hazardline.errors import UserError
from hazardline.tasks import LOCALIZATION_TASKS, NEGATIVE_ANSWERS, Task
from hazardline.train.clips import Clip, Question, localization_answer
from hazardline.train.config import AugmentationConfig, TrainConfig
from hazardline.train.features import PLAIN, FeatureReader, Variant, all_variants
from hazardline.train.loss import TimeTargets
from hazardline.train.memory_plan import RowSize
from hazardline.train.prefix import ClipRow, Turn
from hazardline.vlm.text import Prompter
from hazardline.vlm.whitening import Whitening

_SIDES = re.compile(r"\b(left|right|Left|Right)\b")
_OTHER_SIDE = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}
_AFTER_EVENT_S = 1.2
"""A near miss keeps so much after its closest moment."""
SIGN_MARGIN_S = 0.1
"""A first sign counts as seen when the clip begins this much before it."""


@dataclass(frozen=True)
class View:
    """What a visit sees of a clip: a variant, and its frames `first` to `last`, both included."""

    variant: Variant
    first: int
    last: int
    shift_s: float
    """Seconds of the first seen frame from the clip's first frame."""


class RowMaker:
    """Makes rows of one branch; keeps the token ids of every text it has seen."""

    def __init__(
        self, prompter: Prompter, reader: FeatureReader, config: TrainConfig, weights: dict[Task, float]
    ) -> None:
        """Bind tokenizer, features and settings; `weights` are the task weights of the branch."""
        self._prompter = prompter
        self._reader = reader
        self._augmentation = config.augmentation
        self._variants = all_variants(prompter.layout, config.augmentation.phase, config.augmentation.mirror)
        self._weights = weights
        self._negative_weight = config.negative_answer_weight
        self._time_share = config.time_token_share
        self._times = set(time_token_ids(prompter))
        self._questions: dict[str, list[int]] = {}
        self._answers: dict[str, list[int]] = {}
        self._prefixes: dict[tuple[float, ...], list[int]] = {}
        self.whitening: Whitening | None = None
        """Set where the projector is trained in white coordinates; rows hold white features then."""

    def plain(self, clip: Clip) -> ClipRow:
        """The clip as it is."""
        last = len(self._reader.times_s(clip.clip_id)) - 1
        return self._row(clip, View(PLAIN, 0, last, 0.0), self.asked(clip))

    def augmented(self, clip: Clip, generator: np.random.Generator) -> ClipRow:
        """The clip as one visit sees it."""
        settings = self._augmentation
        variant = self._variants[int(generator.integers(len(self._variants)))]
        times_s = np.asarray(self._reader.times_s(clip.clip_id, variant))
        phase_s = variant.phase / self._prompter.layout.motion_rate_hz
        view = View(variant, 0, len(times_s) - 1, phase_s)
        if generator.random() < settings.crop_probability:
            view = crop(clip, view, times_s, settings, generator, self._can_start_late(clip))
        return self._row(clip, view, visible_questions(clip, view, self.asked(clip)))

    def size(self, clip: Clip) -> RowSize:
        """How large the plain clip's row is, without its features."""
        turns = [
            (self._question_ids(question.question), self._answer_ids(question.answer)) for question in self.asked(clip)
        ]
        return RowSize(
            prefix_tokens=len(self._prefix(np.asarray(self._reader.times_s(clip.clip_id)))),
            turn_tokens=sum(len(question) + len(answer) for question, answer in turns),
            answer_tokens=sum(len(answer) for _, answer in turns),
        )

    def asked(self, clip: Clip) -> list[Question]:
        """Questions of a clip that count in the loss."""
        return [question for question in clip.questions if self._weights.get(question.task, 1.0) > 0]

    def _can_start_late(self, clip: Clip) -> bool:
        return any(question.task != "pre_crash_localization" for question in self.asked(clip))

    def _row(self, clip: Clip, view: View, questions: Sequence[Question]) -> ClipRow:
        times_s = np.asarray(self._reader.times_s(clip.clip_id, view.variant)[view.first : view.last + 1])
        times_s = times_s - times_s[0]
        stored = self._reader.features(clip.clip_id, view.variant)[view.first : view.last + 1]
        turns = [self._turn(clip, question, view, float(times_s[-1])) for question in questions]
        features = torch.from_numpy(stored.astype(np.float32))
        if self.whitening is not None:
            features = self.whitening(features)
        return ClipRow(features, self._prefix(times_s), turns, self._prompter.layout.grids(len(times_s)))

    def _turn(self, clip: Clip, question: Question, view: View, end_s: float) -> Turn:
        text = question.answer
        if question.task in LOCALIZATION_TASKS and view.shift_s > 0:
            text = localization_answer(clip, question.task, view.shift_s, end_s)
        elif view.variant.is_mirrored:
            text = swap_sides(text)
        answer = self._answer_ids(text)
        shares = self._time_shares(answer) if question.task in LOCALIZATION_TASKS else None
        return Turn(self._question_ids(question.question), answer, self._weight(question), shares)

    def _question_ids(self, text: str) -> list[int]:
        if text not in self._questions:
            self._questions[text] = self._prompter.question(text)
        return self._questions[text]

    def _answer_ids(self, text: str) -> list[int]:
        if text not in self._answers:
            self._answers[text] = self._prompter.answer(text)
        return self._answers[text]

    def _weight(self, question: Question) -> float:
        weight = self._weights.get(question.task, 1.0)
        is_fixed = question.task != "crash_recognition" and question.answer == NEGATIVE_ANSWERS.get(question.task)
        return weight * self._negative_weight if is_fixed else weight

    def _time_shares(self, answer: list[int]) -> tuple[float, ...] | None:
        """Token weights that give an answer's times their share."""
        is_time = [token in self._times for token in answer]
        num_times = sum(is_time)
        if not num_times or not self._time_share:
            return None
        rest = (1 - self._time_share) / len(answer)
        return tuple(rest + (self._time_share / num_times if found else 0.0) for found in is_time)

    def _prefix(self, times_s: np.ndarray) -> list[int]:
        key = tuple(times_s.tolist())
        if key not in self._prefixes:
            self._prefixes[key] = self._prompter.prefix(key)
        return self._prefixes[key]


def crop(
    clip: Clip,
    view: View,
    times_s: np.ndarray,
    settings: AugmentationConfig,
    generator: np.random.Generator,
    can_start_late: bool,
) -> View:
    """Drop whole frames at both ends, never the crash (or the closest moment of a near miss).

    Args:
        clip: its times bound the crop.
        view: the whole clip in one variant.
        times_s: seconds of the view's frames from its first one.
        settings: limits of the crop.
        generator: of the visit.
        can_start_late: whether a crash may lose its first sign (it has other questions).
    """
    start_s, end_s = _keep(clip, settings, generator, can_start_late)
    real_s = times_s + view.shift_s
    firsts = np.flatnonzero((real_s < start_s) & (times_s <= settings.max_crop_start_s))
    lasts = np.flatnonzero((real_s >= end_s) & (times_s[-1] - times_s <= settings.max_crop_end_s))
    first = int(generator.choice(firsts)) if len(firsts) else 0
    last = int(generator.choice(lasts)) if len(lasts) else view.last
    if times_s[last] - times_s[first] < settings.min_length_s:
        return view
    return replace(view, first=first, last=last, shift_s=view.shift_s + float(times_s[first]))


def _keep(
    clip: Clip, settings: AugmentationConfig, generator: np.random.Generator, can_start_late: bool
) -> tuple[float, float]:
    """Seconds before which a crop must begin and after which it must end. Draws the same numbers for every clip."""
    is_late = generator.random() < settings.late_start_probability
    some_start_s, some_event_s = generator.uniform(0.5, 4.0), generator.uniform(2.0, 5.0)
    if not clip.is_crash:
        event_s = some_event_s if clip.event_s is None else clip.event_s
        return min(some_start_s, event_s), event_s + _AFTER_EVENT_S
    assert clip.crash_start_s is not None
    end_s = clip.crash_start_s + _AFTER_EVENT_S if clip.crash_end_s is None else clip.crash_end_s
    before_crash_s = clip.crash_start_s - 1.0
    if clip.pre_crash_start_s is None:
        return before_crash_s, end_s
    if is_late and can_start_late:
        return max(before_crash_s, clip.pre_crash_start_s), end_s
    return clip.pre_crash_start_s - SIGN_MARGIN_S, end_s


def visible_questions(clip: Clip, view: View, asked: Sequence[Question]) -> list[Question]:
    """The questions whose truth can still be seen: the first sign of a crash may have been cropped away."""
    if view.first == 0 or clip.pre_crash_start_s is None or view.shift_s <= clip.pre_crash_start_s - SIGN_MARGIN_S:
        return list(asked)
    return [question for question in asked if question.task != "pre_crash_localization"]


def swap_sides(text: str) -> str:
    """A text about mirrored frames: left and right exchanged."""
    return _SIDES.sub(lambda found: _OTHER_SIDE[found[0]], text)


def time_token_ids(prompter: Prompter) -> list[int]:
    """Tokens that are a whole time on the frame grid, in the order of time; empty where times are several tokens."""
    layout = prompter.layout
    ids: list[int] = []
    while True:
        found = prompter.encode(layout.time_format.format(time=len(ids) / layout.rate_hz))
        if len(found) != 1 or found[0] in ids:
            return ids
        ids += found


def time_targets(prompter: Prompter, vocab_size: int, sigma_steps: float | None) -> TimeTargets | None:
    """Ordinal soft targets over the time tokens, or None where they are switched off.

    Raises:
        UserError: the base writes a time in several tokens.
    """
    if sigma_steps is None:
        return None
    ids = time_token_ids(prompter)
    if len(ids) < 2:
        raise UserError(
            "train.time_target_sigma_steps: the base's tokenizer has no token for a whole time; expected null "
            "(plain cross-entropy) for this base"
        )
    return TimeTargets.gaussian(ids, vocab_size, sigma_steps)

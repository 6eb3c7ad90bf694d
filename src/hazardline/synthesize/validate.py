"""What a pair must satisfy whoever wrote it; every pair that does not is kept apart with its reason."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hazardline.errors import RefusedOutputError
from hazardline.hazardnet import TOPICS, TOPICS_PER_IMAGE, final_answer, reasoning_of
from hazardline.suites import CRASHCHAT, HAZARDNET, suite_of
from hazardline.synthesize.clip_rules import contradiction, near_duplicate
from hazardline.synthesize.config import ValidationRules
from hazardline.synthesize.crash_pairs import crash_problem
from hazardline.synthesize.hazard_pairs import hazard_problem
from hazardline.synthesize.pair import Problem, QaPair, Reason, SceneRow, qa_id
from hazardline.synthesize.wording import is_english, words
from hazardline.tasks import NEGATIVE_ANSWERS, TEXT_TASKS, PromptSet, Task

PUBLISHED = "published"
"""The annotator whose questions are the data set's own and need not be those of the prompt version."""


@dataclass(frozen=True)
class Rejected:
    """A pair that must not be used, the reason as a fixed word, and what was found."""

    pair: QaPair
    reason: Reason
    detail: str


@dataclass(frozen=True)
class Validation:
    """The pairs of a clip in their order, parted in two."""

    accepted: list[QaPair]
    rejected: list[Rejected]


class Refusals:
    """Counts of accepted and rejected pairs, and the first case of each reason."""

    def __init__(self) -> None:
        """Nothing has been counted yet."""
        self.num_accepted = 0
        self.counts: Counter[Reason] = Counter()
        self.first: dict[Reason, Rejected] = {}

    def add(self, checked: Validation) -> None:
        """Count a clip's pairs."""
        self.num_accepted += len(checked.accepted)
        for item in checked.rejected:
            self.counts[item.reason] += 1
            self.first.setdefault(item.reason, item)

    @property
    def num_rejected(self) -> int:
        """Rejected pairs."""
        return self.counts.total()

    @property
    def rejected_share(self) -> float:
        """Rejected pairs over all pairs; 0 where there are none."""
        total = self.num_accepted + self.num_rejected
        return self.num_rejected / total if total else 0.0

    def check_limit(self, max_rejected_share: float) -> None:
        """Refuse a set of which too much was rejected.

        Raises:
            RefusedOutputError: with the counts by reason and the first case of each.
        """
        if self.rejected_share <= max_rejected_share:
            return
        lines = [
            f"  {reason}: {count}, first {self.first[reason].pair.qa_id}: {self.first[reason].detail}"
            for reason, count in sorted(self.counts.items())
        ]
        raise RefusedOutputError(
            f"synthesize: {self.num_rejected} of {self.num_accepted + self.num_rejected} question-answer pairs were "
            f"rejected ({self.rejected_share:.1%}), the recipe allows {max_rejected_share:.1%} (max_rejected_share); "
            "correct the annotations or raise the limit\n" + "\n".join(lines)
        )


def validate(pairs: Sequence[QaPair], scene: SceneRow, prompts: PromptSet, rules: ValidationRules) -> Validation:
    """Check every pair of a clip against the clip, its questions and the other pairs.

    Args:
        pairs: of one clip, in the order in which they were written; of two with one id the second is the duplicate.
        scene: the clip's row of the scenes table.
        prompts: the version that the pairs claim.
        rules: limits, and what is checked.
    """
    accepted: list[QaPair] = []
    rejected: list[Rejected] = []
    by_task: dict[Task, QaPair] = {}
    for pair in pairs:
        by_task.setdefault(pair.task, pair)
    seen: set[str] = set()
    num_topics = 0
    for pair in pairs:
        problem = _problem(pair, scene, prompts) or _wording_problem(pair, prompts, rules)
        problem = problem or contradiction(pair, by_task)
        if problem is None and pair.qa_id in seen:
            problem = ("duplicate", f"{pair.qa_id} was given before")
        seen.add(pair.qa_id)
        if problem is None and pair.task in TOPICS:
            num_topics += 1
            if num_topics > TOPICS_PER_IMAGE:
                problem = ("too_many_topics", f"an image is asked {TOPICS_PER_IMAGE} topics of HazardQA")
        problem = problem or near_duplicate(pair, accepted, rules.max_similarity)
        if problem is None:
            accepted.append(pair)
        else:
            rejected.append(Rejected(pair, *problem))
    return Validation(accepted, rejected)


def whole_scene(checked: Validation) -> Validation:
    """A clip's pairs, all of them put aside where some of HazardQA's five are missing.

    An image has exactly five pairs over the seven topics, or none (arXiv 2502.20572). Published pairs keep the number
    that their data set gives them.
    """
    given = [*checked.accepted, *(item.pair for item in checked.rejected)]
    if not any(pair.task in TOPICS and pair.annotator != PUBLISHED for pair in given):
        return checked
    num_topics = sum(pair.task in TOPICS for pair in checked.accepted)
    if num_topics == TOPICS_PER_IMAGE:
        return checked
    detail = f"{num_topics} of the {TOPICS_PER_IMAGE} pairs over HazardQA's topics are left; an image has all or none"
    return Validation(
        [], [*checked.rejected, *(Rejected(pair, "incomplete_scene", detail) for pair in checked.accepted)]
    )


def _problem(pair: QaPair, scene: SceneRow, prompts: PromptSet) -> Problem | None:
    if pair.clip_id != scene["clip_id"]:
        return "unknown_clip", f"a pair of clip {pair.clip_id} was given for {scene['clip_id']}"
    suite = suite_of(prompts.version)
    if pair.task not in suite.tasks:
        return "unknown_task", f"task {pair.task}; known: {', '.join(suite.tasks)}"
    if pair.qa_id != qa_id(pair.clip_id, pair.task):
        return "wrong_id", f"expected {qa_id(pair.clip_id, pair.task)}"
    fixed = pair.question if pair.annotator == PUBLISHED else prompts.questions.get(pair.task, pair.question)
    if pair.prompt_version != prompts.version or pair.question != fixed:
        return "wrong_question", f"not the question of {prompts.version} for {pair.task}"
    if not pair.question.strip():
        return "empty_question", "the question is empty"
    if not pair.answer.strip():
        return "empty_answer", "the answer is empty"
    return _CHECKS[suite.name](pair, scene)


_CHECKS: dict[str, Callable[[QaPair, SceneRow], Problem | None]] = {
    CRASHCHAT.name: crash_problem,
    HAZARDNET.name: hazard_problem,
}
"""What holds for the pairs of each suite beyond what holds for all."""


def _wording_problem(pair: QaPair, prompts: PromptSet, rules: ValidationRules) -> Problem | None:
    """Language and length of what an annotator put into its own words."""
    if pair.task not in (*TEXT_TASKS, *TOPICS) or pair.answer == NEGATIVE_ANSWERS.get(pair.task):
        return None
    texts = [pair.question, reasoning_of(pair.answer)] if pair.task in TOPICS else [pair.answer]
    if rules.language == "en" and (odd := next((text for text in texts if not is_english(text)), None)):
        return "not_english", f"{odd[:200]!r}"
    return _length_problem(pair, rules)


def _length_problem(pair: QaPair, rules: ValidationRules) -> Problem | None:
    """A topic's question, reasoning and final answer each have limits of their own."""
    limits = [(pair.answer, rules.min_words, rules.limit(pair.task))]
    if pair.task in TOPICS:
        limits += [
            (pair.question, rules.min_question_words, rules.max_question_words),
            (reasoning_of(pair.answer), rules.min_words, rules.limit(pair.task)),
            (final_answer(pair.answer), 1, rules.limit(pair.task)),
        ]
    for text, least, most in limits:
        num_words = len(words(text))
        if num_words > most:
            return "too_long", f"{num_words} words where {most} are allowed: {text[:100]!r}"
        if num_words < least:
            return "too_short", f"{num_words} words where {least} is the least: {text!r}"
    return None

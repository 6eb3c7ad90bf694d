"""What a pair must satisfy whoever wrote it; every pair that does not is kept apart with its reason."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hazardline.errors import UserError
from hazardline.hazardnet import TOPICS, TOPICS_PER_IMAGE
from hazardline.suites import CRASHCHAT, HAZARDNET, suite_of
from hazardline.synthesize.crash_pairs import crash_problem
from hazardline.synthesize.hazard_pairs import hazard_problem
from hazardline.synthesize.pair import Problem, QaPair, Reason, SceneRow, qa_id
from hazardline.tasks import PromptSet


@dataclass(frozen=True)
class Rejected:
    """A pair that must not be used, the reason as a fixed word, and what was found."""

    pair: QaPair
    reason: Reason
    detail: str


@dataclass(frozen=True)
class Validation:
    """The pairs in their order, parted in two."""

    accepted: list[QaPair]
    rejected: list[Rejected]

    @property
    def rejected_share(self) -> float:
        """Rejected pairs over all pairs; 0 where there are none."""
        total = len(self.accepted) + len(self.rejected)
        return len(self.rejected) / total if total else 0.0

    def check_limit(self, max_rejected_share: float) -> None:
        """Refuse a set of which too much was rejected.

        Raises:
            UserError: with the counts by reason and the first case of each.
        """
        if self.rejected_share <= max_rejected_share:
            return
        cases = {item.reason: item for item in reversed(self.rejected)}
        lines = [
            f"  {reason}: {sum(item.reason == reason for item in self.rejected)}, "
            f"first {cases[reason].pair.qa_id}: {cases[reason].detail}"
            for reason in sorted(cases)
        ]
        total = len(self.accepted) + len(self.rejected)
        raise UserError(
            f"synthesize: {len(self.rejected)} of {total} question-answer pairs were rejected "
            f"({self.rejected_share:.1%}), the recipe allows {max_rejected_share:.1%} (max_rejected_share); "
            "correct the annotations or raise the limit\n" + "\n".join(lines)
        )


def validate(pairs: Sequence[QaPair], scenes: Mapping[str, SceneRow], prompts: PromptSet) -> Validation:
    """Check every pair against its clip, its questions and the other pairs.

    Args:
        pairs: in the order in which they were written; of two with one id the second is the duplicate.
        scenes: scenes rows by clip_id.
        prompts: the version that the pairs claim.
    """
    accepted: list[QaPair] = []
    rejected: list[Rejected] = []
    seen: set[str] = set()
    topics: Counter[str] = Counter()
    for pair in pairs:
        problem = _problem(pair, scenes.get(pair.clip_id), prompts)
        if problem is None and pair.qa_id in seen:
            problem = ("duplicate", f"{pair.qa_id} was given before")
        seen.add(pair.qa_id)
        if problem is None and pair.task in TOPICS:
            topics[pair.clip_id] += 1
            if topics[pair.clip_id] > TOPICS_PER_IMAGE:
                problem = ("too_many_topics", f"an image is asked {TOPICS_PER_IMAGE} topics of HazardQA")
        if problem is None:
            accepted.append(pair)
        else:
            rejected.append(Rejected(pair, *problem))
    return Validation(accepted, rejected)


def _problem(pair: QaPair, scene: SceneRow | None, prompts: PromptSet) -> Problem | None:
    if scene is None:
        return "unknown_clip", f"clip {pair.clip_id} is not in the scenes table"
    suite = suite_of(prompts.version)
    if pair.task not in suite.tasks:
        return "unknown_task", f"task {pair.task}; known: {', '.join(suite.tasks)}"
    if pair.qa_id != qa_id(pair.clip_id, pair.task):
        return "wrong_id", f"expected {qa_id(pair.clip_id, pair.task)}"
    if pair.prompt_version != prompts.version or pair.question != prompts.questions.get(pair.task, pair.question):
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

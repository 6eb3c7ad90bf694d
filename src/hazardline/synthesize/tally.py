"""Counts of a synthesize run, clip by clip, and the report made of them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict

from hazardline.files import digest_json
from hazardline.suites import suite_of
from hazardline.synthesize.annotators import AnnotatorReport
from hazardline.synthesize.config import SynthesizeConfig
from hazardline.synthesize.document import FailedCount, PairCount, RejectedCount, Synthesis, UnaskedCount
from hazardline.synthesize.pair import Annotation
from hazardline.synthesize.published import SPLITS
from hazardline.synthesize.validate import Refusals, Validation
from hazardline.tasks import PromptSet, Task


class Tally:
    """What was accepted, refused, not asked and not answered."""

    def __init__(self, prompts: PromptSet) -> None:
        """Nothing has been counted yet."""
        self._prompts = prompts
        self.refusals = Refusals()
        self.kinds: Counter[tuple[Task, str, bool]] = Counter()
        self.unasked: Counter[tuple[Task, str]] = Counter()
        self.failed: Counter[str] = Counter()
        self.num_other_questions = 0

    def add(self, annotation: Annotation, checked: Validation) -> None:
        """Count what became of a clip."""
        self.refusals.add(checked)
        self.unasked.update(annotation.unasked)
        if annotation.failure is not None:
            self.failed[annotation.failure.reason] += 1
        for pair in checked.accepted:
            self.kinds[pair.task, pair.split, pair.is_positive] += 1
            self.num_other_questions += pair.question != self._prompts.questions.get(pair.task, pair.question)

    def report(
        self,
        config: SynthesizeConfig,
        clips: Mapping[str, int],
        found: AnnotatorReport,
    ) -> Synthesis:
        """The document of the run."""
        first = self.refusals.first
        return Synthesis(
            annotator=config.annotator,
            prompt_version=self._prompts.version,
            prompt_digest=digest_json(asdict(self._prompts)),
            rules=config.rules,
            num_clips=dict(clips),
            num_pairs=self.refusals.num_accepted,
            counts=[
                PairCount(
                    task=task,
                    split=split,
                    answer_form="positive" if is_positive else "negative",
                    num_pairs=self.kinds[task, split, is_positive],
                )
                for task in suite_of(self._prompts.version).tasks
                for split in SPLITS
                for is_positive in (True, False)
                if self.kinds[task, split, is_positive]
            ],
            unasked=[
                UnaskedCount(task=task, reason=reason, num_clips=num)
                for (task, reason), num in sorted(self.unasked.items())
            ],
            rejected=[
                RejectedCount(
                    reason=reason,
                    num_pairs=num,
                    first_qa_id=first[reason].pair.qa_id,
                    first_detail=first[reason].detail,
                )
                for reason, num in sorted(self.refusals.counts.items())
            ],
            rejected_share=self.refusals.rejected_share,
            failed=[FailedCount(reason=reason, num_clips=num) for reason, num in sorted(self.failed.items())],
            num_other_questions=self.num_other_questions,
            num_unused_records=found.num_unused_records,
            endpoint=found.endpoint,
        )

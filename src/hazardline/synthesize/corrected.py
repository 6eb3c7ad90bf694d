"""Answers that reviewers have corrected, in the place of what the annotator wrote (`corrections.jsonl` of ingest)."""

from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path

from hazardline.review.corrections import (
    ANSWER_PREFIX,
    CORRECTIONS_NAME,
    Correction,
    apply_pair_corrections,
    read_corrections,
)
from hazardline.synthesize.pair import Annotation


class CorrectedAnswers:
    """Corrections of answers, by clip; none where ingest was given none."""

    def __init__(self, ingest: Path) -> None:
        """Read them.

        Raises:
            UserError: the file cannot be read.
        """
        path = ingest / CORRECTIONS_NAME
        self._by_clip: dict[str, list[Correction]] = defaultdict(list)
        for item in read_corrections(path) if path.exists() else []:
            if item.field.startswith(ANSWER_PREFIX):
                self._by_clip[item.clip_id].append(item)
        self.num_applied = 0
        self.num_conflicts = 0
        """Corrections of answers that are other ones by now."""

    def apply(self, clip_id: str, annotation: Annotation) -> Annotation:
        """The annotation with the corrected answers."""
        own = self._by_clip.get(clip_id)
        if not own:
            return annotation
        pairs = []
        for pair in annotation.pairs:
            row, problems = apply_pair_corrections(asdict(pair), own)
            self.num_conflicts += len(problems)
            self.num_applied += row["answer"] != pair.answer
            pairs.append(replace(pair, answer=row["answer"]))
        return replace(annotation, pairs=pairs)

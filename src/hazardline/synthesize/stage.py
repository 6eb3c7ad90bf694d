"""Synthesize: from scenes and their split to a suite's tasks as question-answer pairs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hazardline.errors import UserError
from hazardline.files import digest_json
from hazardline.progress import Reporter
from hazardline.suites import ALL_PROMPTS, suite_of
from hazardline.synthesize.annotators import ANNOTATORS
from hazardline.synthesize.config import SynthesizeConfig
from hazardline.synthesize.document import (
    SYNTHESIS_NAME,
    PairCount,
    RejectedPair,
    Synthesis,
    UnaskedCount,
)
from hazardline.synthesize.pair import QaPair, SceneRow
from hazardline.synthesize.published import SPLITS, write_published
from hazardline.synthesize.validate import Validation, validate
from hazardline.tables import ASSIGNMENT, QA, SCENES, read_table, write_table
from hazardline.tasks import PromptSet, Task


def run(config: SynthesizeConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    """Annotate every clip, validate, and write `qa.parquet`, the records of each split and `synthesis.json`.

    Args:
        config: annotator, prompt version, limit of rejected pairs.
        inputs: `ingest` (scenes) and `split` (assignment).
        out: empty folder.
        reporter: progress, a unit a clip.

    Raises:
        UserError: scenes and assignment do not name the same clips, or too many pairs were rejected.
    """
    scenes = {row["clip_id"]: row for row in read_table(SCENES, inputs["ingest"])}
    split_of = {row["clip_id"]: row["split"] for row in read_table(ASSIGNMENT, inputs["split"])}
    _check_same_clips(scenes, split_of, inputs)
    prompts, suite = ALL_PROMPTS[config.prompt_version], suite_of(config.prompt_version)
    annotate = ANNOTATORS[suite.name][config.annotator]

    reporter.phase("annotate", len(scenes))
    pairs: list[QaPair] = []
    unasked: Counter[tuple[Task, str]] = Counter()
    for clip_id in sorted(scenes):
        annotation = annotate(scenes[clip_id], split_of[clip_id], prompts)
        pairs.extend(sorted(annotation.pairs, key=lambda pair: suite.tasks.index(pair.task)))
        unasked.update(annotation.unasked)
        reporter.advance()

    checked = validate(pairs, scenes, prompts)
    checked.check_limit(config.max_rejected_share)
    report = _report(config, prompts, checked, unasked, split_of)
    _write(out, checked.accepted, scenes, report)
    reporter.note(
        f"{report.num_pairs} question-answer pairs on {len(scenes)} clips, {len(report.rejected)} rejected, "
        f"{sum(unasked.values())} not asked for want of an annotation"
    )
    return {
        "num_pairs": report.num_pairs,
        "num_clips": report.num_clips,
        "pairs_by_task": dict(Counter(pair.task for pair in checked.accepted)),
        "num_rejected": len(report.rejected),
        "num_unasked": sum(unasked.values()),
        "prompt_version": report.prompt_version,
    }


def _check_same_clips(scenes: Mapping[str, SceneRow], split_of: Mapping[str, str], inputs: Mapping[str, Path]) -> None:
    assignment = inputs["split"] / ASSIGNMENT.file_name
    odd = sorted(set(scenes) ^ set(split_of))
    if odd:
        where = "scenes" if odd[0] in scenes else "assignment"
        raise UserError(
            f"{assignment}: does not belong to {inputs['ingest'] / SCENES.file_name}: {len(odd)} clips stand in "
            f"one of them only (first: {odd[0]}, in the {where} table); run split again"
        )
    unknown = sorted(set(split_of.values()) - set(SPLITS))
    if unknown:
        raise UserError(f"{assignment}: unknown split {unknown[0]!r}; expected one of {', '.join(SPLITS)}")


def _report(
    config: SynthesizeConfig,
    prompts: PromptSet,
    checked: Validation,
    unasked: Counter[tuple[Task, str]],
    split_of: Mapping[str, str],
) -> Synthesis:
    kinds = Counter((pair.task, pair.split, pair.is_positive) for pair in checked.accepted)
    clips = Counter(split_of.values())
    return Synthesis(
        annotator=config.annotator,
        prompt_version=prompts.version,
        prompt_digest=digest_json(asdict(prompts)),
        num_clips={split: clips[split] for split in SPLITS},
        num_pairs=len(checked.accepted),
        counts=[
            PairCount(
                task=task,
                split=split,
                answer_form="positive" if is_positive else "negative",
                num_pairs=kinds[task, split, is_positive],
            )
            for task in suite_of(prompts.version).tasks
            for split in SPLITS
            for is_positive in (True, False)
            if kinds[task, split, is_positive]
        ],
        unasked=[
            UnaskedCount(task=task, reason=reason, num_clips=num) for (task, reason), num in sorted(unasked.items())
        ],
        rejected=[
            RejectedPair(qa_id=item.pair.qa_id, reason=item.reason, detail=item.detail) for item in checked.rejected
        ],
        rejected_share=checked.rejected_share,
    )


def _write(out: Path, pairs: Sequence[QaPair], scenes: Mapping[str, SceneRow], report: Synthesis) -> None:
    write_table(QA, out, [asdict(pair) for pair in pairs])
    write_published(out, pairs, scenes, suite_of(report.prompt_version))
    report.write(out / SYNTHESIS_NAME)

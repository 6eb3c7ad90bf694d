"""Synthesize: from scenes and their split to a suite's tasks as question-answer pairs.

Clips go through one by one: neither the tables nor the pairs are ever held as a whole.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hazardline.errors import RefusedOutputError
from hazardline.progress import Reporter
from hazardline.suites import ALL_PROMPTS, Suite, suite_of
from hazardline.synthesize.annotators import annotator_of
from hazardline.synthesize.clips import check_clips, read_clips
from hazardline.synthesize.config import SynthesizeConfig
from hazardline.synthesize.corrected import CorrectedAnswers
from hazardline.synthesize.document import SYNTHESIS_NAME
from hazardline.synthesize.output import OutputWriter
from hazardline.synthesize.pair import Annotation
from hazardline.synthesize.tally import Tally
from hazardline.synthesize.validate import validate, whole_scene


def run(config: SynthesizeConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    """Annotate every clip, validate, and write the pairs, those that were refused, and `synthesis.json`.

    Args:
        config: annotator, prompt version, rules and limits.
        inputs: `ingest` (scenes, published records) and `split` (assignment).
        out: empty folder; receives qa.parquet, rejected.parquet, failed.parquet, the records of each split in the
            suite's published form, and synthesis.json.
        reporter: progress, a unit a clip.

    Raises:
        UserError: scenes and assignment do not name the same clips, or the annotator cannot go on (an endpoint's
            budget, address or key).
        RefusedOutputError: too many pairs were rejected, or too many clips were asked about in vain.
    """
    clips = check_clips(inputs)
    prompts, suite = ALL_PROMPTS[config.prompt_version], suite_of(config.prompt_version)
    annotator = annotator_of(config, prompts, inputs, reporter)
    tally, corrected = Tally(prompts), CorrectedAnswers(inputs["ingest"])
    reporter.phase("annotate", sum(clips.values()))
    with OutputWriter(out, suite) as output:
        for clip, annotation in annotator.annotate(read_clips(inputs)):
            ordered = _in_task_order(corrected.apply(clip.clip_id, annotation), suite)
            checked = whole_scene(validate(ordered.pairs, clip.scene, prompts, config.rules))
            output.write(clip, ordered, checked)
            tally.add(ordered, checked)
            reporter.advance()

    found = annotator.report()
    report = tally.report(config, clips, found)
    report.write(out / SYNTHESIS_NAME)
    if found.fault is not None:
        raise RefusedOutputError(f"synthesize: {found.fault}")
    tally.refusals.check_limit(config.max_rejected_share)
    num_rejected, num_unasked = tally.refusals.num_rejected, tally.unasked.total()
    reporter.note(
        f"{report.num_pairs} question-answer pairs on {sum(clips.values())} clips, {num_rejected} rejected, "
        f"{num_unasked} not asked for want of an annotation"
    )
    if corrected.num_applied or corrected.num_conflicts:
        reporter.note(f"{corrected.num_applied} answers corrected by reviews, {corrected.num_conflicts} no longer fit")
    pairs_by_task: Counter[str] = Counter()
    for count in report.counts:
        pairs_by_task[count.task] += count.num_pairs
    return {
        "num_pairs": report.num_pairs,
        "num_clips": report.num_clips,
        "pairs_by_task": dict(pairs_by_task),
        "num_rejected": num_rejected,
        "num_unasked": num_unasked,
        "num_corrected": corrected.num_applied,
        "num_corrections_not_applied": corrected.num_conflicts,
        "num_failed": tally.failed.total(),
        "prompt_version": report.prompt_version,
    }


def _in_task_order(annotation: Annotation, suite: Suite) -> Annotation:
    """The pairs in the suite's order; those of no task of it come last."""
    places = {task: place for place, task in enumerate(suite.tasks)}
    return replace(annotation, pairs=sorted(annotation.pairs, key=lambda pair: places.get(pair.task, len(places))))

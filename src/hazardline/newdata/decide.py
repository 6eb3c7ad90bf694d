"""Whether a scheduled run should train: two folders of ingest output in, one `Trigger` out."""

from pathlib import Path

import numpy as np

from hazardline.errors import UserError
from hazardline.newdata.config import TriggerConfig
from hazardline.newdata.document import DriftRow, Sampled, Trigger
from hazardline.newdata.drift import measure
from hazardline.newdata.fingerprint import Comparison, compared
from hazardline.newdata.policy import judge
from hazardline.newdata.sample import Clips, Embeddings, read_sample

RETRAIN_STATUS = 0
NOTHING_TO_DO_STATUS = 10
"""Exit status of the command where no training is due; 2 is a user's error, as everywhere."""


def decide(
    reference: Path | None,
    today: Path,
    config: TriggerConfig,
    embeddings: Embeddings | None = None,
    trained: str | None = None,
    unknown_reference: str | None = None,
) -> Trigger:
    """Compare today's dataset version with the one that was trained on last.

    The same tables, in any order, and the same policy give the same document; where the folders lie does not enter.

    Args:
        reference: output folder of ingest; None before the first training, which is then due.
        today: output folder of ingest.
        config: the policy.
        embeddings: a vision encoder's vectors of both versions, to be compared as well.
        trained: what became of a training on today's version; None where there was none, or it is to go on.
        unknown_reference: why `reference` is None, though a model was trained on one.

    Raises:
        UserError: a table or file is missing, damaged, of another version, or lacks a clip.
    """
    for folder in (reference, today):
        if folder is not None and not folder.is_dir():
            raise UserError(f"{folder}: no such folder; expected the output folder of `hazardline ingest`")
    with compared(reference, today, config.seed) as comparison:
        counts = comparison.counts()
        num_new_crashes = comparison.num_new_crashes()
        new_digest = comparison.new_digest()
        version_today = comparison.version("today")
        version_reference = None if reference is None else comparison.version("reference")
        clips = None if reference is None else _sample(comparison, reference, today, config, embeddings)
    drift: tuple[DriftRow, ...] | None = None if clips is None else measure(clips, config)
    retrain, reasons = judge(counts, num_new_crashes, new_digest, drift, config, trained, unknown_reference)
    num_new = counts["new"].num_clips + counts["changed"].num_clips
    num_known = 0 if version_reference is None else version_reference.num_clips
    return Trigger(
        retrain=retrain,
        reasons=reasons,
        reference=version_reference,
        today=version_today,
        new_digest=new_digest,
        counts=counts,
        num_new=num_new,
        num_new_crashes=num_new_crashes,
        sampled_reference=None if clips is None else _sampled(clips, False, num_known, config),
        sampled_new=None if clips is None else _sampled(clips, True, num_new, config),
        num_units_on_both_sides=0 if clips is None else clips.num_groups_on_both_sides(),
        drift=drift or (),
        policy=config,
    )


def _sample(
    comparison: Comparison, reference: Path, today: Path, config: TriggerConfig, embeddings: Embeddings | None
) -> Clips:
    reference_ids = comparison.sample_reference(config.max_clips)
    new_ids = comparison.sample_new(config.max_clips)
    return read_sample(reference, today, reference_ids, new_ids, embeddings)


def _sampled(clips: Clips, is_new: bool, num_clips: int, config: TriggerConfig) -> Sampled:
    mine = clips.is_new == is_new
    return Sampled(
        num_clips=num_clips,
        num_compared=int(mine.sum()),
        num_compared_vectors=min(int(mine.sum()), config.max_vector_clips),
        num_units=len(np.unique(clips.groups[mine])),
    )

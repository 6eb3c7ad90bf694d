"""From what was counted and measured to a yes or no with its reasons. No files, no clock."""

from collections.abc import Mapping, Sequence

from hazardline.newdata.config import TriggerConfig
from hazardline.newdata.document import DriftRow, Reason, ReasonKind, Status, StatusCounts


def judge(
    counts: Mapping[Status, StatusCounts],
    num_new_crashes: int,
    new_digest: str | None,
    drift: Sequence[DriftRow] | None,
    config: TriggerConfig,
    trained: str | None = None,
    unknown_reference: str | None = None,
) -> tuple[bool, tuple[Reason, ...]]:
    """Whether to train again, and what every rule says.

    Args:
        counts: clips of every status.
        num_new_crashes: crashes among new and changed clips.
        new_digest: of what is new; None where nothing is.
        drift: what was measured; None where there is no reference yet.
        config: the policy.
        trained: what became of a training on today's version; None where there was none, or it is to go on.
        unknown_reference: why there is no reference, though a model was trained on one.
    """
    if new_digest is None:
        removed = counts["removed"].num_clips
        sentence = "nothing is new, changed or relabelled" + (f"; {removed} clips were removed" if removed else "")
        return False, (Reason(kind="nothing_new", retrain=False, sentence=sentence),)
    if new_digest in config.already_trained:
        sentence = f"a training ran already on what is new (digest {new_digest[:12]})"
        return False, (Reason(kind="already_trained", retrain=False, sentence=sentence),)
    if trained is not None:
        return False, (Reason(kind="already_trained", retrain=False, sentence=trained),)
    if unknown_reference is not None:
        return True, (Reason(kind="unknown_reference", retrain=True, sentence=unknown_reference),)
    num_new = counts["new"].num_clips + counts["changed"].num_clips
    if drift is None:
        sentence = f"no version was trained on yet; today's has {num_new} clips"
        return True, (Reason(kind="first_training", retrain=True, sentence=sentence),)
    reasons = (
        _at_least("new_clips", num_new, config.min_new_clips, "clips with new bytes"),
        _at_least("new_crashes", num_new_crashes, config.min_new_crashes, "crashes among them"),
        _at_least("relabelled", counts["relabelled"].num_clips, config.min_relabelled, "clips with another annotation"),
        _drift_reason(drift, config),
    )
    return any(reason.retrain for reason in reasons), reasons


def _at_least(kind: ReasonKind, count: int, minimum: int, what: str) -> Reason:
    met = count >= minimum
    sentence = f"{count} {what}, {'at least' if met else 'fewer than'} {minimum}"
    return Reason(kind=kind, retrain=met, sentence=sentence)


def _drift_reason(drift: Sequence[DriftRow], config: TriggerConfig) -> Reason:
    watched = [row for row in drift if row.name in config.drift_on]
    drifted = [row for row in watched if row.verdict == "drift"]
    if drifted:
        sentence = "drift: " + ", ".join(f"{r.name} ({r.effect_name} {r.effect}, limit {r.limit})" for r in drifted)
    elif not watched:
        sentence = "drift is no reason in this policy (drift_on is empty)"
    elif all(row.verdict == "not_measured" for row in watched):
        sentence = f"drift was not measured: {watched[0].note}"
    else:
        sentence = f"no drift above the limits in {len({row.name for row in watched})} comparisons"
    others = sorted({row.name for row in drift if row.verdict == "drift" and row.name not in config.drift_on})
    if others:
        sentence += f"; drift that is no reason in this policy: {', '.join(others)}"
    return Reason(kind="drift", retrain=bool(drifted), sentence=sentence)

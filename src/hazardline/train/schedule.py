"""Learning rate and data order as pure functions of the step, so that a resumed run repeats what was lost."""

import math
from collections.abc import Sequence

import numpy as np

from hazardline.train.config import Schedule


def learning_rate(
    step: int, num_steps: int, peak: float, warmup_steps: int, final_share: float, schedule: Schedule = "cosine"
) -> float:
    """Rate of a step (from 0): linear warm-up, then a cosine or a line from the peak to `final_share` of it."""
    warmup = min(warmup_steps, num_steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, num_steps - warmup - 1)
    left = 1 - min(1.0, progress)
    if schedule == "cosine":
        left = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return peak * (final_share + (1 - final_share) * left)


def visits_of_step(step: int, num_clips: int, clips_per_step: int, seed: Sequence[int]) -> list[tuple[int, int]]:
    """(epoch, clip index) of a step's visits; every epoch is a permutation of all clips, steps may straddle two.

    Args:
        step: from 0.
        num_clips: clips of the branch.
        clips_per_step: visits of a step.
        seed: numbers that the permutations depend on.
    """
    visits: list[tuple[int, int]] = []
    orders: dict[int, list[int]] = {}
    for number in range(step * clips_per_step, (step + 1) * clips_per_step):
        epoch, place = divmod(number, num_clips)
        if epoch not in orders:
            orders[epoch] = np.random.default_rng([*seed, epoch]).permutation(num_clips).tolist()
        visits.append((epoch, orders[epoch][place]))
    return visits

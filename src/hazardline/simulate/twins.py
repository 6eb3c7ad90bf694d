"""Near-miss twins: the same scene with one responsible parameter moved until the crash just fails to happen."""

from collections.abc import Callable
from dataclasses import replace

from hazardline.simulate.config import HazardFamily
from hazardline.simulate.families import KNOBS, Scenario
from hazardline.simulate.outcome import Outcome, simulate
from hazardline.simulate.staging import Stage

BISECTIONS = 5


def find_twin(
    crash: Scenario, fps: int, is_fit: Callable[[Stage, Outcome], bool] = lambda stage, outcome: True
) -> tuple[Stage, Outcome] | None:
    """A near miss along the first knob that has one; None where there is none.

    Each knob is moved from the crash's value to one that surely avoids it, and the border is bisected until the crash
    just fails to happen.

    Args:
        crash: the scenario that ends as a crash.
        fps: video frames a second.
        is_fit: whether a near miss can be used (for example: it is in view).
    """
    family: HazardFamily = crash.family  # type: ignore[assignment]
    for name, safe in KNOBS[family]:
        found = _bisect(crash, name, safe, fps, is_fit)
        if found is not None:
            return found
    return None


def _bisect(
    crash: Scenario, name: str, safe: float, fps: int, is_fit: Callable[[Stage, Outcome], bool]
) -> tuple[Stage, Outcome] | None:
    unsafe = float(getattr(crash, name))
    value = safe
    for attempt in range(BISECTIONS + 1):
        stage, outcome = simulate(replace(crash, **{name: value}), fps)  # type: ignore[arg-type]
        touched = bool(stage.world.contacts)
        if attempt == 0 and touched:
            return None
        if outcome.verdict == "near_miss" and is_fit(stage, outcome):
            return stage, outcome
        unsafe, safe = (value, safe) if touched else (unsafe, value)
        value = (unsafe + safe) / 2
    return None

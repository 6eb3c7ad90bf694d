"""Near-miss twins: the same scene with one responsible parameter moved until the crash just fails to happen."""

from dataclasses import replace

from hazardline.simulate.config import HazardFamily
from hazardline.simulate.families import KNOBS, Scenario
from hazardline.simulate.outcome import Outcome, simulate
from hazardline.simulate.scenario import Stage

BISECTIONS = 5


def find_twin(crash: Scenario, fps: int) -> tuple[Stage, Outcome] | None:
    """The near miss nearest to the crash along the first knob that has one; None where there is none.

    Each knob is moved from the crash's value to one that surely avoids it, and the border is bisected.
    """
    family: HazardFamily = crash.family  # type: ignore[assignment]
    for name, safe in KNOBS[family]:
        found = _bisect(crash, name, safe, fps)
        if found is not None:
            return found
    return None


def _bisect(crash: Scenario, name: str, safe: float, fps: int) -> tuple[Stage, Outcome] | None:
    unsafe = float(getattr(crash, name))
    best: tuple[Stage, Outcome] | None = None
    value = safe
    for attempt in range(BISECTIONS + 1):
        stage, outcome = simulate(replace(crash, **{name: value}), fps)  # type: ignore[arg-type]
        touched = bool(stage.world.contacts)
        if attempt == 0 and touched:
            return None
        if touched:
            unsafe = value
        else:
            safe = value
            if outcome.verdict == "near_miss":
                best = (stage, outcome)
                break
        value = (unsafe + safe) / 2
    return best

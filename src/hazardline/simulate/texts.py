"""What is said of a crash: a small closed vocabulary, and a pure function of what happened.

No colour, number or synonym is drawn: the same kind of crash always reads the same.
"""

from dataclasses import dataclass

from hazardline.simulate.staging import Stage

_WORDS = {
    "car": "a car",
    "suv": "an SUV",
    "van": "a van",
    "truck": "a truck",
    "pedestrian": "a pedestrian",
    "cyclist": "a cyclist",
}


@dataclass(frozen=True, slots=True)
class Story:
    """Texts of a crash in the style of MM-AU."""

    accident_type: str
    description: str
    cause: str
    prevention: str


def _the(indefinite: str) -> str:
    return "the " + indefinite.split(" ", 1)[1]


def _from_side(stage: Stage, mirrored: bool) -> str:
    """Side from which the danger came, as it is seen in the picture."""
    s = stage.scenario
    right = s.side > 0
    if s.family == "cut_in":
        right = s.ego_lane == 0
    return "right" if right != mirrored else "left"


def tell(stage: Stage, mirrored: bool) -> Story:
    """The texts of a scene that ended as a crash between `stage.risk` and `stage.victim`."""
    s, world = stage.scenario, stage.world
    risk = _WORDS[world.agent(str(stage.risk)).kind]
    victim = _WORDS[world.agent(stage.victim).kind] if stage.victim != "ego" else "the ego car"
    side, turn = _from_side(stage, mirrored), "right" if mirrored else "left"
    if s.family == "rear_end":
        return Story(
            "ego-car hits a car",
            f"the ego car rear-ends {_the(risk)} ahead that brakes hard",
            "The ego car follows too closely and brakes too late.",
            "Keep a safe following distance. Brake as soon as the vehicle ahead brakes.",
        )
    if s.family == "cut_in":
        return Story(
            "ego-car hits a car",
            f"{risk} cuts in from the {side} and the ego car hits it",
            f"{_the(risk).capitalize().replace('suv', 'SUV')} changes lane with too small a gap.",
            "Change lane only when the gap is large enough. Slow down when a vehicle moves into the lane.",
        )
    if s.family == "red_light":
        return Story(
            "ego-car hits a car",
            f"{risk} from the {side} runs the red light and hits the ego car",
            f"{_the(risk).capitalize().replace('suv', 'SUV')} ignores the red light.",
            "Stop at a red light. Look to both sides before entering a junction.",
        )
    if s.family == "dart_out":
        verb = "steps out" if s.walker == "pedestrian" else "rides out"
        return Story(
            f"ego-car hits {risk}",
            f"the ego car strikes {risk} who {verb} from the {side}",
            f"{_the(risk).capitalize()} enters the road without looking.",
            "Cross only where drivers can see you. Slow down beside parked vehicles.",
        )
    if s.family == "left_turn":
        return Story(
            "ego-car hits a car",
            f"an oncoming {_the(risk)[4:]} turns {turn} across the path of the ego car and they collide",
            f"{_the(risk).capitalize().replace('suv', 'SUV')} does not give way when it turns {turn}.",
            f"Give way to oncoming traffic before turning {turn}. Be ready to brake at a junction.",
        )
    return _tell_more(stage, risk, victim, side)


def _tell_more(stage: Stage, risk: str, victim: str, side: str) -> Story:
    s = stage.scenario
    if s.family == "observed_side_impact":
        return Story(
            "car hits car",
            f"{risk} from the {side} runs the red light and hits {_the(victim)} ahead",
            f"{_the(risk).capitalize().replace('suv', 'SUV')} ignores the red light.",
            "Stop at a red light. Look to both sides before entering a junction.",
        )
    if s.family == "observed_rear_end":
        return Story(
            "car hits car",
            f"{risk} ahead rear-ends {_the(victim)} that brakes hard",
            f"{_the(risk).capitalize().replace('suv', 'SUV')} follows too closely and brakes too late.",
            "Keep a safe following distance. Brake as soon as the vehicle ahead brakes.",
        )
    if s.family == "head_on":
        overtakes = s.variant == "overtake"
        doing = "overtakes" if overtakes else "drifts over the centre line"
        return Story(
            "ego-car hits a car",
            f"an oncoming {_the(risk)[4:]} {doing} and hits the ego car head-on",
            f"{_the(risk).capitalize().replace('suv', 'SUV')} drives in the lane of oncoming traffic.",
            "Overtake only when the road ahead is clear. Stay in your own lane.",
        )
    cause = "The tyres lose grip on the road."
    prevention = "Slow down when the road is slippery. Steer and brake gently."
    if s.variant == "ego":
        text = f"the ego car loses control and hits a parked {_the(risk)[4:]}"
        return Story("ego-car hits a car", text, cause, prevention)
    if s.variant == "ahead_parked":
        text = f"{risk} ahead loses control and hits a parked {_the(victim)[4:]}"
        return Story("car hits car", text, cause, prevention)
    place = "an oncoming" if s.variant == "oncoming" else None
    who = f"{place} {_the(risk)[4:]}" if place else f"{risk} ahead"
    return Story("ego-car hits a car", f"{who} loses control and hits the ego car", cause, prevention)

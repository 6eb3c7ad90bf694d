"""Generic questions about an image, with answers from its exact truth: what the pocket image base is pre-trained on.

Nothing here asks for a risk, or for what to do. Some answers are JSON objects with keys that the question names, so
that writing JSON is learned before any classification has been seen.
"""

import json
from collections.abc import Callable

import numpy as np

from hazardline.native import NEAR_M, StillObject
from hazardline.pocket.stills import Still

QA = tuple[str, str]
Ask = Callable[[], QA | None]
_WAYS = {"same": "with", "oncoming": "toward", "from_left": "left", "from_right": "right", "still": "stands"}
_MOTIONS = {
    "same": "goes with us",
    "oncoming": "comes toward us",
    "from_left": "crosses from the left",
    "from_right": "crosses from the right",
    "still": "stands still",
}
_ROADS = {
    "narrow_lane": "narrow lane",
    "intersection": "intersection",
    "urban_road": "urban road",
    "highway": "highway",
}
_PLAIN = {"pedestrian": "pedestrian", "cyclist": "cyclist"}
_WORDS = (
    "N/A", "None", "Unknown", "Yes", "No", "Red", "Green", "Left", "Right", "Ahead", "Near", "Far", "Car", "Van",
    "Truck", "Pedestrian", "Cyclist", "Vehicle", "Infrastructure", "Traffic light", "Crossing", "Narrow lane",
    "Intersection", "Urban road", "Highway", "Yield", "Stop", "Must Stop", "Slow Down", "Carefully", "Keep Moving",
    "Keep Left", "Turn Right", "Go Slow", "Carefully Slow Down", "Wait", "Rainy", "Night",
)  # fmt: skip
"""To be written down when asked for: no image says which."""
_KEY_PARTS = (
    "Scene", "Agent", "Road", "Weather", "Light", "Classification", "Suggested", "Action", "Word", "Is", "There",
    "Risk", "Traffic", "Nearest", "Kind", "Name", "Object", "First", "Second", "Note",
)  # fmt: skip


def _yes_no(value: bool) -> str:
    return "Yes" if value else "No"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


class StillQuestions:
    """Draws questions about one image."""

    def __init__(self, still: Still, rng: np.random.Generator) -> None:
        """Take the truth (of the mirrored image, where it is mirrored) and the source of all choices."""
        self._still, self._truth, self._rng = still, still.truth, rng
        self._objects = [item for item in still.truth.objects if item.range_m < 70]
        names = [self._name(item) for item in self._objects]
        self._unique = [item for item, name in zip(self._objects, names, strict=True) if names.count(name) == 1]

    def draw(self, count: int, simple_share: float = 0.5) -> list[QA]:
        """So many questions of different kinds, a whole description and a JSON object among them.

        Args:
            count: questions wanted.
            simple_share: of them (rounded down) those with an answer of one word, which are learned first.
        """
        kinds: list[Ask] = [
            self._nearest, self._number, self._weather, self._signal, self._junction, self._lanes, self._crossing,
            self._bump, self._in_lane, self._in_lane_range, self._beside, self._walkers, self._kinds, self._road,
            self._crossing_traffic, self._oncoming, self._ahead_brakes, self._near,
        ]  # fmt: skip
        for item in self._unique[:4]:
            kinds += [lambda item=item: self._where(item), lambda item=item: self._motion(item)]  # type: ignore[misc]
            kinds += [lambda item=item: self._brakes(item), lambda item=item: self._sentence(item)]  # type: ignore[misc]
        simple = self._simple()
        wanted = int(simple_share * count)
        found = [simple[int(k)] for k in self._rng.permutation(len(simple))[:wanted]]
        found += [self._describe(), self._json()][: max(0, count - len(found))]
        for k in self._rng.permutation(len(kinds)):
            if len(found) >= count:
                break
            pair = kinds[int(k)]()
            if pair is not None:
                found.append(pair)
        return found

    def _simple(self) -> list[QA]:
        """Every question that is answered with one word, each in a wording drawn for it."""
        truth, lane = self._truth, self._lane()
        asked: list[tuple[tuple[str, ...], str]] = [
            (("Is it night ?", "Is it dark ?", "Do we drive at night ?"), _yes_no(self._still.light == "night")),
            (("Is there an intersection ?",), _yes_no(truth.stop_line_m is not None)),
            (("Is there a speed bump ?",), _yes_no(truth.bump_m is not None)),
            (("Is there a crossing ?", "Do we come to a crossing ?"), _yes_no(truth.crossing_m is not None)),
            (("Is our lane free ?",), _yes_no(not lane)),
            (("Is our lane free near us ?",), _yes_no(not any(item.ahead_m < NEAR_M for item in lane))),
            (("Is there a road user ?", "Do we see a road user ?"), _yes_no(bool(self._objects))),
            (
                ("Colour of the traffic light ?", "What does the traffic light show ?", "Which light shines ?"),
                truth.signal or "none",
            ),
            (("Kind of road ?", "What road is it ?", "On which road are we ?"), _ROADS[truth.road]),
            (("Weather ?", "How is the weather ?", "What is the weather ?"), self._still.weather),
        ]
        for name, items in (("nearest road user", self._objects), ("road user in our lane", lane)):
            if items:
                asked += self._about(name, items[0])
        for side in ("left", "right"):
            there = _yes_no(any(item.side == side for item in self._objects))
            asked.append(((f"Is there a road user on the {side} ?", f"Do we see someone on the {side} ?"), there))
        for kind in ("car", "truck", "pedestrian", "cyclist"):
            there = _yes_no(any(item.kind == kind for item in self._objects))
            asked.append(((f"Is there a {kind} in sight ?", f"Do we see a {kind} ?"), there))
        return [(str(self._rng.choice(wordings)), answer) for wordings, answer in asked]

    def _about(self, name: str, item: StillObject) -> list[tuple[tuple[str, ...], str]]:
        near = "near" if item.range_m < NEAR_M else "far"
        return [
            ((f"Kind of the {name} ?", f"What kind is the {name} ?", f"Which kind is the {name} ?"), item.kind),
            (
                (f"Colour of the {name} ?", f"What colour is the {name} ?", f"In what colour is the {name} ?"),
                item.colour,
            ),
            ((f"Side of the {name} ?", f"On which side is the {name} ?"), item.side),
            ((f"Is the {name} near or far ?", f"At what distance is the {name} ?"), near),
            ((f"Metres to the {name} ?",), str(min(60, round(item.range_m)))),
            ((f"Does the {name} brake ?", f"Do brake lights of the {name} shine ?"), _yes_no(item.braking)),
            ((f"Way of the {name} ?", f"Which way does the {name} move ?"), _WAYS[item.heading]),
        ]

    def _name(self, item: StillObject) -> str:
        return f"{item.colour} {item.kind}"

    def _place(self, item: StillObject) -> str:
        return f"{item.side} {min(60, round(item.range_m))} m"

    def _first(self, items: list[StillObject]) -> str:
        return f"{self._name(items[0])} {self._place(items[0])}" if items else "none"

    def _nearest(self) -> QA:
        return "Nearest road user ?", self._first(self._objects)

    def _near(self) -> QA:
        near = [item for item in self._objects if item.range_m < NEAR_M]
        return "Is a road user near ?", f"Yes, {self._first(near)}" if near else "No"

    def _number(self) -> QA:
        return "How many road users ?", str(len(self._objects))

    def _weather(self) -> QA:
        return "Weather and light ?", f"{self._still.weather} {self._still.light}"

    def _signal(self) -> QA:
        return "Traffic light ?", self._truth.signal or "none"

    def _junction(self) -> QA:
        distance = self._truth.stop_line_m
        return "Intersection ahead ?", "No" if distance is None else f"Yes, {round(distance)} m"

    def _lanes(self) -> QA:
        return "Lanes each way ?", str(self._truth.lanes)

    def _crossing(self) -> QA:
        distance = self._truth.crossing_m
        return "Pedestrian crossing ahead ?", "No" if distance is None else f"Yes, {round(distance)} m"

    def _bump(self) -> QA:
        distance = self._truth.bump_m
        return "Speed bump ahead ?", "No" if distance is None else f"Yes, {round(distance)} m"

    def _lane(self) -> list[StillObject]:
        return [item for item in self._objects if item.side == "ahead" and 0 < item.ahead_m]

    def _in_lane(self) -> QA:
        return "Who is in our lane ?", self._first(self._lane())

    def _in_lane_range(self) -> QA:
        lane = self._lane()
        return "How far is our lane free ?", f"{round(lane[0].ahead_m)} m" if lane and lane[0].ahead_m < 60 else "far"

    def _ahead_brakes(self) -> QA | None:
        lane = self._lane()
        return ("Do brake lights shine in our lane ?", _yes_no(lane[0].braking)) if lane else None

    def _beside(self) -> QA:
        side = str(self._rng.choice(["left", "right"]))
        return f"Who is on the {side} ?", self._first([item for item in self._objects if item.side == side])

    def _walkers(self) -> QA:
        kind = str(self._rng.choice(["pedestrian", "cyclist"]))
        return f"Is there a {kind} ?", self._present([item for item in self._objects if item.kind == kind])

    def _crossing_traffic(self) -> QA:
        across = [item for item in self._objects if item.heading in ("from_left", "from_right")]
        return "Does someone cross ?", self._present(across)

    def _oncoming(self) -> QA:
        return "Does someone come toward us ?", self._present([i for i in self._objects if i.heading == "oncoming"])

    def _present(self, items: list[StillObject]) -> str:
        return f"Yes, {self._first(items)}" if items else "No"

    def _kinds(self) -> QA:
        kinds = list(dict.fromkeys(item.kind for item in self._objects))
        return "Which kinds of road users ?", ", ".join(kinds) if kinds else "none"

    def _road(self) -> QA:
        return "What road is it ?", _ROADS[self._truth.road]

    def _where(self, item: StillObject) -> QA:
        return f"Where is the {self._name(item)} ?", self._place(item)

    def _motion(self, item: StillObject) -> QA:
        return f"How does the {self._name(item)} move ?", _MOTIONS[item.heading]

    def _brakes(self, item: StillObject) -> QA:
        return f"Does the {self._name(item)} brake ?", _yes_no(item.braking)

    def _sentence(self, item: StillObject) -> QA:
        side = item.side
        where = "ahead of us" if side == "ahead" else f"on the {side}"
        near = "near" if item.range_m < NEAR_M else "far"
        return (
            f"Say what the {self._name(item)} does.",
            f"The {self._name(item)} is {where}, {near}, and {_MOTIONS[item.heading]}.",
        )

    def _describe(self) -> QA:
        truth = self._truth
        parts = [f"A {self._still.weather} {self._still.light} on a road: {_ROADS[truth.road]}."]
        if truth.signal:
            parts.append(f"The traffic light is {truth.signal}.")
        for item in self._objects[:2]:
            parts.append(self._sentence(item)[1])
        if not self._objects:
            parts.append("There are no road users.")
        return "Describe the scene.", " ".join(parts)

    def _json(self) -> QA:
        """An object of two to four fields; the question names the keys and, in brackets, what each is to hold."""
        fields: list[tuple[str, str]] = [
            ("weather", _capital(self._still.weather)),
            ("light", _capital(self._still.light)),
            ("road", _capital(_ROADS[self._truth.road])),
            ("signal", _capital(self._truth.signal or "none")),
            ("nearest kind", _capital(self._objects[0].kind) if self._objects else "None"),
            ("nearest side", _capital(self._objects[0].side) if self._objects else "None"),
            ("in our lane", _capital(self._lane()[0].kind) if self._lane() else "None"),
            ("pedestrian", _yes_no(any(item.kind == "pedestrian" for item in self._objects))),
            ("intersection", _yes_no(self._truth.stop_line_m is not None)),
        ]
        count = int(self._rng.integers(2, 5))
        chosen = [fields[int(k)] for k in self._rng.permutation(len(fields))[:count]]
        for place in range(count):
            if self._rng.random() < 0.35:
                word = str(self._rng.choice(_WORDS))
                chosen[place] = (f"write {word}", word)
        keys = [self._key(number) for number in range(count)]
        asked = ", ".join(f"{key} ({what})" for key, (what, _) in zip(keys, chosen, strict=True))
        values = {key: value for key, (_, value) in zip(keys, chosen, strict=True)}
        return f"As JSON: {asked}", json.dumps(values)

    def _key(self, number: int) -> str:
        parts = self._rng.permutation(len(_KEY_PARTS))[: int(self._rng.integers(1, 4))]
        return "".join(_KEY_PARTS[int(part)] for part in parts) + ("" if number == 0 else str(number))


def vocabulary_texts() -> list[str]:
    """Words that keys and values are made of, each as it stands alone."""
    return [*_KEY_PARTS, *(f'"{word}"' for word in _WORDS), *(f" {word}" for word in _WORDS)]

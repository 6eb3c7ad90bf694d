import re
from pathlib import Path

import pytest

from hazardline.synthesize import hazard_rules
from hazardline.synthesize.hazard_rules import URGENCY, assess
from tests.synthesize.images import thing, truth


def assessed(*objects, **changes):
    found = assess(truth(*objects, **changes))
    return None if found is None else (found.agent, found.action)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (thing(heading="oncoming", ahead_m=39.0, right_m=-1.8), ("Vehicle", "Must Stop")),
        (thing(heading="oncoming", ahead_m=41.0), None),
        (thing(heading="oncoming", ahead_m=10.0, right_m=-2.0), None),
        (thing("pedestrian", 11.0, heading="still"), ("Pedestrian", "Must Stop")),
        (thing("cyclist", 13.0), ("Cyclist", "Yield")),
        (thing("pedestrian", 24.0, 3.9), ("Pedestrian", "Yield")),
        (thing("pedestrian", 24.0, 4.1), None),
        (thing("pedestrian", 26.0), None),
        (thing("van", 9.0, 2.9, heading="from_left"), ("Vehicle", "Must Stop")),
        (thing("van", 11.0, 2.9, heading="from_left"), ("Vehicle", "Yield")),
        (thing("van", 29.0, 8.9, heading="from_right"), ("Vehicle", "Yield")),
        (thing("van", 31.0, heading="from_right"), None),
        (thing(ahead_m=8.9), ("Vehicle", "Must Stop")),
        (thing(ahead_m=9.1), ("Vehicle", "Carefully Slow Down")),
        (thing(ahead_m=13.9, braking=True), ("Vehicle", "Must Stop")),
        (thing(ahead_m=23.9, heading="still"), ("Vehicle", "Carefully Slow Down")),
        (thing(ahead_m=24.1), None),
        (thing("truck", 11.0, -4.4), ("Vehicle", "Keep Moving")),
        (thing("truck", 11.0, -4.6), None),
        (thing("truck", 11.0, 3.0, heading="still"), None),
        (thing(ahead_m=-3.0), None),
    ],
)
def test_each_rule_of_road_users_at_its_limits(seen, expected):
    assert assessed(seen) == expected


@pytest.mark.parametrize(
    ("furniture", "expected"),
    [
        ({"signal": "red", "stop_line_m": 29.0}, ("Infrastructure", "Must Stop")),
        ({"signal": "red", "stop_line_m": 31.0}, None),
        ({"signal": "green", "stop_line_m": 5.0}, None),
        ({"bump_m": 17.0}, ("Infrastructure", "Carefully Slow Down")),
        ({"bump_m": 19.0}, None),
        ({"bump_m": 2.0}, None),
        ({"crossing_m": 5.0}, None),
    ],
)
def test_each_rule_of_road_furniture_at_its_limits(furniture, expected):
    assert assessed(**furniture) == expected


def test_the_most_urgent_action_counts_then_the_nearest():
    beside, slow, walker = thing(ahead_m=6.0, right_m=3.0), thing(ahead_m=20.0), thing("pedestrian", 24.0)
    assert assessed() is None
    assert assessed(beside) == ("Vehicle", "Keep Moving")
    assert assessed(beside, slow) == ("Vehicle", "Carefully Slow Down")
    assert assessed(beside, slow, walker) == ("Pedestrian", "Yield")
    assert assessed(slow, walker, signal="red", stop_line_m=25.0) == ("Infrastructure", "Must Stop")
    far, near = thing("cyclist", 20.0), thing("pedestrian", 14.0)
    assert assessed(far, near) == assessed(near, far) == ("Pedestrian", "Yield")


def test_the_table_names_every_action_and_stands_on_the_page_for_users():
    table = re.findall(r"^\| .*\|$", hazard_rules.__doc__, re.MULTILINE)
    page = (Path(__file__).parents[2] / "docs/hazardnet.md").read_text(encoding="utf-8")
    assert len(table) == 12 and "\n".join(table) in page
    assert all(any(action in line for line in table) for action in URGENCY)

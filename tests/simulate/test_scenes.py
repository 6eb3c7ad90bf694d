"""The parts of the simulator that need no picture: configuration, geometry, twins, labels, mirrored texts, workers."""

import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from hazardline.errors import UserError
from hazardline.simulate import workers
from hazardline.simulate.config import HAZARD_FAMILIES, SimulateConfig
from hazardline.simulate.families import KNOBS, Scenario, derive_seed, sample_scenario, sample_surroundings
from hazardline.simulate.geometry import obb_gap, swept_ttc
from hazardline.simulate.kinds import SHAPES
from hazardline.simulate.outcome import simulate
from hazardline.simulate.scene import SceneName, SceneResult
from hazardline.simulate.texts import tell
from hazardline.simulate.twins import find_twin

CONFIG = SimulateConfig()


def crash_of(family: str, variant: str | None = None) -> tuple[Scenario, object]:
    for number in range(200):
        seed = derive_seed("test", family, number)
        scenario = sample_scenario(family, sample_surroundings(CONFIG, family, seed), CONFIG, seed)  # type: ignore[arg-type]
        if variant in (None, scenario.variant):
            stage, outcome = simulate(scenario, CONFIG.fps)
            if outcome.verdict == "crash":
                return scenario, stage
    raise AssertionError(f"no crash of {family} among 200 samples")


def box(x: float, y: float, vx: float = 0.0, vy: float = 0.0, heading_deg: float = 0.0) -> SimpleNamespace:
    angle = math.radians(heading_deg)
    return SimpleNamespace(shape=SHAPES["car"], x=x, y=y, vx=vx, vy=vy, fx=-math.sin(angle), fy=math.cos(angle))


def test_gap_and_time_to_a_touch() -> None:
    assert obb_gap(box(0, 0), box(0, 10)) == pytest.approx(5.6)
    assert obb_gap(box(0, 0), box(3, 0)) == pytest.approx(1.2)
    assert obb_gap(box(0, 0), box(0, 3)) == 0
    assert obb_gap(box(0, 0), box(0, 10, heading_deg=90)) == pytest.approx(10 - 2.2 - 0.9)
    assert swept_ttc(box(0, 0, vy=10), box(0, 10)) == pytest.approx(0.56)
    assert swept_ttc(box(0, 0, vy=10), box(3, 10)) == 99.0
    assert swept_ttc(box(0, 0, vy=-10), box(0, 10)) == 99.0
    assert swept_ttc(box(0, 0, vy=10), box(10, 10, vx=-10, heading_deg=90)) == pytest.approx(0.69)


@pytest.mark.parametrize("family", ["rear_end", "dart_out", "head_on", "loss_of_control"])
def test_a_twin_differs_in_one_knob_and_has_no_contact(family: str) -> None:
    for number in range(60):
        seed = derive_seed("twin", family, number)
        scenario = sample_scenario(family, sample_surroundings(CONFIG, family, seed), CONFIG, seed)  # type: ignore[arg-type]
        if simulate(scenario, CONFIG.fps)[1].verdict != "crash":
            continue
        found = find_twin(scenario, CONFIG.fps)
        if found is None:
            continue
        twin, outcome = found
        changed = [
            field.name
            for field in dataclasses.fields(Scenario)
            if getattr(scenario, field.name) != getattr(twin.scenario, field.name)
        ]
        assert len(changed) == 1 and changed[0] in {name for name, _ in KNOBS[family]}  # type: ignore[index]
        assert outcome.verdict == "near_miss" and not twin.world.contacts
        return
    raise AssertionError("no pair among 60 samples")


def test_simulating_again_gives_the_same_contacts() -> None:
    scenario, stage = crash_of("cut_in")
    again, _ = simulate(scenario, CONFIG.fps)
    assert again.world.contacts == stage.world.contacts  # type: ignore[attr-defined]
    assert again.world.frames == stage.world.frames  # type: ignore[attr-defined]


@pytest.mark.parametrize("family", ["red_light", "cut_in", "left_turn", "dart_out"])
def test_mirrored_texts_swap_sides_and_nothing_else(family: str) -> None:
    _, stage = crash_of(family)
    plain, mirrored = tell(stage, False), tell(stage, True)  # type: ignore[arg-type]
    swap = {"left": "right", "right": "left"}
    swapped = " ".join(swap.get(word, word) for word in plain.description.split())
    assert swapped == mirrored.description != plain.description


def test_texts_name_no_colour_and_are_a_function_of_the_facts() -> None:
    for family in HAZARD_FAMILIES:
        _, stage = crash_of(family)
        story = tell(stage, False)  # type: ignore[arg-type]
        assert story == tell(stage, False)  # type: ignore[arg-type]
        words = {word.strip(".,") for word in f"{story.description} {story.cause} {story.prevention}".split()}
        assert not words & {"red", "blue", "white", "black", "silver", "green", "yellow", "grey"} - {"red"}
        assert story.prevention.count(".") == 2 and story.cause.count(".") == 1
        assert story.description[0].islower() or story.description.startswith("an SUV")


def test_surroundings_do_not_depend_on_the_attempt() -> None:
    first = sample_surroundings(CONFIG, "rear_end", 5)
    assert first == sample_surroundings(CONFIG, "rear_end", 5) != sample_surroundings(CONFIG, "rear_end", 6)
    one, other = (sample_scenario("rear_end", first, CONFIG, seed) for seed in (1, 2))
    assert one.around == other.around and one.headway_s != other.headway_s


def test_mirrored_share_is_kept() -> None:
    config = SimulateConfig(left_hand_share=0.15)
    mirrored = sum(sample_surroundings(config, "rear_end", seed).left_hand for seed in range(600))
    assert 60 <= mirrored <= 120


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"num_pair": 3}, "num_pair"),
        ({"fps": 12}, "fps"),
        ({"families": ["flood"]}, "families"),
        ({"families": ["cruise"], "num_pairs": 1}, "no hazard family"),
        ({"min_clip_s": 9.0, "max_clip_s": 7.0}, "min_clip_s"),
        ({"event_fraction": [0.9, 0.2]}, "event_fraction"),
        ({"left_hand_share": 1.5}, "left_hand_share"),
    ],
)
def test_wrong_configuration_is_named(section: dict[str, object], named: str) -> None:
    with pytest.raises(UserError, match=named):
        SimulateConfig.parse(section, "recipe.yaml")


def test_a_worker_that_dies_is_replaced_and_its_scene_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second scene kills its process (a real one) each time; the others are made."""
    module = tmp_path / "deadly.py"
    module.write_text(
        "import json, os, sys\n"
        "job = json.load(sys.stdin)\n"
        "for sort, number in job['scenes']:\n"
        "    if number == 1:\n"
        "        os._exit(9)\n"
        "    print(json.dumps({'rows': [{'number': number}], 'rejected': {}}), flush=True)\n"
    )
    monkeypatch.setattr(workers, "WORKER", [str(module)])
    scenes = [SceneName("normal", number) for number in range(4)]
    config = SimulateConfig(num_pairs=0, num_normal=4, num_workers=2)
    results = {result.name.number: result for result in workers.make_scenes(config, scenes, tmp_path)}
    assert sorted(results) == [0, 1, 2, 3]
    death = results[1]
    assert isinstance(death, workers.Death)
    assert death.seed == scenes[1].seed(config) and death.exit_code == 9
    assert all(isinstance(results[number], SceneResult) for number in (0, 2, 3))


def test_a_missing_display_library_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    from hazardline.simulate import render

    selection = SimpleNamespace(getGlobalPtr=lambda: SimpleNamespace(makeDefaultPipe=lambda: None))
    monkeypatch.setattr(render, "GraphicsPipeSelection", selection)
    with pytest.raises(UserError, match="libx11-6"):
        render.Renderer(144, 96)

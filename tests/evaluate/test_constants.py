import numpy as np
import pytest

from hazardline.evaluate import scores
from hazardline.evaluate.constants import choose_constants, commonest, constant_answers, shown_answers, task_of
from hazardline.evaluate.scored import CLIP_METRICS, METRIC_NAMES
from hazardline.evaluate.scoring import Canon, score_clips
from hazardline.tasks import format_interval, format_point, parse_interval
from tests.evaluate.clips import clip


def validation():
    rng = np.random.default_rng(0)
    found = []
    for number in range(30):
        if number % 5 >= 2:
            found.append(clip(f"v{number:02d}", "near_miss" if number % 2 else "normal"))
            continue
        start = 2.0 + float(rng.integers(0, 20)) / 10
        scenario, description = (
            ("dart_out", "car hits a pedestrian.") if number % 3 else ("rear_end", "car hits a car.")
        )
        found.append(
            clip(
                f"v{number:02d}",
                scenario=scenario,
                crash_start_s=start,
                crash_description=description,
                crash_localization=format_interval(start, start + 1.5),
                pre_crash_localization=format_point(start - 1.0),
            )
        )
    return found


CLIPS = validation()
CANON = Canon.build(CLIPS, [])
CONSTANTS = choose_constants(CLIPS, CANON)


def value(metric, answers):
    found = score_clips(metric, CLIPS, answers, CANON)
    return scores.single(CLIP_METRICS[metric].score, found.targets, found.values)


def test_there_is_a_constant_for_every_metric():
    assert set(CONSTANTS) == set(METRIC_NAMES) and all(CONSTANTS.values())


def test_recognition_constants_are_chosen_by_metric():
    assert CONSTANTS["recognition_macro_f1"] == "No" and CONSTANTS["recognition_accuracy"] == "No"
    assert CONSTANTS["recognition_binary_f1"] == "Yes"


@pytest.mark.parametrize("metric", ["crash_miou", "crash_ap50", "crash_ap70"])
def test_no_interval_on_the_grid_is_better(metric):
    best = value(metric, constant_answers(metric, CONSTANTS, CLIPS))
    low, high = parse_interval(CONSTANTS[metric])
    for change_low in (-0.3, -0.1, 0.0, 0.1, 0.3):
        for change_high in (-0.3, -0.1, 0.0, 0.1, 0.3):
            other = format_interval(max(0.0, low + change_low), high + change_high)
            assert value(metric, constant_answers(metric, {**CONSTANTS, metric: other}, CLIPS)) <= best + 1e-9


@pytest.mark.parametrize("metric", ["pre_crash_score", "tta_abs_error_s"])
def test_no_time_on_the_grid_is_better(metric):
    best = value(metric, constant_answers(metric, CONSTANTS, CLIPS))
    every = [
        value(metric, constant_answers(metric, {**CONSTANTS, metric: format_point(tenth / 10)}, CLIPS))
        for tenth in range(50)
    ]
    assert best == pytest.approx(min(every) if metric == "tta_abs_error_s" else max(every))


def test_texts_on_all_clips_may_take_the_negative_answer_and_on_crashes_may_not():
    assert CONSTANTS["cause_rougeL"] == CONSTANTS["cause_bleu4"] == "No accident, no cause."
    assert CONSTANTS["cause_positive_bleu4"] == "The driver followed too closely."
    assert commonest(CLIPS, "crash_description", True)[0] == CONSTANTS["description_positive_rougeL"]


def test_the_family_constant_is_the_commonest_family():
    crashes = [item for item in CLIPS if item.is_crash]
    share = max(sum(item.scenario == name for item in crashes) for name in ("rear_end", "dart_out")) / len(crashes)
    metric = "description_family_accuracy"
    assert value(metric, constant_answers(metric, CONSTANTS, CLIPS)) == pytest.approx(share)


def test_a_constant_is_asked_end_to_end_as_if_it_said_yes():
    for metric in ("crash_miou", "pre_crash_score"):
        routed = f"{metric}_two_pass"
        assert value(routed, constant_answers(routed, CONSTANTS, CLIPS)) == value(
            metric, constant_answers(metric, CONSTANTS, CLIPS)
        )


def test_a_constant_guesses_in_auc():
    assert value("near_miss_auc", constant_answers("near_miss_auc", CONSTANTS, CLIPS)) == 0.5


def test_shown_answers_name_one_constant_a_task():
    shown = shown_answers(CONSTANTS, CLIPS)
    for item in CLIPS:
        assert set(shown[item.clip_id]) == set(item.references)
    first = shown["v00"]
    assert first["crash_localization"].text == CONSTANTS["crash_miou"] and task_of("crash_ap30") == "crash_localization"


def test_the_search_is_deterministic():
    assert choose_constants(list(CLIPS), CANON) == CONSTANTS


def test_a_constant_interval_is_far_from_zero_when_events_cluster():
    """CrashChat's finding in small: one interval for every clip is a floor that cannot be ignored."""
    assert value("crash_miou", constant_answers("crash_miou", CONSTANTS, CLIPS)) > 0.35

"""The statistics: they agree with scipy's, find what was planted, and raise no more false alarms than they say."""

import numpy as np
import pytest
from scipy import stats

from hazardline.newdata.config import TriggerConfig
from hazardline.newdata.document import DriftRow
from hazardline.newdata.drift import (
    chi_square,
    energy,
    holm,
    kolmogorov_smirnov,
    measure,
    permutation_p_values,
    population_stability,
    projected,
    unit_sides,
)
from tests.newdata.populations import recordings

CONFIG = TriggerConfig(num_permutations=399)
NUM_SEEDS = 200
LEVEL = 0.05


def rows_of(drift: tuple[DriftRow, ...]) -> dict[tuple[str, str], DriftRow]:
    return {(row.name, row.kind): row for row in drift}


def as_sides(is_new: np.ndarray) -> np.ndarray:
    return is_new[None].astype(float)


# --- the statistics themselves ---


@pytest.fixture
def two_sides() -> tuple[np.ndarray, np.ndarray]:
    """Which of 90 clips are new, and a number of each, with ties."""
    rng = np.random.default_rng(4)
    return np.repeat([False, True], [60, 30]), np.round(rng.normal(size=90), 1)


def test_statistics_are_those_of_scipy(two_sides: tuple[np.ndarray, np.ndarray]) -> None:
    is_new, values = two_sides
    alone = np.arange(90)
    ks = stats.ks_2samp(values[~is_new], values[is_new]).statistic
    assert kolmogorov_smirnov(values, alone)(as_sides(is_new))[0] == pytest.approx(ks, abs=1e-12)

    codes = (values > 0).astype(int) + (values > 1)
    table = np.array([np.bincount(codes[is_new == side], minlength=3) for side in (False, True)])
    expected = stats.chi2_contingency(table, correction=False).statistic
    assert chi_square(codes, alone)(as_sides(is_new))[0] == pytest.approx(expected, rel=1e-12)


def test_energy_coefficient_is_the_energy_distance_without_the_pairs_of_a_clip_with_itself(
    two_sides: tuple[np.ndarray, np.ndarray],
) -> None:
    is_new, values = two_sides
    x, y = values[~is_new], values[is_new]
    between = np.abs(x[:, None] - y).mean()
    within_x, within_y = (np.abs(v[:, None] - v).mean() for v in (x, y))
    assert 2 * between - within_x - within_y == pytest.approx(stats.energy_distance(x, y) ** 2)
    unbiased = 2 * between - within_x * 60 / 59 - within_y * 30 / 29
    found = energy(values[:, None], np.arange(90))(as_sides(is_new))[0]
    assert found == pytest.approx(unbiased / (2 * between), rel=1e-9)


def test_a_number_that_is_none_is_left_out(two_sides: tuple[np.ndarray, np.ndarray]) -> None:
    is_new, values = two_sides
    holes = values.copy()
    holes[::7] = np.nan
    known = np.isfinite(holes)
    ks = stats.ks_2samp(holes[known & ~is_new], holes[known & is_new]).statistic
    assert kolmogorov_smirnov(holes, np.arange(90))(as_sides(is_new))[0] == pytest.approx(ks)
    assert kolmogorov_smirnov(np.full(90, np.nan), np.arange(90))(as_sides(is_new))[0] == 0


def test_p_values_are_shares_of_permutations_and_all_tests_see_the_same_ones() -> None:
    units = np.arange(12)
    sides = np.repeat([False, True], [8, 4])
    values = np.r_[np.zeros(8), np.ones(4)]
    test = kolmogorov_smirnov(values, units)
    exact, again = permutation_p_values([test, test], sides, 999, 0)  # there are 495 ways to deal 12 units out
    assert exact == again == pytest.approx(1 / 495)


def test_units_are_dealt_out_whole() -> None:
    """Two recordings of many clips each side: 6 ways to deal them out, so p is a sixth or more, however many clips."""
    units = np.repeat(np.arange(4), 100)
    sides = unit_sides(units, units >= 2)
    p = permutation_p_values([chi_square((units >= 2).astype(int), units)], sides, 999, 0)
    assert p[0] >= 1 / 6


def test_holm() -> None:
    """The example of R's p.adjust(c(.01, .04, .03, .005), "holm")."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_population_stability_knows_empty_categories() -> None:
    assert population_stability(np.array([50.0, 50.0]), np.array([50.0, 50.0])) == 0
    one_gone = population_stability(np.array([50.0, 50.0]), np.array([100.0, 0.0]))
    assert np.isfinite(one_gone) and one_gone > 0.25, "above a quarter is the usual limit for a great shift"


def test_long_vectors_are_projected_and_constant_columns_do_no_harm() -> None:
    rng = np.random.default_rng(0)
    assert projected(np.c_[rng.normal(size=(50, 100)), np.ones(50)]).shape == (50, 32)
    assert np.isfinite(projected(np.ones((50, 3)))).all()


# --- what is found ---


def test_a_shift_of_weather_is_found_and_only_there() -> None:
    def more_rain(columns: dict[str, np.ndarray], rng: np.random.Generator) -> None:
        columns["weather"] = rng.choice(3, len(columns["weather"]), p=(0.2, 0.7, 0.1))

    found = measure(recordings(200, 80, seed=1, change=more_rain), CONFIG)
    assert {(row.name, row.kind) for row in found if row.verdict == "drift"} == {("weather", "shares")}
    row = rows_of(found)["weather", "shares"]
    assert row.effect is not None and row.effect > 0.25
    assert row.p == pytest.approx(1 / 400, abs=1e-6)
    assert {"psi", "cramers_v", "chi_square"} == set(row.more)
    assert sum(share.new for share in row.shares) == pytest.approx(1, abs=1e-5)


def test_a_shift_of_the_encoder_is_found_by_distance_and_classifier() -> None:
    def another_encoder(columns: dict[str, np.ndarray], rng: np.random.Generator) -> None:
        columns["colour"] += np.array([1.5, -1.0, 0, 0, 0, 0])

    found = measure(recordings(200, 80, seed=2, change=another_encoder), CONFIG)
    assert {(row.name, row.kind) for row in found if row.verdict == "drift"} == {
        ("colour", "distance"),
        ("colour", "classifier"),
    }
    auc = rows_of(found)["colour", "classifier"]
    assert auc.low is not None and auc.high is not None and auc.effect is not None
    assert 0.65 < auc.low < auc.effect < auc.high


def test_a_shift_of_length_is_found() -> None:
    def longer(columns: dict[str, np.ndarray], rng: np.random.Generator) -> None:
        columns["duration_s"] *= 1.6

    found = measure(recordings(200, 80, seed=3, change=longer), CONFIG)
    assert {(row.name, row.kind) for row in found if row.verdict == "drift"} == {("duration_s", "distribution")}
    assert rows_of(found)["duration_s", "distribution"].more["wasserstein_sd"] > 0.5


def test_a_certain_but_small_difference_is_no_drift() -> None:
    def a_little_longer(columns: dict[str, np.ndarray], rng: np.random.Generator) -> None:
        columns["duration_s"] *= 1.12

    row = rows_of(measure(recordings(4000, 2000, seed=3, change=a_little_longer), CONFIG))["duration_s", "distribution"]
    assert row.p_holm is not None and row.p_holm <= 0.05
    assert row.effect is not None and row.effect < row.limit
    assert row.verdict == "no_drift"


def test_a_new_recording_of_many_clips_is_no_drift_but_too_little_to_know() -> None:
    def all_rain(columns: dict[str, np.ndarray], rng: np.random.Generator) -> None:
        columns["weather"][:] = 1

    found = measure(recordings(60, 3, seed=5, clips_each=100, change=all_rain), CONFIG)
    assert {row.verdict for row in found} == {"not_measured"}
    assert {row.effect for row in found} == {None}
    assert "3 new ones; 30 of each are needed" in found[0].note


def test_vectors_of_few_units_are_not_measured_while_columns_are() -> None:
    """Of long recordings the clips whose vectors are compared can be a few recordings only."""
    clips = recordings(40, 40, seed=6, clips_each=100)
    found = measure(clips, TriggerConfig(num_permutations=399, max_vector_clips=1_000))
    verdicts = {row.kind: row.verdict for row in found}
    assert verdicts == {
        "shares": "no_drift",
        "distribution": "no_drift",
        "distance": "not_measured",
        "classifier": "not_measured",
    }


def test_the_same_seed_gives_the_same_rows() -> None:
    clips = recordings(80, 40, seed=7)
    assert measure(clips, CONFIG) == measure(clips, CONFIG)
    other = measure(clips, CONFIG.model_copy(update={"seed": 1}))
    assert [row.effect for row in other if row.kind != "classifier"] == [
        row.effect for row in measure(clips, CONFIG) if row.kind != "classifier"
    ], "the seed moves p-values, not what they speak of"


# --- false alarms ---


def test_false_alarms_are_as_rare_as_stated() -> None:
    """200 pairs of halves of one population, four clips a recording: each test at its level, all together below it."""
    config = TriggerConfig(num_permutations=399)
    counts: dict[str, int] = {}
    naive = families = 0
    for seed in range(NUM_SEEDS):
        clips = recordings(40, 40, seed=seed, clips_each=4)
        units = clips.units()
        codes = np.array([int(value) for value in clips.categories["weather"]])
        tests = {
            "weather": chi_square(codes, units),
            "duration_s": kolmogorov_smirnov(clips.numbers["duration_s"], units),
            "colour": energy(projected(clips.vectors["colour"]), units),
        }
        sides = unit_sides(units, clips.is_new)
        found = permutation_p_values(list(tests.values()), sides, config.num_permutations, seed)
        for name, p in zip(tests, found, strict=True):
            counts[name] = counts.get(name, 0) + int(p <= LEVEL)
        families += min(holm([float(p) for p in found])) <= LEVEL
        table = np.array([np.bincount(codes[clips.is_new == side], minlength=3) for side in (False, True)])
        naive += stats.chi2_contingency(table).pvalue <= LEVEL
    few, many = (int(stats.binom.ppf(q, NUM_SEEDS, LEVEL)) for q in (0.005, 0.995))
    assert all(few <= count <= many for count in counts.values()), counts
    assert families <= many
    assert naive > 5 * many / 2, "the textbook test of independent clips, which this is not"


def test_classifiers_raise_no_false_alarm() -> None:
    for seed in range(8):
        found = rows_of(measure(recordings(60, 60, seed=seed, clips_each=2), CONFIG))
        assert found["colour", "classifier"].verdict == "no_drift"

import numpy as np
import pytest

from hazardline.evaluate.ceiling import ProbeAnswer, measure_ceiling
from hazardline.evaluate.config import CeilingConfig
from hazardline.evaluate.features import StoredClip
from tests.evaluate.clips import clip

TIMES_S = tuple(index / 5 for index in range(20))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Features in which a crash shows as a raised channel for as long as it lasts; negatives are noise."""
    folder, rng = tmp_path_factory.mktemp("features"), np.random.default_rng(0)
    parts, features = [], {}
    for part, count in (("t", 40), ("v", 16), ("e", 24)):
        clips = []
        for number in range(count):
            label = ("crash", "near_miss", "crash", "normal")[number % 4]
            start = float(rng.integers(2, 9)) / 5
            item = clip(f"{part}{number}", label)
            values = rng.normal(0, 1, (20, 2, 8))
            if label == "crash":
                item = clip(f"{part}{number}", crash_localization=f"{start:.1f} - {start + 1.0:.1f} seconds")
                inside = [index for index, time_s in enumerate(TIMES_S) if start <= time_s < start + 1.0]
                values[inside, :, 3] += 6.0
            path = folder / f"{item.clip_id}.npy"
            np.save(path, values.astype(np.float16))
            features[item.clip_id] = StoredClip(path, TIMES_S)
            clips.append(item)
        parts.append(clips)
    return *parts, features


CONFIG = CeilingConfig(epochs=10, hidden_size=16, learning_rate=1e-2, batch_size=8)


def test_the_probe_finds_what_the_features_hold_and_repeats_itself(world):
    found = measure_ceiling(*world, CONFIG, 100, 0)
    assert set(found) == {"near_miss_auc", "normal_auc", "recognition_macro_f1", "crash_miou"}
    assert found["near_miss_auc"].value > 0.95 and found["recognition_macro_f1"].value > 0.9
    assert found["crash_miou"].value > 0.6 and found["crash_miou"].n == 12
    assert measure_ceiling(*world, CONFIG, 100, 0) == found


def test_an_interval_is_the_longest_run_and_ends_after_its_last_frame():
    answer = ProbeAnswer(0.0, np.array([0.1, 0.9, 0.1, 0.8, 0.7, 0.6, 0.1]), TIMES_S[:7])
    assert answer.interval(0.5) == pytest.approx((0.6, 1.2))
    assert answer.interval(0.95) == pytest.approx((0.2, 0.4))

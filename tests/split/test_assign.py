import random
import re
from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hazardline.errors import UserError
from hazardline.split.assign import SPLITS, assign
from hazardline.split.config import SplitConfig
from hazardline.split.groups import group
from hazardline.split.guard import check_assignment
from tests.split.tables import scene, simulated


def test_shares_hold_over_all_and_in_every_stratum() -> None:
    scenes, _ = simulated(360, 180)
    groups = group(scenes, [])
    splits = assign(scenes, groups, SplitConfig())
    for label, scenario in {(s["label"], s["scenario"]) for s in scenes}:
        rows = [s for s in scenes if (s["label"], s["scenario"]) == (label, scenario)]
        counts = Counter(splits[groups[s["clip_id"]]] for s in rows)
        for split, share in zip(SPLITS, (0.55, 0.1, 0.35), strict=True):
            assert abs(counts[split] / len(rows) - share) < 0.03, (label, scenario, counts)


def test_the_pocket_recipe_gets_its_test_clips() -> None:
    scenes, _ = simulated(360, 180)
    groups = group(scenes, [])
    config = SplitConfig(train_share=0.6, validation_share=0.1, test_share=0.3, min_test_clips=301)
    splits = assign(scenes, groups, config)
    counts = Counter(splits[groups[s["clip_id"]]] for s in scenes)
    assert 301 <= counts["test"] <= 315 and 80 <= counts["validation"] <= 100


def test_strata_of_single_groups_still_fill_every_split() -> None:
    scenes = [scene(f"c{k:02}", scenario=f"only {k}") for k in range(20)]
    counts = Counter(assign(scenes, group(scenes, []), SplitConfig()).values())
    assert counts == {"train": 11, "validation": 2, "test": 7}


def test_the_salt_changes_the_split_and_nothing_else_does() -> None:
    scenes, _ = simulated(60, 30)
    groups = group(scenes, [])
    first = assign(scenes, groups, SplitConfig())
    assert assign(scenes, groups, SplitConfig()) == first
    moved = [{**s, "video_uri": "/elsewhere", "sha256": "0", "duration_s": 1.0} for s in scenes]
    assert assign(moved, groups, SplitConfig()) == first
    assert assign(scenes, groups, SplitConfig(salt="another")) != first


def test_a_large_recording_does_not_tip_the_balance() -> None:
    scenes = [scene(f"r{k:02}", recording_id="long") for k in range(40)]
    scenes += [scene(f"c{k:02}") for k in range(60)]
    groups = group(scenes, [])
    splits = assign(scenes, groups, SplitConfig())
    counts = Counter(splits[groups[s["clip_id"]]] for s in scenes)
    assert counts["train"] == 55 and counts["validation"] == 10 and counts["test"] == 35


def test_too_few_groups_and_too_many_test_clips() -> None:
    scenes = [scene(f"c{k}", recording_id="one") for k in range(9)]
    with pytest.raises(UserError, match="no group left for validation, test: 9 clips make 1 groups"):
        assign(scenes, group(scenes, []), SplitConfig())
    scenes, _ = simulated(20, 10)
    with pytest.raises(UserError, match="45 test clips"):
        assign(scenes, group(scenes, []), SplitConfig(min_test_clips=45))


_ROWS = st.lists(
    st.tuples(
        st.sampled_from(["crash", "near_miss", "normal"]),
        st.sampled_from(["rear_end", "cut_in"]),
        st.none() | st.integers(0, 15).map(str),
        st.none() | st.integers(0, 5).map(str),
    ),
    min_size=25,
    max_size=80,
)


@settings(deadline=None, max_examples=60)
@given(_ROWS, st.text(min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_no_group_is_torn_and_order_does_not_matter(
    rows: list[tuple[str, str, str | None, str | None]], salt: str, rng: random.Random
) -> None:
    scenes = [
        scene(f"c{k:03}", label, scenario=scenario, pair_id=pair, recording_id=record)
        for k, (label, scenario, pair, record) in enumerate(rows)
    ]
    groups = group(scenes, [])
    assume(len(set(groups.values())) >= 12)
    config = SplitConfig(salt=salt)
    shuffled = list(scenes)
    rng.shuffle(shuffled)
    try:
        splits = assign(scenes, groups, config)
    except UserError as refused:  # a group that holds nearly all clips leaves none for a split, in whatever order
        with pytest.raises(UserError, match=re.escape(str(refused))):
            assign(shuffled, groups, config)
        return
    assert assign(shuffled, groups, config) == splits
    assert set(splits) == set(groups.values())
    assignment = [{"clip_id": c, "group_id": g, "split": splits[g]} for c, g in groups.items()]
    check_assignment(shuffled, assignment, [])

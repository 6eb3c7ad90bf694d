import hashlib
import json
import random
import re
from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hazardline.errors import UserError
from hazardline.split.assign import SPLITS
from hazardline.split.config import SplitConfig
from hazardline.split.groups import Neighbours
from tests.split.tables import assigned, grouped, scene, simulated


def test_shares_hold_over_all_and_in_every_stratum() -> None:
    scenes, _ = simulated(360, 180)
    splits = assigned(scenes, SplitConfig())
    for label, scenario in {(s["label"], s["scenario"]) for s in scenes}:
        rows = [s for s in scenes if (s["label"], s["scenario"]) == (label, scenario)]
        counts = Counter(splits[s["clip_id"]] for s in rows)
        for split, share in zip(SPLITS, (0.55, 0.1, 0.35), strict=True):
            assert abs(counts[split] / len(rows) - share) < 0.03, (label, scenario, counts)


def test_the_pocket_recipe_gets_its_test_clips() -> None:
    scenes, _ = simulated(360, 180)
    config = SplitConfig(train_share=0.6, validation_share=0.1, test_share=0.3, min_test_clips=301)
    splits = assigned(scenes, config)
    counts = Counter(splits[s["clip_id"]] for s in scenes)
    assert 301 <= counts["test"] <= 315 and 80 <= counts["validation"] <= 100


def test_strata_of_single_groups_still_fill_every_split() -> None:
    scenes = [scene(f"c{k:02}", scenario=f"only {k}") for k in range(20)]
    counts = Counter(assigned(scenes, SplitConfig()).values())
    assert counts == {"train": 11, "validation": 2, "test": 7}


def test_the_salt_changes_the_split_and_nothing_else_does() -> None:
    scenes, _ = simulated(60, 30)
    first = assigned(scenes, SplitConfig())
    assert assigned(scenes, SplitConfig()) == first
    moved = [{**s, "video_uri": "/elsewhere", "sha256": s["sha256"][::-1], "duration_s": 1.0} for s in scenes]
    assert assigned(moved, SplitConfig()) == first
    assert assigned(scenes, SplitConfig(salt="another")) != first


def test_a_large_recording_does_not_tip_the_balance() -> None:
    scenes = [scene(f"r{k:02}", recording_id="long") for k in range(40)]
    scenes += [scene(f"c{k:02}") for k in range(60)]
    splits = assigned(scenes, SplitConfig())
    counts = Counter(splits[s["clip_id"]] for s in scenes)
    assert counts["train"] == 55 and counts["validation"] == 10 and counts["test"] == 35


def test_too_few_groups_and_too_many_test_clips() -> None:
    scenes = [scene(f"c{k}", recording_id="one") for k in range(9)]
    with pytest.raises(UserError, match="no group left for validation, test: 9 clips make 1 groups"):
        assigned(scenes, SplitConfig())
    scenes, _ = simulated(20, 10)
    with pytest.raises(UserError, match="45 test clips"):
        assigned(scenes, SplitConfig(min_test_clips=45))


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
    groups = grouped(scenes)
    assume(len(set(groups.values())) >= 12)
    config = SplitConfig(salt=salt)
    shuffled = list(scenes)
    rng.shuffle(shuffled)
    try:
        splits = assigned(scenes, config)
    except UserError as refused:  # a group that holds nearly all clips leaves none for a split, in whatever order
        with pytest.raises(UserError, match=re.escape(str(refused))):
            assigned(shuffled, config)
        return
    assert assigned(shuffled, config) == splits
    for name in set(groups.values()):
        assert len({splits[clip_id] for clip_id, its in groups.items() if its == name}) == 1


@pytest.mark.parametrize(
    ("which", "digest"),
    [
        ("small", "a5454079c5761b4f5f80f85d717573f47598ff755bd99e47ff499e02d91b6f59"),
        ("pocket", "c6c38b382e60eba1dc20834a46b2624eb05a1a56d95468248721a884adff3709"),
        ("chains", "d41d8517d4c83380fd2a2d32fb9cffbf69785f5c38a85c47ccbcf8417066bb85"),
    ],
)
def test_the_split_is_the_one_it_always_was(which: str, digest: str) -> None:
    config, neighbours = SplitConfig(), list[Neighbours]()
    if which == "small":
        scenes, _ = simulated(60, 30)
    elif which == "pocket":
        scenes, _ = simulated(360, 180)
        config = SplitConfig(train_share=0.6, validation_share=0.1, test_share=0.3, min_test_clips=301)
    else:
        labels, config, neighbours = (
            ("crash", "near_miss", "normal"),
            SplitConfig(salt="x"),
            [Neighbours("c001", "c090", 1.0)],
        )
        scenes = [
            scene(
                f"c{k:03}",
                labels[k % 3],
                scenario=("a", "b")[k % 2],
                pair_id=str(k // 4) if k % 5 else None,
                recording_id=str(k % 17) if k % 7 == 0 else None,
            )
            for k in range(150)
        ]
    groups, splits = grouped(scenes, neighbours), assigned(scenes, config, neighbours)
    rows = sorted([clip_id, groups[clip_id], splits[clip_id]] for clip_id in splits)
    assert hashlib.sha256(json.dumps(rows).encode()).hexdigest() == digest


def test_the_published_split_is_kept_and_filled_up() -> None:
    scenes = [scene(f"a{k:02}", published_split="train" if k < 30 else "test") for k in range(40)]
    scenes += [scene(f"b{k:02}") for k in range(20)]
    splits = assigned(scenes, SplitConfig(use_published=True))
    assert {splits[f"a{k:02}"] for k in range(30, 40)} == {"test"}
    cut = Counter(splits[f"a{k:02}"] for k in range(30))
    assert cut["test"] == 0 and 3 <= cut["validation"] <= 7  # 0.1 / 0.65 of thirty
    assert Counter(splits[f"b{k:02}"] for k in range(20)) == {"train": 11, "validation": 2, "test": 7}


def test_a_published_validation_is_the_test_where_there_is_no_other() -> None:
    scenes = [scene(f"a{k:02}", published_split="train" if k < 30 else "validation") for k in range(40)]
    splits = assigned(scenes, SplitConfig(use_published=True))
    assert {splits[f"a{k:02}"] for k in range(30, 40)} == {"test"}
    assert set(splits.values()) == set(SPLITS)
    with pytest.raises(UserError, match="the published split has 10 test clips, min_test_clips asks for 11"):
        assigned(scenes, SplitConfig(use_published=True, min_test_clips=11))


def test_a_torn_group_goes_where_most_of_it_is() -> None:
    scenes = [scene(f"a{k:02}", published_split=("train", "validation", "test")[k % 3]) for k in range(30)]
    for k, split in enumerate(("test", "test", "train")):
        scenes.append(scene(f"r{k}", recording_id="r", published_split=split))
    splits = assigned(scenes, SplitConfig(use_published=True))
    assert {splits[f"r{k}"] for k in range(3)} == {"test"}


def test_a_published_split_that_is_kept_exactly_moves_no_clip() -> None:
    scenes = [scene(f"a{k:02}", published_split=("train", "validation", "test")[k % 3]) for k in range(30)]
    for k, split in enumerate(("test", "test", "train")):
        scenes.append(scene(f"r{k}", recording_id="r", published_split=split))
    scenes += [scene("r3", recording_id="r"), *(scene(f"b{k:02}", pair_id=str(k // 2)) for k in range(20))]
    copies = [Neighbours("a00", "a01", 0.1)]  # train and validation
    splits = assigned(scenes, SplitConfig(use_published="exactly"), copies)
    published = {row["clip_id"]: row["published_split"] for row in scenes if row["published_split"] is not None}
    assert {clip_id: splits[clip_id] for clip_id in published} == published
    assert splits["r3"] == "test"  # where most of its group is
    assert all(splits[f"b{k:02}"] == splits[f"b{k + 1:02}"] for k in range(0, 20, 2))
    assert {splits[f"b{k:02}"] for k in range(20)} == set(SPLITS)


def test_what_is_kept_exactly_must_be_whole() -> None:
    exactly = SplitConfig(use_published="exactly", min_test_clips=2)
    clips = [scene(f"a{k}", published_split=("train", "validation", "test")[k % 3]) for k in range(6)]
    assert Counter(assigned(clips, exactly).values()) == {"train": 2, "validation": 2, "test": 2}
    with pytest.raises(UserError, match="no clip has a published split to keep exactly"):
        assigned([scene(f"a{k}") for k in range(9)], exactly)
    with pytest.raises(UserError, match="has no test, so it cannot be kept exactly; use_published: true makes"):
        assigned([row for row in clips if row["published_split"] != "test"], exactly)
    with pytest.raises(UserError, match="has no train, no test, so"):
        assigned([row for row in clips if row["published_split"] == "validation"], exactly)
    with pytest.raises(UserError, match="the published split has 2 test clips, min_test_clips asks for 3"):
        assigned(clips, SplitConfig(use_published="exactly", min_test_clips=3))

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hazardline.split import groups as groups_module
from hazardline.split.groups import Neighbours, near_duplicates
from tests.split.tables import flip_bits, grouped, scene


def test_pairs_recordings_and_neighbours_are_joined_through_chains() -> None:
    scenes = [
        scene("a", pair_id="p"),
        scene("b", pair_id="p", recording_id="r"),
        scene("c", recording_id="r"),
        scene("d"),
        scene("e"),
        scene("f"),
    ]
    assert grouped(scenes, [Neighbours("c", "d", 1.0)]) == {"a": "a", "b": "a", "c": "a", "d": "a", "e": "e", "f": "f"}


def test_ids_of_different_sources_do_not_meet() -> None:
    scenes = [scene("a", pair_id="1", source="x"), scene("b", pair_id="1", source="y"), scene("c", recording_id="1")]
    assert grouped(scenes) == {"a": "a", "b": "b", "c": "c"}


def test_channels_and_places_hold_across_sources_and_places_only_on_request() -> None:
    scenes = [
        scene("a", channel_id="UC1", source="x"),
        scene("b", channel_id="UC1", source="y", location="Boston"),
        scene("c", location="Boston"),
    ]
    assert grouped(scenes) == {"a": "a", "b": "a", "c": "c"}
    assert set(grouped(scenes, by=("location", "channel")).values()) == {"a"}
    assert grouped(scenes, by=()) == {"a": "a", "b": "b", "c": "c"}


def test_a_recording_with_a_namespace_is_one_in_all_sources() -> None:
    scenes = [
        scene("a", recording_id="youtube:x1", source="ccd"),
        scene("b", recording_id="youtube:x1", source="dota"),
        scene("c", recording_id="x1", source="ccd"),
    ]
    assert grouped(scenes) == {"a": "a", "b": "a", "c": "c"}


def test_long_chains_become_one_group() -> None:
    rng = random.Random(3)
    names = list(range(500))
    rng.shuffle(names)
    scenes = [scene(f"c{names[k]:03}", pair_id=str(k // 2), recording_id=str((k + 1) // 2)) for k in range(500)]
    assert set(grouped(scenes).values()) == {"c000"}


def test_near_duplicates_agree_in_every_frame() -> None:
    first = scene("a")
    hashes = first["perceptual_hashes"]
    same = scene("b", perceptual_hashes=list(hashes))
    close = scene("c", perceptual_hashes=flip_bits(hashes, 6))
    far = scene("d", perceptual_hashes=flip_bits(hashes, 7))
    one_frame = scene("e", perceptual_hashes=[*hashes[:4], flip_bits(hashes, 20)[4]])
    found = near_duplicates([close, far, first, same, one_frame], 6.0)
    assert Neighbours("a", "b", 0.0) in found and Neighbours("a", "c", 6.0) in found
    pairs = {(pair.first, pair.second) for pair in found}
    assert ("a", "d") not in pairs and ("a", "e") not in pairs


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    base = scene("base")["perceptual_hashes"]
    scenes = [scene(f"c{k:02}", perceptual_hashes=flip_bits(base, k % 9)) for k in range(40)]
    whole = near_duplicates(scenes, 3.0)
    monkeypatch.setattr(groups_module, "_BLOCK_ROWS", 7)
    assert near_duplicates(scenes, 3.0) == whole and len(whole) > 100


def test_nothing_gives_nothing() -> None:
    assert near_duplicates([], 6.0) == [] and grouped([]) == {}


_SCENES = st.lists(
    st.tuples(st.sampled_from([None, "p1", "p2", "p3"]), st.sampled_from([None, "r1", "r2"])), min_size=1, max_size=25
)


@given(_SCENES, st.randoms(use_true_random=False))
def test_groups_do_not_depend_on_order_and_hold_together(
    ids: list[tuple[str | None, str | None]], rng: random.Random
) -> None:
    scenes = [scene(f"c{k}", pair_id=pair, recording_id=record) for k, (pair, record) in enumerate(ids)]
    result = grouped(scenes)
    shuffled = list(scenes)
    rng.shuffle(shuffled)
    assert grouped(shuffled) == result
    for column in ("pair_id", "recording_id"):
        for value in {row[column] for row in scenes} - {None}:
            assert len({result[row["clip_id"]] for row in scenes if row[column] == value}) == 1
    for name in set(result.values()):
        assert name == min(clip_id for clip_id, g in result.items() if g == name)

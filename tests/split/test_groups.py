import random

from hypothesis import given
from hypothesis import strategies as st

from hazardline.split.groups import Neighbours
from tests.split.tables import grouped, scene


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


def test_nothing_gives_nothing() -> None:
    assert grouped([]) == {}


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

import random

from hypothesis import given
from hypothesis import strategies as st

from hazardline.split.groups import Neighbours, group
from tests.split.tables import scene


def test_pairs_recordings_and_neighbours_are_joined_through_chains() -> None:
    scenes = [
        scene("a", pair_id="p"),
        scene("b", pair_id="p", recording_id="r"),
        scene("c", recording_id="r"),
        scene("d"),
        scene("e"),
        scene("f"),
    ]
    assert group(scenes, [Neighbours("c", "d", 1.0)]) == {"a": "a", "b": "a", "c": "a", "d": "a", "e": "e", "f": "f"}


def test_ids_of_different_sources_do_not_meet() -> None:
    scenes = [scene("a", pair_id="1", source="x"), scene("b", pair_id="1", source="y"), scene("c", recording_id="1")]
    assert group(scenes, []) == {"a": "a", "b": "b", "c": "c"}


def test_nothing_gives_nothing() -> None:
    assert group([], []) == {}


_SCENES = st.lists(
    st.tuples(st.sampled_from([None, "p1", "p2", "p3"]), st.sampled_from([None, "r1", "r2"])), min_size=1, max_size=25
)


@given(_SCENES, st.randoms(use_true_random=False))
def test_groups_do_not_depend_on_order_and_hold_together(
    ids: list[tuple[str | None, str | None]], rng: random.Random
) -> None:
    scenes = [scene(f"c{k}", pair_id=pair, recording_id=record) for k, (pair, record) in enumerate(ids)]
    result = group(scenes, [])
    shuffled = list(scenes)
    rng.shuffle(shuffled)
    assert group(shuffled, []) == result
    for column in ("pair_id", "recording_id"):
        for value in {row[column] for row in scenes} - {None}:
            assert len({result[row["clip_id"]] for row in scenes if row[column] == value}) == 1
    for name in set(result.values()):
        assert name == min(clip_id for clip_id, g in result.items() if g == name)

from typing import Any

import numpy as np
import pytest

from hazardline.errors import UserError
from hazardline.split.columns import Clips
from hazardline.split.groups import Neighbours
from hazardline.split.guard import check_assignment
from tests.split.tables import assignment, scene


def _row(clip_id: str, split: str, group_id: str | None = None) -> dict[str, Any]:
    return {"clip_id": clip_id, "group_id": group_id or clip_id, "split": split}


def test_an_honest_assignment_passes() -> None:
    scenes = [scene("a", pair_id="p"), scene("b", pair_id="p"), scene("c")]
    rows = [_row("a", "test", "a"), _row("b", "test", "a"), _row("c", "train")]
    found = check_assignment(Clips.of_rows(scenes), assignment(rows), [Neighbours("a", "b", 0.0)])
    assert found is None  # all that it can do else is to raise


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"pair_id": "p"}, "pair_id 'native: p' stands in test and train: clips a, b"),
        ({"recording_id": "r"}, "recording_id 'native: r' stands in test and train"),
        ({"channel_id": "c"}, "channel_id 'native: c' stands in test and train"),
        ({"sha256": "same"}, "sha256 'same' stands in test and train"),
    ],
)
def test_what_belongs_together_must_not_be_torn(more: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match="the assignment leaks") as caught:
        scenes, rows = [scene("a", **more), scene("b", **more)], [_row("a", "train"), _row("b", "test")]
        check_assignment(Clips.of_rows(scenes), assignment(rows), [])
    assert message in str(caught.value)


def test_groups_and_neighbours_must_not_be_torn() -> None:
    clips = Clips.of_rows([scene("a"), scene("b")])
    with pytest.raises(UserError, match="group_id 'g' stands in test and train"):
        check_assignment(clips, assignment([_row("a", "train", "g"), _row("b", "test", "g")]), [])
    with pytest.raises(UserError, match=r"near-duplicates 'a' \(train\) and 'b' \(test\), 24% of the bits apart"):
        check_assignment(clips, assignment([_row("a", "train"), _row("b", "test")]), [Neighbours("a", "b", 0.24)])


def test_every_clip_has_one_known_split() -> None:
    rows = [_row("a", "train"), _row("a", "test"), _row("b", "holdout"), _row("x", "train")]
    with pytest.raises(UserError) as caught:
        check_assignment(Clips.of_rows([scene("a"), scene("b"), scene("c")]), assignment(rows), [])
    for part in ("'a' is assigned twice", "'holdout'", "'c' is not assigned", "'x' is assigned but no scene"):
        assert part in str(caught.value)


def test_a_long_list_is_cut() -> None:
    scenes = [scene(f"{side}{k:02}", pair_id=str(k)) for k in range(30) for side in "ab"]
    rows = [_row(s["clip_id"], "train" if s["clip_id"][0] == "a" else "test") for s in scenes]
    with pytest.raises(UserError, match="30 faults") as caught:
        check_assignment(Clips.of_rows(scenes), assignment(rows), [])
    assert str(caught.value).endswith("... and 20 more")


def test_the_guard_looks_at_the_keys_that_were_asked_for() -> None:
    clips = Clips.of_rows([scene("a", location="Boston"), scene("b", location="Boston", source="other")])
    rows = assignment([_row("a", "train"), _row("b", "test")])
    check_assignment(clips, rows, [])
    with pytest.raises(UserError, match="location 'native: Boston' stands in test and train: clips a, b"):
        check_assignment(clips, rows, [], ("location",))


def test_only_what_may_be_torn_passes() -> None:
    more = {"recording_id": "r", "sha256": "same"}
    scenes = [scene("a", **more), scene("b", **more), scene("c", pair_id="p"), scene("d", pair_id="p")]
    rows = [_row("a", "train", "g"), _row("b", "test", "g"), _row("c", "train", "c"), _row("d", "train", "c")]
    clips, may_be_torn, copies = Clips.of_rows(scenes), np.array([True, True, False, False]), [Neighbours("a", "b", 0)]
    assert check_assignment(clips, assignment(rows), copies, may_be_torn=may_be_torn) is None
    with pytest.raises(UserError, match=r"leaks \(4 faults\)"):
        check_assignment(clips, assignment(rows), copies)
    rows[3] = _row("d", "test", "c")
    with pytest.raises(UserError, match=r"leaks \(2 faults\)"):
        check_assignment(clips, assignment(rows), copies, may_be_torn=may_be_torn)
    with pytest.raises(UserError, match="near-duplicates 'c'"):
        check_assignment(clips, assignment(rows), [Neighbours("c", "d", 0)], (), may_be_torn)

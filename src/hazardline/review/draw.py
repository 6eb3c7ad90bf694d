"""A stratified sample of clips: strata are label x task x source, every one is met, and a seed gives the same clips.

A clip comes with all of its pairs, since it is watched once. So seats are given to the combinations of label and source
in proportion to their clips, and within one the first clips are those that meet its tasks. One pass, in which only the
clips that may still be drawn are held.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hazardline.errors import UserError
from hazardline.review.sample_document import Stratum
from hazardline.tasks import ALL_TASKS, Task

Cell = tuple[str, str]
"""Label and source."""
_Ranked = tuple[bytes, str, tuple[Task, ...]]
"""A clip's place in a random order, its id, and the tasks of its pairs."""


@dataclass(frozen=True)
class Candidate:
    """A clip that may be drawn, with the task of each of its pairs."""

    clip_id: str
    label: str
    source: str
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Drawn:
    """Ids of the clips in their order, and the pairs of every stratum, in all and drawn."""

    clip_ids: tuple[str, ...]
    strata: tuple[Stratum, ...]


def draw(clips: Iterable[Candidate], size: int, seed: int) -> Drawn:
    """Draw clips.

    Args:
        clips: at least one.
        size: how many; all where there are no more.
        seed: the same seed draws the same clips, in whatever order they are given.

    Raises:
        UserError: there is nothing to draw from, or the size cannot meet every stratum.
    """
    cells: dict[Cell, _Members] = defaultdict(lambda: _Members(size))
    for clip in clips:
        place = hashlib.sha256(f"{seed}\0{clip.clip_id}".encode()).digest()
        cells[clip.label, clip.source].add((place, clip.clip_id, clip.tasks))
    if not cells:
        raise UserError("review sample: no clip can be drawn; give folders of a run that has question-answer pairs")
    needed = {cell: len(members.covering()) for cell, members in sorted(cells.items())}
    if size < sum(needed.values()):
        raise UserError(
            f"review sample: --size {size} cannot hold a clip of every stratum (label x task x source); it needs at "
            f"least {sum(needed.values())}"
        )
    seats = _seats(needed, {cell: members.num_clips for cell, members in cells.items()}, size)
    chosen = {cell: members.first(seats[cell]) for cell, members in cells.items()}
    return Drawn(
        clip_ids=tuple(sorted(clip_id for found in chosen.values() for _, clip_id, _ in found)),
        strata=_strata(cells, chosen),
    )


class _Members:
    """The clips of one cell: their number, and those that a sample of `size` clips can hold."""

    def __init__(self, size: int) -> None:
        self.num_clips = 0
        self.num_pairs: Counter[Task] = Counter()
        self._size = size
        self._front: list[_Ranked] = []
        """Holds the `size` first clips of the random order; cut to them whenever it is twice as long."""
        self._holders: dict[Task, _Ranked] = {}
        """The first clip of each task."""

    def add(self, clip: _Ranked) -> None:
        self.num_clips += 1
        self.num_pairs.update(clip[2])
        for task in clip[2]:
            self._holders[task] = min(self._holders.get(task, clip), clip)
        self._front.append(clip)
        if len(self._front) >= 2 * self._size:
            self._front = sorted(self._front)[: self._size]

    def covering(self) -> list[_Ranked]:
        """The clips that meet all tasks, rare tasks first."""
        found: list[_Ranked] = []
        for task in sorted(self.num_pairs, key=lambda task: (self.num_pairs[task], task)):
            if not any(task in tasks for _, _, tasks in found):
                found.append(self._holders[task])
        return found

    def first(self, num: int) -> list[_Ranked]:
        """The clips that take this cell's seats, at most `size`: those that meet all tasks, then in random order."""
        covering = self.covering()
        return [*covering, *(clip for clip in sorted(self._front) if clip not in covering)][:num]


def _strata(cells: Mapping[Cell, _Members], chosen: Mapping[Cell, list[_Ranked]]) -> tuple[Stratum, ...]:
    found = []
    for (label, source), members in cells.items():
        drawn = Counter(task for _, _, tasks in chosen[label, source] for task in tasks)
        for task, num in members.num_pairs.items():
            found.append(Stratum(label=label, task=task, source=source, num_pairs=num, num_drawn=drawn[task]))
    return tuple(sorted(found, key=lambda item: (item.label, ALL_TASKS.index(item.task), item.source)))


def _seats(needed: Mapping[Cell, int], sizes: Mapping[Cell, int], size: int) -> dict[Cell, int]:
    """Seats of each cell: what it needs, and the rest to whoever is furthest below its proportional share."""
    total = sum(sizes.values())
    seats = dict(needed)
    for _ in range(min(size, total) - sum(seats.values())):
        open_cells = [cell for cell in sorted(sizes) if seats[cell] < sizes[cell]]
        best = max(open_cells, key=lambda cell: size * sizes[cell] / total - seats[cell])
        seats[best] += 1
    return seats

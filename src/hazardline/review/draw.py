"""A stratified sample of clips: strata are label x task x source, every one is met, and a seed gives the same clips.

A clip comes with all of its pairs, since it is watched once. So seats are given to the combinations of label and source
in proportion to their clips, and within one the first clips are those that meet its tasks.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from hazardline.errors import UserError
from hazardline.review.sample_document import ReviewClip, Stratum
from hazardline.tasks import ALL_TASKS

Cell = tuple[str, str]
"""Label and source."""


def draw(clips: Sequence[ReviewClip], size: int, seed: int) -> list[ReviewClip]:
    """Draw clips, in the order of `clip_id`.

    Args:
        clips: at least one.
        size: how many; all where there are no more.
        seed: the same seed draws the same clips, in whatever order they are given.

    Raises:
        UserError: there is nothing to draw from, or the size cannot meet every stratum.
    """
    if not clips:
        raise UserError("review sample: no clip can be drawn; give folders of a run that has question-answer pairs")
    cells: dict[Cell, list[ReviewClip]] = defaultdict(list)
    for clip in clips:
        cells[clip.label, clip.source].append(clip)
    ranked = {cell: _covering_first(members, seed) for cell, members in sorted(cells.items())}
    needed = {cell: num for cell, (_, num) in ranked.items()}
    if size < sum(needed.values()):
        raise UserError(
            f"review sample: --size {size} cannot hold a clip of every stratum (label x task x source); it needs at "
            f"least {sum(needed.values())}"
        )
    seats = _seats(needed, {cell: len(members) for cell, members in cells.items()}, size)
    chosen = [clip for cell, (order, _) in ranked.items() for clip in order[: seats[cell]]]
    return sorted(chosen, key=lambda clip: clip.clip_id)


def strata_of(clips: Sequence[ReviewClip], chosen: Sequence[ReviewClip]) -> tuple[Stratum, ...]:
    """Pairs of every stratum, in all and drawn."""
    counts = [
        Counter((clip.label, ALL_TASKS.index(pair.task), clip.source) for clip in part for pair in clip.pairs)
        for part in (clips, chosen)
    ]
    return tuple(
        Stratum(
            label=label,
            task=ALL_TASKS[task],
            source=source,
            num_pairs=num,
            num_drawn=counts[1][label, task, source],
        )
        for (label, task, source), num in sorted(counts[0].items())
    )


def _covering_first(clips: Sequence[ReviewClip], seed: int) -> tuple[list[ReviewClip], int]:
    """Clips of one cell in a random order, but first those that meet all its tasks (rare tasks first); their number."""
    order = sorted(clips, key=lambda clip: (hashlib.sha256(f"{seed}\0{clip.clip_id}".encode()).digest(), clip.clip_id))
    holders: dict[str, list[ReviewClip]] = defaultdict(list)
    for clip in order:
        for pair in clip.pairs:
            holders[pair.task].append(clip)
    first: list[ReviewClip] = []
    met: set[str] = set()
    for task in sorted(holders, key=lambda task: (len(holders[task]), task)):
        if task not in met:
            first.append(holders[task][0])
            met |= {pair.task for pair in holders[task][0].pairs}
    taken = {clip.clip_id for clip in first}
    return [*first, *(clip for clip in order if clip.clip_id not in taken)], len(first)


def _seats(needed: Mapping[Cell, int], sizes: Mapping[Cell, int], size: int) -> dict[Cell, int]:
    """Seats of each cell: what it needs, and the rest to whoever is furthest below its proportional share."""
    total = sum(sizes.values())
    seats = dict(needed)
    for _ in range(min(size, total) - sum(seats.values())):
        open_cells = [cell for cell in sorted(sizes) if seats[cell] < sizes[cell]]
        best = max(open_cells, key=lambda cell: size * sizes[cell] / total - seats[cell])
        seats[best] += 1
    return seats

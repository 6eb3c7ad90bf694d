"""The clips of ingest with their split: two sorted tables read side by side, in bounded memory."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from hazardline.by_clip import Part, by_clip
from hazardline.errors import UserError
from hazardline.synthesize.pair import Clip
from hazardline.synthesize.published import SPLITS
from hazardline.tables import ASSIGNMENT, SCENES, read_rows

_PARTS = (
    Part("ingest", SCENES, ("clip_id",), is_unique=True),
    Part("split", ASSIGNMENT, ("clip_id", "split"), is_unique=True),
)


def read_clips(inputs: Mapping[str, Path]) -> Iterator[Clip]:
    """Clips in the order of their ids; `check_clips` has found the two tables to name the same ones."""
    splits = read_rows(ASSIGNMENT, inputs["split"], ["split"])
    for scene, row in zip(read_rows(SCENES, inputs["ingest"]), splits, strict=True):
        yield Clip(scene, row["split"])


def check_clips(inputs: Mapping[str, Path]) -> dict[str, int]:
    """Number of clips by split, after a look at the ids alone: nothing is asked about clips that do not match.

    Raises:
        UserError: a table is not in the order of clip_id, the tables do not name the same clips, or a split is unknown.
    """
    scenes, assignment = inputs["ingest"] / SCENES.file_name, inputs["split"] / ASSIGNMENT.file_name
    clips: Counter[str] = Counter()
    num_odd, first_odd = 0, ""
    for clip_id, (scene, row) in by_clip(inputs, _PARTS):
        if scene and row:
            clips[row[0]["split"]] += 1
        else:
            num_odd += 1
            first_odd = first_odd or f"{clip_id}, in the {'scenes' if scene else 'assignment'} table"
    if num_odd:
        raise UserError(
            f"{assignment}: does not belong to {scenes}: {num_odd} clips stand in one of them only "
            f"(first: {first_odd}); run split again"
        )
    unknown = sorted(set(clips) - set(SPLITS))
    if unknown:
        raise UserError(f"{assignment}: unknown split {unknown[0]!r}; expected one of {', '.join(SPLITS)}")
    return {split: clips[split] for split in SPLITS}

"""The clips of ingest with their split: two sorted tables read side by side, in bounded memory."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from hazardline.errors import UserError
from hazardline.synthesize.pair import Clip
from hazardline.synthesize.published import SPLITS
from hazardline.tables import ASSIGNMENT, SCENES, Table, read_rows


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
    ids = _ids(SCENES, inputs["ingest"], "ingest")
    rows = _ids(ASSIGNMENT, inputs["split"], "split")
    clips: Counter[str] = Counter()
    num_odd, first_odd, scene, row = 0, "", next(ids, None), next(rows, None)
    while scene is not None or row is not None:
        if scene is not None and row is not None and scene[0] == row[0]:
            clips[row[1]] += 1
            scene, row = next(ids, None), next(rows, None)
            continue
        num_odd += 1
        is_scene = row is None or (scene is not None and scene[0] < row[0])
        if is_scene:
            first_odd = first_odd or f"{scene[0] if scene else ''}, in the scenes table"
            scene = next(ids, None)
        else:
            first_odd = first_odd or f"{row[0] if row else ''}, in the assignment table"
            row = next(rows, None)
    if num_odd:
        raise UserError(
            f"{assignment}: does not belong to {scenes}: {num_odd} clips stand in one of them only "
            f"(first: {first_odd}); run split again"
        )
    unknown = sorted(set(clips) - set(SPLITS))
    if unknown:
        raise UserError(f"{assignment}: unknown split {unknown[0]!r}; expected one of {', '.join(SPLITS)}")
    return {split: clips[split] for split in SPLITS}


def _ids(table: Table, folder: Path, stage: str) -> Iterator[tuple[str, str]]:
    columns = ["clip_id", "split"] if table is ASSIGNMENT else ["clip_id"]
    before: str | None = None
    for row in read_rows(table, folder, columns):
        clip_id = row["clip_id"]
        if before is not None and clip_id <= before:
            where = folder / table.file_name
            raise UserError(
                f"{where}: {clip_id} stands behind {before}; expected the order of clip_id, run {stage} again"
            )
        before = clip_id
        yield clip_id, row.get("split", "")

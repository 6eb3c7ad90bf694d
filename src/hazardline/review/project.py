"""A review as files: `sample.json` (ours), `config.xml` and `tasks.json` (Label Studio's)."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hazardline.errors import UserError
from hazardline.files import folder_in_making, write_atomic, write_json
from hazardline.mirror.clips import make_present
from hazardline.review.candidates import read_candidates
from hazardline.review.draw import draw, strata_of
from hazardline.review.labeling_config import labeling_config
from hazardline.review.labeling_tasks import labeling_tasks
from hazardline.review.media import MediaPlan, place_media
from hazardline.review.sample_document import CONFIG_NAME, SAMPLE_NAME, TASKS_NAME, LeftOut, ReviewClip, ReviewSample
from hazardline.tables import SCENES, read_rows


def write_project(
    inputs: Mapping[str, Path], out: Path, size: int, seed: int, plan: MediaPlan, is_prefilled: bool = True
) -> dict[str, Any]:
    """Draw a sample and write it as a Label Studio project in files.

    Args:
        inputs: folders of `ingest`, `split` and `synthesize`.
        out: folder to write; a new or an empty one.
        size: clips to draw.
        seed: the same seed draws the same clips.
        plan: how the tasks name their media.
        is_prefilled: the annotation goes along as predictions, so that the reviewer only corrects.

    Returns:
        A summary: clips drawn, strata, and clips that could not be drawn by reason.

    Raises:
        UserError: an input is wrong, or `out` holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: holds something already; give a new or an empty folder")
    found = read_candidates(inputs)
    chosen = draw(found.clips, size, seed)
    drawn = {clip.clip_id for clip in chosen}
    scenes = read_rows(SCENES, inputs["ingest"], ("clip_id", "video_uri", "sha256"))
    make_present((Path(row["video_uri"]), row["sha256"]) for row in scenes if row["clip_id"] in drawn)
    final = out.absolute()
    with folder_in_making(final) as making:
        clips = tuple(
            clip.model_copy(update={"media": place_media(clip.media, number, making, final, plan)})
            for number, clip in enumerate(chosen, start=1)
        )
        sample = ReviewSample(
            suite="crashchat" if found.suite.name == "crashchat" else "hazardnet",
            prompt_version=found.prompt_version,
            scenes_digest=found.scenes_digest,
            seed=seed,
            is_prefilled=is_prefilled,
            num_clips=found.num_clips,
            strata=strata_of(found.clips, chosen),
            left_out=tuple(found.left_out),
            clips=clips,
        )
        sample.write(making / SAMPLE_NAME)
        write_atomic(making / CONFIG_NAME, labeling_config(found.suite).encode())
        write_json(making / TASKS_NAME, labeling_tasks(sample))
        if final.exists():
            final.rmdir()
    return _summary(sample, chosen, found.left_out)


def _summary(sample: ReviewSample, chosen: list[ReviewClip], left_out: list[LeftOut]) -> dict[str, Any]:
    return {
        "sample": sample.sample_id(),
        "num_clips": len(chosen),
        "num_pairs": sum(len(clip.pairs) for clip in chosen),
        "num_strata": len(sample.strata),
        "clips_by_label": dict(sorted(Counter(clip.label for clip in chosen).items())),
        "left_out": dict(sorted(Counter(item.reason for item in left_out).items())),
    }


def read_project(folder: Path) -> ReviewSample:
    """The sample of a project.

    Raises:
        UserError: it is missing or wrong.
    """
    return ReviewSample.read(folder / SAMPLE_NAME)


def read_tasks(folder: Path) -> tuple[str, list[dict[str, Any]]]:
    """The labeling configuration and the tasks of a project, as they were written.

    Raises:
        UserError: a file is missing, or the tasks are not those of the sample.
    """
    sample = read_project(folder)
    try:
        config = (folder / CONFIG_NAME).read_text(encoding="utf-8")
        tasks = json.loads((folder / TASKS_NAME).read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder}: {CONFIG_NAME} and {TASKS_NAME} cannot be read ({error}); run review sample"
        ) from None
    if tasks != labeling_tasks(sample):
        raise UserError(f"{folder / TASKS_NAME}: is not what belongs to {SAMPLE_NAME}; run review sample again")
    return config, tasks

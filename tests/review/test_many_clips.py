"""A sample of a fleet, and its corrections, take the memory of a small data set: only portions of tables are held."""

import gc
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hazardline.review.apply import write_corrected
from hazardline.review.correct import Corrected
from hazardline.review.corrections import Correction
from hazardline.review.media import MediaPlan
from hazardline.review.project import read_project, write_project
from hazardline.review.sample_document import SAMPLE_NAME, LeftOut
from hazardline.review.tables import LEFT_OUT
from hazardline.tables import QA, RECORDS, SCENES, count_rows, read_rows, write_table
from tests.synthesize.scenes import scene, write_inputs

COUNTS = (4_200, 8_400)
"""Both more than a portion of rows, which is what is held."""
SIZE = 5


def test_many_clips_take_the_memory_of_few(tmp_path: Path) -> None:
    peaks: dict[str, list[int]] = {"sample": [], "apply": []}
    for count in COUNTS:
        folder = tmp_path / str(count)
        inputs = _run(folder, count)
        peaks["sample"].append(_peak(partial(write_project, inputs, folder / "project", SIZE, 0, MediaPlan())))
        sample = read_project(folder / "project")
        assert sample.left_out == (LeftOut(reason="no question-answer pair", num_clips=count // 2),)
        assert count_rows(LEFT_OUT, folder / "project") == count // 2
        change = Correction(
            clip_id=sample.clips[0].clip_id,
            field="cause",
            old=None,
            new="Ice on the road.",
            task="cause_reasoning",
            reviewers=("ann",),
            decided="single",
            sample=sample.sample_id(),
        )
        out, decided = folder / "applied", Corrected([change])
        peaks["apply"].append(_peak(partial(write_corrected, inputs["ingest"], sample, decided, out)))
        assert [row["clip_id"] for row in read_rows(SCENES, out) if row["cause"] is not None] == [change.clip_id]
    few, many = (tmp_path / str(count) / "project" / SAMPLE_NAME for count in COUNTS)
    assert many.stat().st_size < 1.1 * few.stat().st_size
    for small, large in peaks.values():
        assert large < 1.3 * small


def _run(root: Path, count: int) -> dict[str, Path]:
    """Tables of the three stages; every second clip has no pair. One file stands for all clips."""
    file = root / "clip.mp4"
    scenes = [scene(f"c{number:05}", "normal", video_uri=str(file)) for number in range(count)]
    inputs = write_inputs(root, scenes) | {"synthesize": root / "synthesize"}
    file.write_bytes(b"bytes of a clip")
    pairs = [
        {"clip_id": row["clip_id"], "task": task, "question": "What happens?", "answer": answer}
        for row in scenes[::2]
        for task, answer in (("crash_recognition", "No"), ("crash_description", "no collision."))
    ]
    write_table(RECORDS, inputs["ingest"], pairs)
    more = {"split": "train", "is_positive": False, "annotator": "published", "prompt_version": "crashchat-short@1"}
    rows = [{**pair, **more, "qa_id": f"{pair['clip_id']}/{pair['task']}"} for pair in pairs]
    write_table(QA, inputs["synthesize"], rows)
    return inputs


def _peak(act: Callable[[], object]) -> int:
    """Peak of Python's objects in bytes."""
    gc.collect()
    tracemalloc.start()
    act()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak

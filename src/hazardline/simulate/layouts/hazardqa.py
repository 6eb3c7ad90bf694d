"""HazardQA from simulated images, as the hub has it: Parquet files with the images inside, one set a split.

Questions, reasoning and answers are those that the deterministic annotator writes from exact truth, five an image.
Beside them lies DRAMA's annotation, of which `image_id` is the row: it says where there is a risk. All images of a
scene are in one split; of ten scenes seven are for training, as in the paper.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hazardline.files import write_json
from hazardline.hazardnet import TOPICS
from hazardline.native import NativeClip, StillTruth
from hazardline.simulate.layouts import drama
from hazardline.simulate.layouts.native_clips import video_of
from hazardline.synthesize.hazard_qa import questions_of
from hazardline.synthesize.hazard_templates import Seen

_FEATURES = {
    "image": {"_type": "Image"},
    "image_id": {"dtype": "int64", "_type": "Value"},
    **{
        column: {"dtype": "string", "_type": "Value"}
        for column in ("category_topic", "question", "chain_of_thought", "answer")
    },
}
_SCHEMA = pa.schema(
    [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("image_id", pa.int64()),
        ("category_topic", pa.string()),
        ("question", pa.string()),
        ("chain_of_thought", pa.string()),
        ("answer", pa.string()),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)
_SPLITS = ("train", "validation", "test")


def write(clips: Path, out: Path) -> None:
    """Lay out all images of a native folder; `out` exists and is empty.

    Raises:
        UserError: a clip is no simulated image.
    """
    (out / "data").mkdir(parents=True)
    writers = {split: pq.ParquetWriter(out / "data" / f"{split}-00000-of-00001.parquet", _SCHEMA) for split in _SPLITS}
    scenes: dict[str, int] = {}
    rows = []
    try:
        for image_id, (image, row) in enumerate(drama.annotated_images(clips)):
            scene = scenes.setdefault(image.recording_id or image.pair_id or image.clip_id, len(scenes))
            found = questions(image, image_id, video_of(clips, image))
            writers[split_of_scene(scene)].write_table(pa.Table.from_pylist(found, _SCHEMA))
            rows.append(row)
    finally:
        for writer in writers.values():
            writer.close()
    write_json(out / drama.FILE_NAME, rows)


def split_of_scene(number: int) -> str:
    """Of twenty scenes fourteen are for training, three for validation and three for testing."""
    return {1: "validation", 2: "test"}.get(number % 20 % 7, "train")


def questions(image: NativeClip, image_id: int, path: Path) -> list[dict[str, Any]]:
    """The rows of an image, at most five."""
    assert isinstance(image.still, StillTruth)
    asked, _ = questions_of(image.clip_id, Seen.of(image.still, image.weather, image.light))
    content = {"bytes": path.read_bytes(), "path": f"image_{image_id}{path.suffix.lower()}"}
    return [
        {
            "image": content,
            "image_id": image_id,
            "category_topic": TOPICS[item.task],
            "question": item.question,
            "chain_of_thought": item.reasoning,
            "answer": item.answer,
        }
        for item in asked
    ]

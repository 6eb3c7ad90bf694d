"""Reads HazardQA (arXiv 2502.20572): questions and answers with reasoning about DRAMA's images.

As the hub has it: `data/train-*.parquet`, `validation-*`, `test-*` with the images inside (struct of bytes and path);
or as csv files whose column `image` (or `file_name`) is a path beside the file. The other columns are `image_id`,
`category_topic`, `question`, `chain_of_thought` (`thinking` for the released script's own parser) and `answer`. Each
image is one clip of one frame with its questions, the answers in the form of `hazardline.hazardnet.format_reply`.

An image must stand in one split only. `image_id` is the number of the image's row in DRAMA's annotation: where that
file (`integrated_output_v2.json`) lies in the same folder, it says whether there is a risk, how the scene is
classified, and which images come from one drive. Without it all images are taken as `near_miss`, for they are of the
scenes that DRAMA was recorded for.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from hazardline.errors import UserError
from hazardline.hazardnet import TOPICS, format_reply
from hazardline.ingest import parquet_rows, rows
from hazardline.ingest.adapter import Candidate, Problem, PublishedPair, shorten
from hazardline.ingest.adapters import drama
from hazardline.ingest.config import SourceConfig
from hazardline.ingest.json_items import read_items
from hazardline.ingest.place import Place
from hazardline.ingest.row_groups import RowGroups
from hazardline.ingest.splits import split_of
from hazardline.native import Label
from hazardline.tasks import Task

MAX_IMAGE_BYTES = 64 << 20
_WHAT = "HazardQA's table: image, image_id, category_topic, question, chain_of_thought, answer"
_IMAGE, _REASONING = ("image", "file_name"), ("chain_of_thought", "thinking")
_NEEDED = ("image_id", "category_topic", "question", "answer")
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", re.ASCII)
_WHOLE = re.compile(r"(\d{1,18})\.0+", re.ASCII)
_MAX_TEXT_LENGTH = 10_000
_TASKS: Mapping[str, Task] = {name.lower(): task for task, name in TOPICS.items()}
_MAGIC: Mapping[bytes, str] = {b"\x89PNG\r\n\x1a\n": ".png", b"\xff\xd8\xff": ".jpg"}


class HazardQaAdapter:
    """A folder with HazardQA's tables."""

    def __init__(self, place: Place, config: SourceConfig) -> None:
        """Take the place; its tables are read by `candidates`."""
        self._place = place

    def candidates(self) -> Iterator[Candidate | Problem]:
        """One an image, in the order of their first rows, after the rows that cannot be used.

        The tables are read twice, texts first, so that no more than one image is in memory.
        """
        tables = [_Table(self._place, name) for name in self._names()]
        with RowGroups() as images, RowGroups() as risks:
            self._read_drama(risks)
            for table in tables:
                for number, row in table.rows(table.text_columns):
                    problem = _collect(table, number, row, images)
                    if problem is not None:
                        yield problem
            for table in tables:
                for number, row in table.rows(("image_id", table.image_column)):
                    image_id = _image_id(row.get("image_id"))
                    if image_id is not None and images.take(image_id):
                        yield _merge(table, number, image_id, row[table.image_column], images, risks)

    def _names(self) -> list[str]:
        names = list(self._place.find("**/*.parquet")) or list(self._place.find("**/*.csv"))
        if not names:
            raise UserError(f"{self._place.name}: no parquet or csv file here; expected {_WHAT}")
        return names

    def _read_drama(self, risks: RowGroups) -> None:
        """Risk, drive and classification of each of DRAMA's rows that says them, by its number."""
        path = self._place.file(drama.FILE_NAME)
        if path is None:
            return
        for item in read_items(path, drama.WHAT):
            try:
                if isinstance(item.value, dict):
                    drive = drama.recording_of(drama.image_of(item.value))
                    said = [drama.risk_of(item.value), drive, drama.classification_of(item.value)]
                    risks.add(str(item.number), json.dumps(said))
            except ValueError:
                continue  # DRAMA's own adapter names such rows; here they say nothing of an image


class _Table:
    """One file, Parquet or csv."""

    def __init__(self, place: Place, name: str) -> None:
        path = place.file(name)
        if path is None:
            raise UserError(f"{place.name}: {name} is gone; leave the folder as it is while it is read")
        self.name, self.split = name, split_of(name)
        self.folder = PurePosixPath(name).parent
        self._path = path
        self._is_csv = name.endswith(".csv")
        found = rows.column_names(path, _WHAT) if self._is_csv else parquet_rows.column_names(path, _WHAT)
        columns = [column.strip() for column in found]
        self.image_column = _one_of(path, _IMAGE, columns)
        self.reasoning_column = _one_of(path, _REASONING, columns)
        for column in _NEEDED:
            _one_of(path, (column,), columns)
        self.text_columns = (*_NEEDED, self.reasoning_column)

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        if self._is_csv:
            return rows.numbered_rows(self._path, _WHAT)
        return parquet_rows.read_rows(self._path, columns, _WHAT)

    def origin(self, number: int) -> str:
        return f"{self.name} row {number}"


def _one_of(path: Path, names: Sequence[str], columns: Sequence[str]) -> str:
    for name in names:
        if name in columns:
            return name
    raise UserError(f"{path}: no column {' or '.join(names)}; found {shorten(', '.join(columns)) or 'nothing'}")


def _image_id(value: Any) -> str | None:
    """A number or a text as the name of an image; a data frame writes 7 as 7.0."""
    if isinstance(value, float):
        value = repr(value)
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text if _ID.fullmatch(text) else None


def _collect(table: _Table, number: int, row: Mapping[str, Any], images: RowGroups) -> Problem | None:
    """Keep the question of a row, or say why not."""
    origin = table.origin(number)
    image_id = _image_id(row.get("image_id"))
    try:
        if image_id is None:
            raise ValueError("image_id is no number and no short name")
        topic, question, answer = (_text(row, column) for column in ("category_topic", "question", "answer"))
        reasoning = _text(row, table.reasoning_column, may_be_absent=True)
        task = _TASKS.get(" ".join(topic.lower().split()))
        if task is None:
            raise ValueError(f"category_topic is none of the seven: {topic[:80]!r}")
    except ValueError as error:
        return Problem(shorten(origin), "", "bad_annotation", shorten(f"{origin}: {error}"))
    reply = format_reply(reasoning, answer) if reasoning else answer
    images.add(image_id, json.dumps([origin, table.split, task, question, reply]))
    return None


def _text(row: Mapping[str, Any], column: str, may_be_absent: bool = False) -> str:
    value = row.get(column)
    if value is None or value != value:  # NaN, as data frames have it
        value = ""
    if not isinstance(value, str) or len(value) > _MAX_TEXT_LENGTH:
        raise ValueError(f"{column} is no text of at most {_MAX_TEXT_LENGTH} characters")
    if "\N{REPLACEMENT CHARACTER}" in value:
        raise ValueError(f"{column} is not valid UTF-8")
    if not value.strip() and not may_be_absent:
        raise ValueError(f"{column} is empty")
    return value.strip()


def _merge(
    table: _Table, number: int, image_id: str, image: Any, images: RowGroups, risks: RowGroups
) -> Candidate | Problem:
    rows = [json.loads(row) for row in images.rows_of(image_id)]
    splits = dict.fromkeys(split for _, split, *_ in rows if split is not None)
    origin, clip_id = table.origin(number), f"hazardqa-{image_id}"
    name, content = None, None
    try:
        if len(splits) > 1:
            raise ValueError(f"image {image_id} is in more than one split: {', '.join(splits)}")
        name, content = _image(table, image_id, image)
    except ValueError as error:
        return Problem(clip_id, "", "bad_annotation", shorten(f"{origin}: {error}"))
    label: Label = "near_miss"
    recording_id, classification = None, None
    for row in risks.rows_of(image_id):
        is_risk, recording_id, classification = json.loads(row)
        label = "near_miss" if is_risk else "normal"
    return Candidate(
        origin=origin,
        clip_id=clip_id,
        video=name,
        label=label,
        source="hazardqa",
        content=content,
        recording_id=recording_id,
        location="Tokyo",
        published_split=next(iter(splits), None),
        classification=classification,
        pairs=tuple(PublishedPair(task, question, reply) for _, _, task, question, reply in rows),
    )


def _image(table: _Table, image_id: str, value: Any) -> tuple[str, bytes | None]:
    """Name and bytes of an embedded image, or path below the folder and None.

    Raises:
        ValueError: there is neither, or the bytes are no PNG or JPEG.
    """
    content = value.get("bytes") if isinstance(value, dict) else value if isinstance(value, bytes) else None
    path = value.get("path") if isinstance(value, dict) else value if isinstance(value, str) else None
    if isinstance(content, bytes):
        suffix = next((suffix for magic, suffix in _MAGIC.items() if content.startswith(magic)), None)
        if suffix is None or len(content) > MAX_IMAGE_BYTES:
            raise ValueError(f"the image is no PNG or JPEG of at most {MAX_IMAGE_BYTES} bytes")
        return f"image_{image_id}{suffix}", content
    if not isinstance(path, str) or not path.strip():
        raise ValueError("no image, and no path of one")
    return (table.folder / path.strip()).as_posix(), None

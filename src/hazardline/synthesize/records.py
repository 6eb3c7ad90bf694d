"""CrashChat's record format (arXiv 2512.18878, released code): a JSON list a split, a record a pair."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field

from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import write_json
from hazardline.synthesize.pair import QaPair, SceneRow

VIDEO_TAG = "<video>\n"


class Turn(Document):
    """One side of a conversation."""

    speaker: Annotated[Literal["human", "gpt"], Field(alias="from")]
    value: str


class Record(Document):
    """A video, a question, an answer and where the video comes from."""

    video: Annotated[list[str], Field(min_length=1, max_length=1)]
    conversations: Annotated[list[Turn], Field(min_length=2, max_length=2)]
    source: str

    @classmethod
    def of(cls, pair: QaPair, scene: SceneRow) -> Self:
        """The record of a pair, with the clip's path as the scenes table gives it."""
        human = {"from": "human", "value": VIDEO_TAG + pair.question}
        gpt = {"from": "gpt", "value": pair.answer}
        value = {"video": [scene["video_uri"]], "conversations": [human, gpt], "source": scene["source"]}
        return cls.model_validate(value)

    @property
    def question(self) -> str:
        """The question without the video tag."""
        return self.conversations[0].value.removeprefix(VIDEO_TAG)

    @property
    def answer(self) -> str:
        """The answer."""
        return self.conversations[1].value


def records_name(split: str) -> str:
    """`crashchat_<split>.json`."""
    return f"crashchat_{split}.json"


def write_records(path: Path, records: Sequence[Record]) -> None:
    """Write one split atomically."""
    write_json(path, [record.model_dump(mode="json", by_alias=True) for record in records])


def read_records(path: Path) -> list[Record]:
    """Read one split.

    Raises:
        UserError: the file is no JSON list, or a record is not CrashChat's (the message says which).
    """
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a list of CrashChat records ({error})") from None
    if not isinstance(values, list):
        raise UserError(f"{path}: expected a JSON list of CrashChat records, got {type(values).__name__}")
    records = [Record.parse(value, f"{path}[{index}]") for index, value in enumerate(values)]
    for index, record in enumerate(records):
        speakers = [turn.speaker for turn in record.conversations]
        if speakers != ["human", "gpt"] or not record.conversations[0].value.startswith(VIDEO_TAG):
            raise UserError(f"{path}[{index}]: expected a human turn with '<video>' first, then a gpt turn")
    return records

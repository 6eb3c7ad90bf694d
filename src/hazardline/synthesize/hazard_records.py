"""HazardQA's table (arXiv 2502.20572), as a JSON list a split: a row a question, its columns by the published names."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from hazardline.documents import Document
from hazardline.files import write_json
from hazardline.hazardnet import TOPICS, final_answer, reasoning_of
from hazardline.synthesize.pair import QaPair, SceneRow


class HazardRecord(Document):
    """A question about an image with its reasoning and its final answer."""

    image: str
    """Path as the scenes table gives it."""
    image_id: str
    category_topic: str
    question: str
    chain_of_thought: str
    answer: str

    @classmethod
    def of(cls, pair: QaPair, scene: SceneRow) -> Self:
        """The row of a pair of one of the topics."""
        return cls(
            image=scene["video_uri"],
            image_id=pair.clip_id,
            category_topic=TOPICS[pair.task],
            question=pair.question,
            chain_of_thought=reasoning_of(pair.answer),
            answer=final_answer(pair.answer),
        )


def hazard_records_name(split: str) -> str:
    """`hazardqa_<split>.json`."""
    return f"hazardqa_{split}.json"


def write_hazard_records(path: Path, records: Sequence[HazardRecord]) -> None:
    """Write one split atomically."""
    write_json(path, [record.data() for record in records])

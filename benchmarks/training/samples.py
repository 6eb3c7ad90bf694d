"""Clips on disk as the model takes them, by the checkpoint's own processor and chat template.

The tokens of a question are those of its whole conversation, so that they are a peer's to the token; what the
questions of a clip share is found by `share_prefix`.
"""

from dataclasses import dataclass
from typing import Any

from PIL import Image

from benchmarks.training.clips import Question, VideoClip, read_seen_frames
from hazardline.train.prefix import Sample, share_prefix
from hazardline.vlm.media import Grid, Media

_MERGED_PATCHES = 4
_IGNORED = -100


@dataclass(frozen=True)
class Pixels:
    """One clip's pixels as the processor cuts them."""

    media: Media
    grid: Grid


def read_pixels(processor: Any, clip: VideoClip, num_seen: int) -> Pixels:
    """Decode a clip's seen frames and cut them into patches."""
    return cut(processor, read_seen_frames(clip.video, num_seen))


def cut(processor: Any, frames: list[Image.Image]) -> Pixels:
    """Patches of some frames."""
    cut_up = processor.video_processor(videos=[frames], return_tensors="pt", do_sample_frames=False)
    grid = tuple(cut_up["video_grid_thw"][0].tolist())
    return Pixels(
        Media(cut_up["pixel_values_videos"].float(), (grid,), processor.video_processor.merge_size, "video"), grid
    )


def sample(processor: Any, question: Question, grid: Grid) -> Sample:
    """Token ids of the whole conversation about a clip of this grid. The answer ends with the line's end."""
    user = {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": question.question}]}
    prompt = processor.apply_chat_template([user], tokenize=False, add_generation_prompt=True)
    whole = processor.apply_chat_template(
        [user, {"role": "assistant", "content": question.answer}], tokenize=False, add_generation_prompt=False
    )
    ids = _tokens(processor, whole, grid)
    return Sample(ids, len(_tokens(processor, prompt, grid)))


def _tokens(processor: Any, text: str, grid: Grid) -> list[int]:
    ids: list[int] = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
    pad = processor.tokenizer.convert_tokens_to_ids("<|video_pad|>")
    place = ids.index(pad)
    return ids[:place] + [pad] * (grid[0] * grid[1] * grid[2] // _MERGED_PATCHES) + ids[place + 1 :]


def shared(processor: Any, clip: VideoClip, grid: Grid) -> tuple[list[int], list[Any]]:
    """Prefix and turns of a clip."""
    return share_prefix([sample(processor, question, grid) for question in clip.questions])


def check_against_peer(samples: list[Sample], grid: Grid, first_batch: dict[str, Any], pad_id: int) -> dict[str, bool]:
    """Compare what a peer fed to its model in its first step with our samples of the same questions.

    A padded batch has a row a sample, a packed one all samples behind one another in one row.

    Raises:
        ValueError: other tokens or another grid; a comparison of speed would be one of different work.
    """
    fed = [token for ids in first_batch["input_ids"] for token in _trim(ids, pad_id)]
    if fed != [token for one in samples for token in one.ids]:
        raise ValueError("the peer's token ids are not ours; compare the chat templates")
    if any(tuple(found) != grid for found in first_batch["video_grid_thw"]):
        raise ValueError(f"the peer's video_grid_thw is {first_batch['video_grid_thw'][0]}, ours {grid}")
    trained = [label for labels in first_batch["labels"] for label in labels if label != _IGNORED]
    answers = [token for one in samples for token in one.ids[one.answer_start :]]
    return {"tokens_equal": True, "grid_equal": True, "labels_equal": trained == answers}


def _trim(ids: list[int], pad_id: int) -> list[int]:
    """Ids without the padding at their end."""
    length = len(ids)
    while length and ids[length - 1] == pad_id:
        length -= 1
    return ids[:length]

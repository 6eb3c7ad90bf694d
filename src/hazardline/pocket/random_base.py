"""Checkpoints of random weights with all the files of the shipped ones, for tests and for measuring speed."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from hazardline.hazardnet import FIELDS, HAZARDNET_PROMPTS
from hazardline.pocket.architecture import TINY, PocketSize, build_model, build_qwen2_vl
from hazardline.pocket.settings import IMAGE_LAYOUT
from hazardline.pocket.vocabulary import special_ids, train_tokenizer
from hazardline.tasks import NEGATIVE_ANSWERS, PROMPTS
from hazardline.vlm.layout import LAYOUT_NAME, Layout
from hazardline.vlm.text import TOKENIZER_NAME


def write_random_base(
    folder: Path, seed: int = 0, size: PocketSize = TINY, layout: Layout | None = None, vocab_size: int = 768
) -> None:
    """Write config.json, model.safetensors, tokenizer.json and layout.json of a random model."""
    layout = layout or Layout()
    texts = [*PROMPTS["crashchat-short@1"].questions.values(), *NEGATIVE_ANSWERS.values(), " Yes", " No"] * 4
    tokenizer = train_tokenizer(texts, layout, vocab_size)
    model = build_model(size, layout, tokenizer.get_vocab_size(), special_ids(tokenizer), seed)
    _write(folder, model, tokenizer, layout)


def write_random_image_base(
    folder: Path, seed: int = 0, size: PocketSize = TINY, layout: Layout | None = None, vocab_size: int = 768
) -> None:
    """The same of a random Qwen2-VL, for images of 96 x 64 by default."""
    layout = layout or IMAGE_LAYOUT.model_copy(update={"width_px": 96, "height_px": 64})
    words = [f' "{word}"' for name, values in FIELDS.items() for word in (name, *values)]
    texts = [*HAZARDNET_PROMPTS["hazardnet-short@1"].questions.values(), *words, " Answer: Yes", " Answer: No"] * 4
    tokenizer = train_tokenizer(texts, layout, vocab_size)
    model = build_qwen2_vl(size, layout.patch_px, tokenizer.get_vocab_size(), special_ids(tokenizer), seed)
    _write(folder, model, tokenizer, layout)


def _write(folder: Path, model: Any, tokenizer: Tokenizer, layout: Layout) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / TOKENIZER_NAME))
    layout.write(folder / LAYOUT_NAME)

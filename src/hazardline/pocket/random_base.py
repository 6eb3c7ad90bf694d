"""A checkpoint of random weights with all the files of the shipped one, for tests and for measuring speed."""

from pathlib import Path

from hazardline.pocket.architecture import TINY, PocketSize, build_model
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
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / TOKENIZER_NAME))
    layout.write(folder / LAYOUT_NAME)

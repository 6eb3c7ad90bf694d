"""The pocket vocabulary: byte-level BPE over words and numbers, every frame time one token."""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from hazardline.vlm.layout import Layout

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|image_pad|>", "<|video_pad|>")
IMAGE_TOKENS = (*SPECIAL_TOKENS, "<|vision_start|>", "<|vision_end|>")
"""Qwen2-VL marks where an image begins and ends."""
MAX_TIME_S = 12.0
MAX_COUNT = 60
_PIECES = r" ?\d+\.\d| ?\d+| ?[A-Za-z]+|[^\sA-Za-z\d]|\s"
_REPEATS = 400  # enough that the trainer merges every time and number into one token


def time_texts(layout: Layout) -> list[str]:
    """All times on the frame grid up to `MAX_TIME_S`, as they stand in tags and answers, for example ` 3.4`."""
    return [f" {k / layout.rate_hz:.1f}" for k in range(round(MAX_TIME_S * layout.rate_hz))]


def number_texts() -> list[str]:
    """The whole numbers that answers use (metres, metres a second)."""
    return [f" {k}" for k in range(MAX_COUNT + 1)]


def train_tokenizer(texts: Iterable[str], layout: Layout, vocab_size: int) -> Tokenizer:
    """Train the tokenizer; deterministic for the same texts.

    A layout for clips gives every frame time a token of its own, a layout for images has Qwen2-VL's special tokens.

    Raises:
        ValueError: a time or a number did not become one token (the vocabulary is too small).
    """
    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=list(IMAGE_TOKENS if layout.media == "image" else SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    fixed = number_texts() if layout.media == "image" else time_texts(layout) + number_texts()
    tokenizer.train_from_iterator([*texts, *(text for text in fixed for _ in range(_REPEATS))], trainer)
    for text in fixed:
        if len(tokenizer.encode(text, add_special_tokens=False).ids) != 1:
            raise ValueError(f"{text!r} is not one token; give the vocabulary more than {vocab_size} tokens")
    return tokenizer


def special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """Ids that the model's configuration needs."""
    names = {"pad": "<|endoftext|>", "end": "<|im_end|>", "image": "<|image_pad|>", "video": "<|video_pad|>"}
    if tokenizer.token_to_id("<|vision_start|>") is not None:
        names |= {"vision_start": "<|vision_start|>", "vision_end": "<|vision_end|>"}
    ids = {name: tokenizer.token_to_id(token) for name, token in names.items()}
    missing = [names[name] for name, found in ids.items() if found is None]
    if missing:
        raise ValueError(f"the tokenizer lacks {missing}")
    return {name: found for name, found in ids.items() if found is not None}

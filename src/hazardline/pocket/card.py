"""The model card of a pocket base, written from what was measured."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from hazardline.files import sha256_file, write_atomic, write_json
from hazardline.pocket.settings import PocketSettings

_CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: video-text-to-text
tags: [traffic-safety, video, pocket]
---

# Pocket VideoLLaMA3 base

A VideoLLaMA3 of the native architecture (`VideoLlama3ForConditionalGeneration`) with {parameters:.2f} million
parameters, small enough to be tuned on a laptop. It exists so that hazardline's whole line - tuning, evaluation, gates,
export, release - runs and *means something* without a GPU. It is no safety device and was never near a road.

## What it has seen

{near_misses} near-miss and {normal} normal drives of hazardline's own simulator, of seeds that no recipe uses, and
sentences of a small handbook grammar, some of their words cut into letters, and invented words to write down. **No
crash clips, no crash labels, no crash words**: `corpus.prepare` refuses a
clip labelled as a crash, and a test holds the word list against every text. Near misses carry no label either; the
questions are about what can be perceived (where, when, how near, how fast, who does what). They do include hard
braking and close approach, which go with crashes in the world too. Manifest SHA-256: `{manifest}`.

## How it was trained

1. Vision encoder: {vision_steps} steps of dense perception targets (boxes, kind, colour, range, speed, brake lights,
   weather) read from the merged tokens, with a variance-covariance penalty on them.
2. Encoder frozen, its features whitened by a linear map (`feature_whitening.safetensors`) that is folded into the
   projector at the end; projector and language model: {language_steps} steps of 2 clips x {questions} generic questions
   with a shared prefix, {captions} of them answered with a sentence that weighs {caption_weight:g} times as much,
   ordinal soft targets for time tokens, and a per-frame auxiliary head that is thrown away.

`make pocket-base` repeats it (seed {seed}). Two processes average their gradients; bf16 arithmetic makes the exact
weights depend on the processor.

## How it differs from the published VideoLLaMA3

All in `layout.json`: 144x96 pixels, patches of 12, merge 4 (6 tokens a frame), five input channels (RGB and two
brightness differences, 0.1 s and 0.3 s), 5 frames a second, the time *after* a frame's tokens, times in training
answers on a 0.2 s grid, own vocabulary of {vocabulary} tokens, float16 storage.

## Measured on held-out drives

Vision, last validation: `{vision}`

Language, last validation: `{language}`
"""


def write_card(
    folder: Path, settings: PocketSettings, histories: dict[str, list[dict[str, Any]]], manifest: Path
) -> None:
    """Write README.md (the card) and pretraining.json (settings and validation history) into a checkpoint folder."""
    from safetensors import safe_open
    from tokenizers import Tokenizer

    with safe_open(folder / "model.safetensors", framework="numpy") as weights:
        names = list(weights.keys())
        parameters = sum(_size(weights.get_slice(name).get_shape()) for name in names)
    labels = Counter(json.loads(line)["label"] for line in manifest.read_text(encoding="utf-8").splitlines())
    digest = sha256_file(manifest)
    text = _CARD.format(
        parameters=parameters / 1e6,
        near_misses=labels["near_miss"],
        normal=labels["normal"],
        manifest=digest,
        vision_steps=settings.vision.num_steps,
        language_steps=settings.language.num_steps,
        questions=settings.language.questions_per_clip,
        captions=settings.language.captions_per_clip,
        caption_weight=settings.language.caption_weight,
        seed=settings.seed,
        vocabulary=Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size(),
        vision=histories["vision"][-1],
        language=histories["language"][-1],
    )
    write_atomic(folder / "README.md", text.encode())
    write_json(folder / "pretraining.json", {"settings": settings.data(), "manifest_sha256": digest, **histories})


def _size(shape: list[int]) -> int:
    product = 1
    for side in shape:
        product *= side
    return product

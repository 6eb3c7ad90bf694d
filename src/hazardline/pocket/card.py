"""The model card of a pocket base, written from what was measured."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from safetensors import safe_open
from tokenizers import Tokenizer

from hazardline.files import sha256_file, write_atomic, write_json
from hazardline.pocket.settings import PocketImageSettings, PocketSettings

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


_IMAGE_CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
tags: [traffic-safety, image, pocket]
---

# Pocket Qwen2-VL base

A Qwen2-VL of the native architecture (`Qwen2VLForConditionalGeneration`) with {parameters:.2f} million parameters, for
images; the twin of the pocket VideoLLaMA3 base. It exists so that the HazardNet line runs and *means something* without
a GPU. It is no safety device and was never near a road.

## What it has seen

{images} images ({near_misses} of near-miss scenes before their event, {normal} of normal driving) of hazardline's own
simulator, of seeds that no recipe uses, and sentences of a small handbook grammar. **No risk, no suggested action and
no HazardNet classification**: its questions are about what can be perceived (who is where, how far, which way, what
road, which light). Some answers are JSON objects with keys that the question names, and some values are words to be
written down when the question says so: it can write JSON, and does not know what to put into HazardNet's fields.
Manifest SHA-256: `{manifest}`.

## How it was trained

1. Vision encoder: {vision_steps} steps of {step_images} images with dense perception targets (kind, colour, box,
   range, heading, brake light, road, signal, weather) read from merge windows and from the whole image.
2. Encoder frozen; merger and language model: {language_steps} steps of {row_images} images in each of two processes,
   with {questions} generic questions an image behind a shared prefix.

`make pocket-image-base` repeats it (seed {seed}). Two processes average their gradients; bf16 arithmetic makes the
exact weights depend on the processor.

## How it differs from the published Qwen2-VL

All in `layout.json`: 288x192 pixels, patches of 16, merge 2 (54 tokens an image), pixels scaled to [-1, 1], no system
prompt, own vocabulary of {vocabulary} tokens, float16 storage.

## Measured on held-out scenes

Vision, last validation: `{vision}`

Language, last validation: `{language}`
"""


def write_card(
    folder: Path,
    settings: PocketSettings | PocketImageSettings,
    histories: dict[str, list[dict[str, Any]]],
    manifest: Path,
) -> None:
    """Write README.md (the card) and pretraining.json (settings and validation history) into a checkpoint folder."""
    labels = Counter(json.loads(line)["label"] for line in manifest.read_text(encoding="utf-8").splitlines())
    digest = sha256_file(manifest)
    facts = {
        "parameters": _num_parameters(folder) / 1e6,
        "near_misses": labels["near_miss"],
        "normal": labels["normal"],
        "manifest": digest,
        "vision_steps": settings.vision.num_steps,
        "language_steps": settings.language.num_steps,
        "seed": settings.seed,
        "vocabulary": _vocabulary_size(folder),
        "vision": histories["vision"][-1],
        "language": histories["language"][-1],
    }
    if isinstance(settings, PocketImageSettings):
        text = _IMAGE_CARD.format(
            **facts,
            images=labels.total(),
            step_images=settings.vision.images_per_step,
            row_images=settings.language.images_per_step,
            questions=settings.language.questions_per_image,
        )
    else:
        text = _CARD.format(
            **facts,
            questions=settings.language.questions_per_clip,
            captions=settings.language.captions_per_clip,
            caption_weight=settings.language.caption_weight,
        )
    write_atomic(folder / "README.md", text.encode())
    write_json(folder / "pretraining.json", {"settings": settings.data(), "manifest_sha256": digest, **histories})


def _num_parameters(folder: Path) -> int:
    with safe_open(folder / "model.safetensors", framework="numpy") as weights:
        return sum(_size(weights.get_slice(name).get_shape()) for name in weights.keys())


def _vocabulary_size(folder: Path) -> int:
    size: int = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size()
    return size


def _size(shape: list[int]) -> int:
    product = 1
    for side in shape:
        product *= side
    return product

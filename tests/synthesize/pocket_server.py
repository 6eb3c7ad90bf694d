"""The pocket image base behind chat completions: a real Qwen2-VL that answers over HTTP, under the schema asked for."""

import base64
import json
import threading
from pathlib import Path
from typing import Any

import torch

from hazardline.constrained import Grammars
from hazardline.vlm.generate import answer
from hazardline.vlm.model import encode, load_base
from hazardline.vlm.pixels import read_patches
from hazardline.vlm.text import TOKENIZER_NAME, Prompter
from tests.synthesize.chat_server import Answer, images, texts

LONGEST_TEXT = 30


class PocketModel:
    """Answers one request at a time: image and texts in, JSON under the schema out."""

    def __init__(self, base: Path, folder: Path) -> None:
        self._model = load_base(base).eval()
        self._prompter = Prompter.load(base)
        vocab_size = self._model.config.get_text_config().vocab_size
        self._grammars = Grammars(base / TOKENIZER_NAME, vocab_size, self._prompter.end_id)
        self._folder = folder
        self._lock = threading.Lock()

    def __call__(self, body: dict[str, Any]) -> tuple[str, Answer]:
        (url,) = images(body)
        assert url.startswith("data:image/jpeg;base64,")
        with self._lock:
            path = self._folder / "seen.jpg"
            path.write_bytes(base64.b64decode(url.partition(",")[2]))
            return "image", Answer(self._complete(path, body))

    @torch.inference_mode()
    def _complete(self, path: Path, body: dict[str, Any]) -> dict[str, Any]:
        layout = self._prompter.layout
        patches, times_s = read_patches(path, layout)
        prefix = self._prompter.prefix(times_s)
        question = self._prompter.question(texts(body))
        schema = _bounded(body["response_format"]["json_schema"]["schema"])
        (found,) = answer(
            self._model,
            prefix,
            encode(self._model, torch.from_numpy(patches), layout.grid, layout.merge),
            [question],
            [body["max_tokens"]],
            self._prompter.end_id,
            layout.grids(len(times_s)),
            [self._grammars.constraint(schema, layout.answer_prefix)],
        )
        is_cut = len(found.ids) == body["max_tokens"]
        used = {"prompt_tokens": len(prefix) + len(question), "completion_tokens": len(found.ids)}
        return {
            "model": "pocket-image",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "length" if is_cut else "stop",
                    "message": {"role": "assistant", "content": self._prompter.decode(found.ids)},
                }
            ],
            "usage": used,
        }


def _bounded(schema: Any) -> Any:
    """The schema with a limit on free texts: a model of a few million parameters does not end them by itself."""
    if isinstance(schema, dict):
        bounded = {key: _bounded(value) for key, value in schema.items()}
        is_free = bounded.get("type") == "string" and "enum" not in bounded and "const" not in bounded
        return bounded | ({"minLength": 1, "maxLength": LONGEST_TEXT} if is_free else {})
    return [_bounded(value) for value in schema] if isinstance(schema, list) else json.loads(json.dumps(schema))

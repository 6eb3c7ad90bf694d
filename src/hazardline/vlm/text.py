"""Token ids around the vision tokens: prefix of a clip, question, answer. Needs `tokenizers`, not torch."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tokenizers import Tokenizer

from hazardline.errors import UserError
from hazardline.vlm.layout import LAYOUT_NAME, Layout

TOKENIZER_NAME = "tokenizer.json"
_DECIMAL = re.compile(r"\d+\.\d+")


class Prompter:
    """Turns times, questions and answers into token ids as a layout says.

    A sample is `prefix + question + answer`; the prefix depends on the clip alone, the loss is on the answer alone.
    """

    def __init__(self, tokenizer: Tokenizer, layout: Layout) -> None:
        """Look up the special tokens; ValueError if the tokenizer lacks one."""
        self.layout = layout
        self._tokenizer = tokenizer
        self.end_id = self._special(layout.end_token)
        self.video_id = self._special(layout.video_token)
        self.yes_id = self.answer("Yes")[0]
        self.no_id = self.answer("No")[0]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `tokenizer.json` and `layout.json` of a checkpoint or bundle folder.

        Raises:
            UserError: a file is missing or not what it should be.
        """
        layout = Layout.read(folder / LAYOUT_NAME)
        path = folder / TOKENIZER_NAME
        if not path.is_file():
            raise UserError(f"{path}: missing; expected a tokenizer of the tokenizers library beside the checkpoint")
        return cls(Tokenizer.from_file(str(path)), layout)

    def _special(self, token: str) -> int:
        found: int | None = self._tokenizer.token_to_id(token)
        if found is None:
            raise ValueError(f"the tokenizer has no token {token!r}")
        return found

    def encode(self, text: str) -> list[int]:
        """Ids of a text, special tokens in it recognised, none added."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def prefix(self, times_s: Sequence[float]) -> list[int]:
        """Ids of the prompt up to the question: for every frame its placeholder tokens and its time."""
        layout = self.layout
        ids = self.encode(layout.prompt_start)
        pads = [self.video_id] * layout.tokens_per_frame
        for number, time_s in enumerate(times_s):
            separator = layout.frame_separator if number else ""
            tag = layout.time_format.format(time=time_s)
            if layout.time_position == "before":  # one text between placeholders: BPE may merge over their boundary
                ids += self.encode(separator + tag) + pads
            else:
                ids += self.encode(separator) + pads + self.encode(tag)
        return ids

    def question(self, text: str) -> list[int]:
        """Ids of a question and of the header that the answer follows."""
        return self.encode(self.layout.question_format.format(question=text))

    def answer(self, text: str) -> list[int]:
        """Ids of a training answer, its times on the layout's grid, with the end token."""
        step = self.layout.answer_time_step_s
        if step is not None:
            text = _DECIMAL.sub(lambda found: f"{round(round(float(found[0]) / step, 6)) * step:.1f}", text)
        return [*self.encode(self.layout.answer_format.format(answer=text)), self.end_id]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated ids, without special tokens and outer blanks."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text.strip()

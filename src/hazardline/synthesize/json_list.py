"""A JSON list that is written item by item: the bytes of `hazardline.files.write_json`, in bounded memory."""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, Self

from hazardline.files import atomic_stream


class JsonListWriter:
    """Writes a list; the file takes its name, whole, when the block ends well."""

    def __init__(self, path: Path) -> None:
        """Write a file, as a context manager."""
        self._whole: AbstractContextManager[BinaryIO] = atomic_stream(path)
        self._is_empty = True

    def __enter__(self) -> Self:
        self._stream = self._whole.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self._stream.write(b"[]\n" if self._is_empty else b"\n]\n")
        self._whole.__exit__(*error)

    def write(self, value: Any) -> None:
        """Add an item.

        Raises:
            ValueError: it has no JSON form.
        """
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        self._stream.write(b"[\n" if self._is_empty else b",\n")
        self._stream.write(b"  " + text.replace("\n", "\n  ").encode())  # within strings a line break is escaped
        self._is_empty = False

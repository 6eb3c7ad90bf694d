"""A JSON list of documents written one by one: the bytes of `hazardline.files.write_json`, in bounded memory."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, Self

from hazardline.documents import Document
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

    def write(self, item: Document) -> None:
        """Add a document."""
        text = item.model_dump_json(indent=2, by_alias=True)
        self._stream.write(b"[\n" if self._is_empty else b",\n")
        self._stream.write(b"  " + text.replace("\n", "\n  ").encode())  # within strings a line break is escaped
        self._is_empty = False

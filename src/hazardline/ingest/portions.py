"""A file that is parsed piece by piece, none of which may be endless."""

from typing import BinaryIO

from hazardline.errors import UserError

MAX_PORTION_BYTES = 4 << 20
"""A row of a sheet or an entry of a JSON file takes a few hundred bytes, with all its texts some ten thousand."""


class PortionedStream:
    """Reads from a stream; fails when too much was read since the last piece was whole.

    A parser keeps what it has read of a row until the row ends: without this a row without end takes all memory.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        """Take an open binary stream and what messages call it."""
        self._stream, self._name, self._read_bytes = stream, name, 0

    def piece_done(self) -> None:
        """A piece was whole; count from here."""
        self._read_bytes = 0

    def read(self, size: int = -1) -> bytes:
        """As a file's `read`.

        Raises:
            UserError: more than `MAX_PORTION_BYTES` since the last whole piece.
        """
        data = self._stream.read(size if 0 <= size <= MAX_PORTION_BYTES else MAX_PORTION_BYTES)
        self._read_bytes += len(data)
        if self._read_bytes > MAX_PORTION_BYTES:
            raise UserError(
                f"{self._name}: a single entry takes more than {MAX_PORTION_BYTES} bytes; expected a short one a clip"
            )
        return data

    def close(self) -> None:
        """Close the stream below."""
        self._stream.close()

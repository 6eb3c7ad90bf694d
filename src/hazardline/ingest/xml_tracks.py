"""Labels of the tracks of an annotation in CVAT's XML, read as a stream from a file that may be hostile.

A document type or an entity declaration is refused, so that nothing can expand; size, depth and number of elements are
bounded, and elements are dropped as they end.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from xml.etree.ElementTree import Element

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

MAX_FILE_BYTES = 64 << 20
"""Thirty seconds of D2-City, each frame with thirty boxes, take about 3 MB."""
MAX_DEPTH = 16
MAX_LABEL_LENGTH = 100


class TracksError(ValueError):
    """The file is no annotation that can be read; the message says why."""


def read_track_labels(path: Path) -> Iterator[str]:
    """The label of each track, in the order of the file.

    Raises:
        TracksError: unreadable, too large, no XML, a document type, or a track without a label. Labels before the place
            of the fault have been given out by then.
    """
    try:
        with path.open("rb") as stream:
            yield from _labels(_Bounded(stream))
    except OSError as error:
        raise TracksError(f"cannot be read ({error.strerror})") from None
    except DefusedXmlException:
        raise TracksError("has a document type or entities, which an annotation does not need") from None
    except (ParseError, LookupError, ValueError) as error:  # LookupError: an encoding that does not exist
        raise TracksError(str(error) if isinstance(error, TracksError) else f"not valid XML ({error})") from None


class _Bounded:
    """A file of which no more than `MAX_FILE_BYTES` can be read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._left = stream, MAX_FILE_BYTES

    def read(self, size: int) -> bytes:
        """As a file's."""
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise TracksError(f"larger than {MAX_FILE_BYTES} bytes")
        return data


def _labels(stream: _Bounded) -> Iterator[str]:
    open_elements: list[Element] = []
    for event, element in iterparse(stream, events=("start", "end"), forbid_dtd=True):
        if event == "end":
            open_elements.pop()
            if open_elements:
                open_elements[-1].remove(element)
            continue
        open_elements.append(element)
        if len(open_elements) > MAX_DEPTH:
            raise TracksError(f"elements stand more than {MAX_DEPTH} deep in one another")
        if element.tag == "track":
            label = element.get("label", "").strip()
            if not 0 < len(label) <= MAX_LABEL_LENGTH:
                raise TracksError(f"a track without a label of 1 to {MAX_LABEL_LENGTH} characters")
            yield label

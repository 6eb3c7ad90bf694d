"""Items of a large JSON list or object, one at a time, from a file that may be hostile.

The file is cut into its items by their brackets, and each item is then read by the standard library: a bad item costs
itself and not the file, and no more than one item is in memory. (ijson's parser ends the process on an integer of 5,000
digits, and its memory grows with the square of the depth: it is no choice for what comes from outside.)
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from hazardline.errors import UserError

MAX_ITEM_BYTES = 4 << 20
"""A record of CrashChat takes about 1 kB, a row of DRAMA 3 kB, a DoTA clip's metadata 300 bytes."""
MAX_DEPTH = 32
_CHUNK_BYTES = 1 << 20

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_TO_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+", re.DOTALL)
_TO_BRACKET_OR_COMMA = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + rb")*+", re.DOTALL)
_OPENING, _CLOSING, _QUOTE = b"[{", b"]}", b'"'


@dataclass(frozen=True)
class JsonItem:
    """An item, or what is wrong with it."""

    number: int
    """In the order of the file, from 0."""
    value: Any
    """What the item says; NaN and infinities, which Python writes into JSON, are None. None where it has a fault."""
    key: str = ""
    """Of a member of an object."""
    fault: str | None = None


def read_items(path: Path, what: str) -> Iterator[JsonItem]:
    """Items of a file that is one JSON list.

    Args:
        path: the file.
        what: what it should be, for messages.

    Raises:
        UserError: it cannot be read, is no list, ends too early, or an item is longer than `MAX_ITEM_BYTES`.
    """
    for number, text, depth in _frames(path, what, b"[", b"]"):
        value, fault = _load(text, depth)
        yield JsonItem(number, value, fault=fault)


def read_members(path: Path, what: str) -> Iterator[JsonItem]:
    """Members of a file that is one JSON object, with their keys; errors as `read_items`."""
    for number, text, depth in _frames(path, what, b"{", b"}"):
        value, fault = _load(b"{" + text + b"}", depth)
        if fault is None and len(value) == 1:
            ((key, member),) = value.items()
            yield JsonItem(number, member, key)
        else:
            yield JsonItem(number, None, fault=fault or "no member of an object")


class _RefusedItemError(ValueError):
    pass


def _load(text: bytes, depth: int) -> tuple[Any, str | None]:
    """The value of an item, or None and what is wrong with it."""
    if depth > MAX_DEPTH:
        return None, f"lists and objects stand more than {MAX_DEPTH} deep in one another"
    try:
        value = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
        if b"\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair cannot be written again
    except _RefusedItemError as error:
        return None, str(error)
    except UnicodeError:
        return None, "not valid UTF-8"
    except ValueError as error:  # also a number of too many digits
        return None, f"not valid JSON ({error})"
    return value, None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise _RefusedItemError(f"the key {repeated[:80]!r} is given twice")
    return value


def _no_constant(name: str) -> None:
    """NaN, Infinity and -Infinity stand for an absent value."""


def _frames(path: Path, what: str, opening: bytes, closing: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Number, text and depth of each item."""
    try:
        with path.open("rb") as stream:
            yield from _cut(stream, path, what, opening, closing)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected {what}") from None


def _cut(stream: BinaryIO, path: Path, what: str, opening: bytes, closing: bytes) -> Iterator[tuple[int, bytes, int]]:
    data = stream.read(_CHUNK_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    if data[:1] != opening:
        raise UserError(f"{path}: does not begin with {opening.decode()!r}; expected {what}")
    start, number = 1, 0
    while True:
        found = _end_of_item(data, start)
        if found is None:
            data, start = data[start:], 0
            more = stream.read(_CHUNK_BYTES) if len(data) <= MAX_ITEM_BYTES else b""
            if len(data) > MAX_ITEM_BYTES:
                raise UserError(f"{path}: item {number} is longer than {MAX_ITEM_BYTES} bytes; expected {what}")
            if not more:
                raise UserError(f"{path}: ends within item {number}: cut off or damaged; get the file again ({what})")
            data += more
            continue
        end, depth = found
        text, is_last = data[start:end].strip(), data[end : end + 1] == closing
        if text or number or not is_last:
            yield number, text, depth
        if not is_last and data[end : end + 1] != b",":
            raise UserError(f"{path}: {data[end : end + 1].decode()!r} after item {number}; expected {what}")
        start, number = end + 1, number + 1
        if is_last:
            break
    rest = data[start:]
    while rest:
        if rest.strip():
            raise UserError(f"{path}: something follows the end of the JSON value; expected {what}")
        rest = stream.read(_CHUNK_BYTES)


def _end_of_item(data: bytes, start: int) -> tuple[int, int] | None:
    """Where the comma or bracket behind an item stands, and the item's depth; None where the data ends before."""
    depth = deepest = 0
    while True:
        match = (_TO_BRACKET if depth else _TO_BRACKET_OR_COMMA).match(data, start)
        position = match.end() if match else start
        byte = data[position : position + 1]
        if not byte or byte == _QUOTE:  # the end of the data, or of a string, is still to come
            return None
        if byte in _OPENING:
            depth += 1
            deepest = max(deepest, depth)
        elif depth == 0:
            return position, deepest
        else:
            depth -= 1
        start = position + 1

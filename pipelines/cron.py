"""Cron as Kubeflow Pipelines reads it (robfig/cron 1): six fields, the first of them seconds.

KFP takes five fields without a word and reads the minutes as seconds: a nightly schedule would run every hour. So what
is not six fields is refused here.
"""

import re
from dataclasses import dataclass

from hazardline.errors import UserError

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_EXAMPLE = '"0 0 3 * * *" is every day at 03:00:00'


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()
    """Names of the values, the first of them for `low`."""


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 6, _DAYS),
)


def parse_cron(text: str) -> str:
    """A schedule with one blank between its fields, after a check.

    Raises:
        UserError: it has not six fields, a field says what it cannot, or no day ever fits it.
    """
    parts = text.split()
    if len(parts) == len(_FIELDS) - 1:
        raise UserError(
            f'--cron "{text}": five fields, where Kubeflow takes six: the first is the second; it would read yours as '
            f'"{parts[0]}" seconds and "{parts[1]}" minutes. You may mean "0 {" ".join(parts)}"'
        )
    if len(parts) != len(_FIELDS):
        named = ", ".join(field.name for field in _FIELDS)
        raise UserError(f'--cron "{text}": expected six fields ({named}), got {len(parts)}; {_EXAMPLE}')
    values = [_values(part, field, text) for part, field in zip(parts, _FIELDS, strict=True)]
    days, months = values[3], values[4]
    if all(min(days) > _LONGEST_MONTHS[month - 1] for month in months):
        raise UserError(f'--cron "{text}": no month that it names has a day {min(days)}, so it would never run')
    return " ".join(parts)


def _values(part: str, field: _Field, text: str) -> set[int]:
    """All values that one field allows."""
    found: set[int] = set()
    for item in part.split(","):
        span, slash, step = item.partition("/")
        if slash and not re.fullmatch(r"[1-9][0-9]*", step):
            raise UserError(f'--cron "{text}": {field.name} {part}: after the / comes a whole number above 0')
        if span in ("*", "?"):
            low, high = field.low, field.high
        else:
            first, dash, last = span.partition("-")
            low = _value(first, field, part, text)
            high = _value(last, field, part, text) if dash else field.high if slash else low
        if low > high:
            raise UserError(f'--cron "{text}": {field.name} {part}: {span} runs backwards; write two ranges')
        found |= set(range(low, high + 1, int(step or 1)))
    return found


def _value(word: str, field: _Field, part: str, text: str) -> int:
    if word.upper() in field.words:
        return field.words.index(word.upper()) + field.low
    if not re.fullmatch(r"[0-9]{1,2}", word) or not field.low <= int(word) <= field.high:
        names = f" or {field.words[0]} to {field.words[-1]}" if field.words else ""
        raise UserError(
            f'--cron "{text}": {field.name} {part}: expected {field.low} to {field.high}{names}, or *, got {word!r}'
        )
    return int(word)

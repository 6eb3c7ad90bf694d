"""Reads CrashChat's own records (arXiv 2512.18878, github.com/Liangkd/CrashChat): train again on exactly these.

Files `*_train.json`, `*_val.json`, `*_test.json`, each a list of records of one question and one answer: `video` (a
path below the folder, in a list or not), `conversations`, `source`. The released files overlap: there is one a task,
and one for each group of tasks with the same records again. Records of one video become one clip, whichever files they
stand in.

The clip's label comes from the answers: crash or normal (near misses have no place in this format). Questions and
answers are kept word for word. An interval without a length (10 of the 2,301 in the released validation and test sets:
the times are rounded to tenths) gives a crash's start and no end.

By the name of its file, a clip of CAP, DADA or D2-City has the recording that MM-AU's and D2-City's adapters give it;
one of Nexar has none (`hazardline.recordings`).
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from hazardline import recordings
from hazardline.errors import UserError
from hazardline.ingest.adapter import Candidate, Problem, PublishedPair, shorten
from hazardline.ingest.config import SourceConfig
from hazardline.ingest.json_items import JsonItem, read_items
from hazardline.ingest.place import Place
from hazardline.ingest.row_groups import RowGroups
from hazardline.ingest.splits import Split, split_of
from hazardline.native import Label, Times
from hazardline.tasks import (
    LOCALIZATION_TASKS,
    NEGATIVE_ANSWERS,
    PROMPTS,
    Task,
    parse_interval,
    parse_point,
    parse_recognition,
)

_WHAT = "a list of CrashChat's records (video, conversations, source)"
_MARK = "<video>"
_MAX_NAME_LENGTH = 180
_MAX_TEXT_LENGTH = 10_000
_MAX_TIME_LENGTH = 100
"""Shorter than any number of seconds that is no longer finite."""
_QUESTIONS: Mapping[str, Task] = {
    text: task for prompts in PROMPTS.values() for task, text in prompts.questions.items()
}
_WORDINGS = list(_QUESTIONS)
_PHRASES: tuple[tuple[Task, re.Pattern[str]], ...] = (
    ("crash_recognition", re.compile(r"'yes' or 'no'|\byes or no\b")),
    ("crash_description", re.compile(r"\bdescribe (whether|the (crash|accident|collision))\b|\[subject\] \[verb\]")),
    ("cause_reasoning", re.compile(r"\bcause of (the|this)\b|\bwhat (is|was) the cause\b")),
    ("prevention_reasoning", re.compile(r"\bprevention measures\b|\bbe(en)? prevented\b")),
    ("crash_localization", re.compile(r"\btime range\b|\bstart and end timestamps\b|\bfrom when to when\b")),
    ("pre_crash_localization", re.compile(r"\bfirst (visible )?sign\b|\bearly crash cues\b")),
)
_SOURCES: Mapping[str, str] = {"cap": "MM-AU-CAP", "dada": "MM-AU-DADA", "d2city": "D2City", "nexar": "Nexar"}
_MM_AU = re.compile(r"(cap|dada)_(\d{1,4})_(\d{1,9})", re.ASCII)


@dataclass(frozen=True)
class _Record:
    origin: str
    split: Split | None
    source: str
    task: Task
    question: str
    answer: str


class CrashChatAdapter:
    """A folder with CrashChat's json files and the videos that they name."""

    def __init__(self, place: Place, config: SourceConfig) -> None:
        """Take the place; its files are read by `candidates`."""
        self._place = place

    def candidates(self) -> Iterator[Candidate | Problem]:
        """One a video, in the order of their first records, after the records that cannot be used."""
        names = [name for name in self._place.find("**/*.json") if split_of(name)]
        names = names or list(self._place.find("**/*.json"))
        if not names:
            raise UserError(f"{self._place.name}: no json file here; expected CrashChat's *_train.json and the like")
        with RowGroups() as videos:
            for name in names:
                yield from self._collect(name, videos)
            for video, rows in videos.groups():
                yield _merge(video, (_unpacked(row) for row in rows))

    def _collect(self, name: str, videos: RowGroups) -> Iterator[Problem]:
        path = self._place.file(name)
        if path is None:
            raise UserError(f"{self._place.name}: {name} is gone; leave the folder as it is while it is read")
        for item in read_items(path, _WHAT):
            origin = f"{name}[{item.number}]"
            try:
                video, record = _record(item, origin, split_of(name))
            except ValueError as error:
                yield Problem(
                    shorten(origin), _video_named(item.value), "bad_annotation", shorten(f"{origin}: {error}")
                )
            else:
                videos.add(video, _packed(record))


def _packed(record: _Record) -> str:
    """A record as a text; a known question, most of a record's length, as its number."""
    known = _WORDINGS.index(record.question) if record.question in _QUESTIONS else record.question
    return json.dumps([record.origin, record.split, record.source, record.task, known, record.answer])


def _unpacked(row: str) -> _Record:
    origin, split, source, task, known, answer = json.loads(row)
    return _Record(origin, split, source, task, _WORDINGS[known] if isinstance(known, int) else known, answer)


def task_of(question: str) -> Task | None:
    """The task of a question, by its wording or else by phrases of which only one task's may be in it."""
    known = _QUESTIONS.get(question)
    if known is not None:
        return known
    text = " ".join(question.lower().split())
    found = [task for task, phrases in _PHRASES if phrases.search(text)]
    return found[0] if len(found) == 1 else None


def _record(item: JsonItem, origin: str, split: Split | None) -> tuple[str, _Record]:
    """The video of a record, and the rest of it.

    Raises:
        ValueError: it is no record of CrashChat's; the message says why.
    """
    if item.fault is not None:
        raise ValueError(item.fault)
    if not isinstance(item.value, dict):
        raise ValueError("a record is an object with video, conversations and source")
    video = _video(item.value.get("video"))
    question, answer = _turns(item.value.get("conversations"))
    task = task_of(question)
    if task is None:
        raise ValueError(f"the question is of none of the six tasks: {question[:200]!r}")
    source = item.value.get("source")
    if source is None:
        source = _SOURCES.get(PurePosixPath(video).stem.split("_")[0], "CrashChat")
    if not isinstance(source, str) or not 0 < len(source) <= 100:
        raise ValueError("source is no text of 1 to 100 characters")
    return video, _Record(origin, split, source, task, question, answer)


def _video(value: Any) -> str:
    """The path of a record's video: a list of one in the released files, a text in some copies."""
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    if not isinstance(value, str) or not value.strip():
        raise ValueError("video is neither a path nor a list of one path")
    path = str(PurePosixPath(value.strip()))
    if len(PurePosixPath(path).stem) > _MAX_NAME_LENGTH:
        raise ValueError(f"video has a name of more than {_MAX_NAME_LENGTH} characters")
    return path


def _video_named(value: Any) -> str:
    try:
        return shorten(_video(value.get("video"))) if isinstance(value, dict) else ""
    except ValueError:
        return ""


def _turns(value: Any) -> tuple[str, str]:
    """Question without the mark of the video, and answer."""
    if not (isinstance(value, list) and len(value) == 2 and all(isinstance(turn, dict) for turn in value)):
        raise ValueError("conversations is no list of two turns")
    if [turn.get("from") for turn in value] != ["human", "gpt"]:
        raise ValueError("the turns are not from human and gpt, in this order")
    question, answer = (turn.get("value") for turn in value)
    if not isinstance(question, str) or not isinstance(answer, str) or not answer.strip():
        raise ValueError("a turn's value is no text, or the answer is empty")
    if max(len(question), len(answer)) > _MAX_TEXT_LENGTH:
        raise ValueError(f"question or answer is longer than {_MAX_TEXT_LENGTH} characters")
    return question.removeprefix(_MARK).removeprefix("\n"), answer


def _merge(video: str, records: Iterator[_Record]) -> Candidate | Problem:
    """One clip of all records of a video; the same record in several files counts once."""
    stem = PurePosixPath(video).stem
    clip_id = f"crashchat-{stem}"
    first: dict[Task, _Record] = {}
    splits: dict[Split, str] = {}
    signs: dict[bool, str] = {}
    source, origin = "", ""
    for record in records:
        source, origin = source or record.source, origin or record.origin
        told = first.setdefault(record.task, record)
        if record.split is not None:
            splits.setdefault(record.split, record.origin)
        signs.setdefault(_sign(record), record.origin)
        contradiction = _contradiction(record, told, source, splits, signs)
        if contradiction is not None:
            return Problem(clip_id, shorten(video), "bad_annotation", shorten(f"{record.origin}: {contradiction}"))
    label: Label = "crash" if True in signs else "normal"
    times = Times()
    if label == "crash":
        found = _times(first)
        if isinstance(found, str):
            return Problem(clip_id, shorten(video), "bad_annotation", shorten(found))
        times = found
    texts = {task: record.answer.strip() for task, record in first.items() if label == "crash"}
    return Candidate(
        origin=origin,
        clip_id=clip_id,
        video=video,
        label=label,
        source=source,
        times=times,
        recording_id=_recording_of(stem, source),
        published_split=next(iter(splits), None),
        description=texts.get("crash_description"),
        cause=texts.get("cause_reasoning"),
        prevention=texts.get("prevention_reasoning"),
        pairs=tuple(PublishedPair(task, record.question, record.answer) for task, record in _in_order(first)),
    )


def _recording_of(stem: str, source: str) -> str | None:
    """By the name of the file, where the record's source does not contradict it."""
    if source != _SOURCES.get(stem.split("_")[0]):
        return None
    numbered = _MM_AU.fullmatch(stem)
    if numbered is None:
        return recordings.d2_city(stem)
    name = recordings.cap if numbered[1] == "cap" else recordings.dada
    return name(int(numbered[2]), int(numbered[3]))


def _in_order(records: Mapping[Task, _Record]) -> list[tuple[Task, _Record]]:
    order = [task for task, _ in _PHRASES]
    return sorted(records.items(), key=lambda entry: order.index(entry[0]))


def _sign(record: _Record) -> bool:
    """Whether an answer says that there is a crash; one that says neither Yes nor No is taken as a contradiction."""
    if record.task in LOCALIZATION_TASKS:
        return True
    if record.task == "crash_recognition":
        return parse_recognition(record.answer) is not False
    return record.answer.strip().lower().rstrip(".") != NEGATIVE_ANSWERS[record.task].lower().rstrip(".")


def _contradiction(
    record: _Record, told: _Record, source: str, splits: Mapping[Split, str], signs: Mapping[bool, str]
) -> str | None:
    if record.task == "crash_recognition" and parse_recognition(record.answer) is None:
        return f"the answer to crash_recognition is neither Yes nor No: {record.answer[:80]!r}"
    if record.answer != told.answer:
        return f"{record.task} is answered {record.answer[:80]!r} here and {told.answer[:80]!r} in {told.origin}"
    if record.source != source:
        return f"the source is {record.source!r} here and {source!r} before"
    if len(splits) > 1:
        return f"the video is in two splits: {' and '.join(f'{split} ({at})' for split, at in splits.items())}"
    if len(signs) > 1:
        return f"a crash according to {signs[True]}, none according to {signs[False]}"
    return None


def _times(records: Mapping[Task, _Record]) -> Times | str:
    """The times in the answers of the localization tasks, or what is wrong with them."""
    start_s = end_s = pre_crash_s = None
    for task in LOCALIZATION_TASKS:
        if (record := records.get(task)) is None:
            continue
        answer = record.answer.strip()
        interval = parse_interval(answer) if len(answer) <= _MAX_TIME_LENGTH else None
        point = parse_point(answer) if len(answer) <= _MAX_TIME_LENGTH else None
        if task == "crash_localization" and interval is not None:
            start_s, end_s = interval
        elif task == "pre_crash_localization" and point is not None:
            pre_crash_s = point
        else:
            return f"{record.origin}: no time in the answer to {task}: {answer[:80]!r}"
    return Times(pre_crash_start_s=pre_crash_s, crash_start_s=start_s, crash_end_s=None if end_s == start_s else end_s)

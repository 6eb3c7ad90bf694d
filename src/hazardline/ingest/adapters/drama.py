"""Reads DRAMA (arXiv 2209.10767): images of Tokyo's streets with what is at risk in them, `integrated_output_v2.json`.

The image of a row is the last frame of its clip, named by `s3_fileUrl`. From `combined/` on the address is the path
below the folder: `https://.../drama/combined/titan/clip_305_000786/frame_000786.png` is to be found at
`combined/titan/clip_305_000786/frame_000786.png`. Each image is a clip of one frame, labelled `near_miss` where Risk is
Yes and `normal` where it is No. All clips of one drive (`titan/clip_305`) share a recording. "N/A" is how DRAMA writes
an absent value. Boxes (`geometry`) are checked and not kept.

`classification` is HazardNet's (arXiv 2502.20572), where each of its fields follows from the row without a guess. The
paper does not say how it made its five actions of DRAMA's eight; here `(must) Stop`, `Slow down` and `Yield` are taken
as Must Stop, Carefully Slow Down and Yield, and a risk with another suggestion, with another scene than HazardNet's
three or without an agent has no classification. Where there is no risk, agent and action are N/A.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from hazardline import recordings
from hazardline.errors import UserError
from hazardline.hazardnet import FIELDS, format_classification
from hazardline.ingest.adapter import Candidate, Problem, shorten
from hazardline.ingest.config import SourceConfig
from hazardline.ingest.json_items import JsonItem, read_items
from hazardline.ingest.place import Place

FILE_NAME = "integrated_output_v2.json"
SUGGESTION = "Suggestions (to the ego car)"
WHAT = f"DRAMA's {FILE_NAME}: a list of objects with s3_fileUrl, Risk and so on"
_NOT_APPLICABLE = "N/A"
_ROOT = "combined/"
_MAX_PATH_LENGTH, _MAX_TEXT_LENGTH, _MAX_PIXELS = 400, 10_000, 100_000
_ACTIONS: Mapping[str, str] = {"stop": "Must Stop", "slow down": "Carefully Slow Down", "yield": "Yield"}
_AGENTS: Mapping[str, str] = {"Pedestrian": "pedestrian", "Cyclist": "cyclist", "Vehicle": "vehicle"}
_RISKS = (*_AGENTS, "Infrastructure")
_DRIVE = re.compile(r"(clip_\d+)_\d+", re.ASCII)
_REMARK = re.compile(r"\([^()]*\)")


class DramaAdapter:
    """A folder with DRAMA's annotation and images."""

    def __init__(self, place: Place, config: SourceConfig) -> None:
        """Take the place; the annotation is read by `candidates`."""
        self._place = place

    def candidates(self) -> Iterator[Candidate | Problem]:
        """One a row, in the order of the file."""
        path = self._place.file(FILE_NAME)
        if path is None:
            raise UserError(f"{self._place.name}: no {FILE_NAME} here; expected DRAMA's annotation beside combined/")
        for item in read_items(path, WHAT):
            yield _candidate(item)


def risk_of(row: Mapping[str, Any]) -> bool:
    """Whether a row names a risk.

    Raises:
        ValueError: Risk is neither Yes nor No.
    """
    said = row.get("Risk")
    if said not in ("Yes", "No"):
        raise ValueError(f"Risk is neither Yes nor No: {_shown(said)}")
    return bool(said == "Yes")


def image_of(row: Mapping[str, Any]) -> PurePosixPath:
    """The path of a row's image below the folder.

    Raises:
        ValueError: s3_fileUrl names no image below `combined/`.
    """
    address = row.get("s3_fileUrl")
    if not isinstance(address, str) or len(address) > _MAX_PATH_LENGTH:
        raise ValueError(f"s3_fileUrl is no text of at most {_MAX_PATH_LENGTH} characters: {_shown(address)}")
    _, root, path = address.partition("?")[0].partition(_ROOT)
    if not path.strip("/"):
        raise ValueError(f"s3_fileUrl names no image below {_ROOT}: {_shown(address)}")
    return PurePosixPath(root + path.strip("/"))


def recording_of(image: PurePosixPath) -> str:
    """The drive that an image's clip was cut from: the number of `clip_305_000786` with the folder above."""
    folder = image.parent
    drive = _DRIVE.fullmatch(folder.name)
    above = folder.parent.as_posix().removeprefix(_ROOT.rstrip("/")).strip("/")
    return recordings.drama(f"{above}/{drive[1] if drive else folder.name}")


def _candidate(item: JsonItem) -> Candidate | Problem:
    origin, image = f"{FILE_NAME}[{item.number}]", None
    try:
        if item.fault is not None:
            raise ValueError(item.fault)
        if not isinstance(item.value, dict):
            raise ValueError("a row is an object")
        image = image_of(item.value)
        return _annotated(origin, image, item.value)
    except ValueError as error:
        clip_id = origin if image is None else _clip_id(image)
        return Problem(shorten(clip_id), shorten(str(image or "")), "bad_annotation", shorten(f"{origin}: {error}"))


def _clip_id(image: PurePosixPath) -> str:
    return f"drama-{(image.parent / image.stem).as_posix().removeprefix(_ROOT).replace('/', '-')}"


def _annotated(origin: str, image: PurePosixPath, row: Mapping[str, Any]) -> Candidate:
    is_risk = risk_of(row)
    agent = _text(row, "Agent-classifier") or _NOT_APPLICABLE
    _check_geometry(row.get("geometry"))
    return Candidate(
        origin=origin,
        clip_id=_clip_id(image),
        video=image.as_posix(),
        label="near_miss" if is_risk else "normal",
        source="drama",
        recording_id=recording_of(image),
        location="Tokyo",
        agents=(_AGENTS[agent],) if agent in _AGENTS else (),
        description=_text(row, "Caption"),
        classification=classification_of(row),
    )


def _text(row: Mapping[str, Any], column: str) -> str | None:
    """A column's text, None for an absent one."""
    value = row.get(column)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > _MAX_TEXT_LENGTH:
        raise ValueError(f"{column} is no text of at most {_MAX_TEXT_LENGTH} characters: {_shown(value)}")
    text = value.strip()
    return None if text in ("", _NOT_APPLICABLE) else text


def _shown(value: Any) -> str:
    """A value in a message; of lists and objects only the kind, for they may be deep."""
    return repr(value[:80]) if isinstance(value, str) else type(value).__name__


def _check_geometry(value: Any) -> None:
    """Nothing, or the four corners of a box.

    Raises:
        ValueError: something else.
    """
    if value is None or value == _NOT_APPLICABLE or value == []:
        return
    if not isinstance(value, list) or len(value) != 4:
        raise ValueError("geometry is no list of four corners")
    for corner in value:
        numbers = corner if isinstance(corner, list) and len(corner) == 2 else [None]
        if not all(isinstance(number, int | float) and abs(number) <= _MAX_PIXELS for number in numbers):
            raise ValueError("geometry has a corner that is no pair of pixels")


def classification_of(row: Mapping[str, Any]) -> str | None:
    """HazardNet's four fields, or None where a row's words have no exact counterpart among them.

    Raises:
        ValueError: a field is of another type, or Risk says neither.
    """
    is_risk, agent = risk_of(row), _text(row, "Agent-classifier") or _NOT_APPLICABLE
    scenes = {name.lower(): name for name in FIELDS["SceneClassification"]}
    scene = scenes.get((_text(row, "Scene Classifier") or "").lower())
    action = _ACTIONS.get(_REMARK.sub("", _text(row, SUGGESTION) or "").strip().lower())
    if scene is None or (is_risk and (action is None or agent not in _RISKS)):
        return None
    return format_classification(
        {
            "SceneClassification": scene,
            "AgentClassification": agent if is_risk else _NOT_APPLICABLE,
            "SuggestedAction": action if is_risk and action else _NOT_APPLICABLE,
            "IsThereRisk": "Yes" if is_risk else "No",
        }
    )

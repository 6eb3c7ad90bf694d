"""The labeling interface as Label Studio's XML (`config.xml`)."""

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from hazardline.hazardnet import FIELDS
from hazardline.review.controls import CRASH, PRE_CRASH, TIMES, choices_of, correction_name, kind_of, media_name
from hazardline.suites import CRASHCHAT, Suite
from hazardline.tasks import Task

_COLOURS = {PRE_CRASH: "#b8860b", CRASH: "#b3261e"}


def labeling_config(suite: Suite) -> str:
    """One interface for every clip of a suite: the video or image, its timeline, and a part for each task."""
    view = Element("View")
    media = media_name(suite)
    if suite is CRASHCHAT:
        SubElement(view, "Video", name=media, value=f"${media}", frameRate="$fps", timelineHeight="120")
        _header(view, "First sign of the crash (one frame), and the crash from its first to its last frame")
        labels = SubElement(view, "TimelineLabels", name=TIMES, toName=media)
        for value, colour in _COLOURS.items():
            SubElement(labels, "Label", value=value, background=colour)
    else:
        SubElement(view, "Image", name=media, value=f"${media}", zoom="true")
    for task in suite.tasks:
        if kind_of(task) == "times":
            continue
        part = SubElement(view, "View", style="margin-top: 1.2em; border-top: 1px solid #8888; padding-top: .4em")
        _header(part, task.replace("_", " "))
        SubElement(part, "Text", name=f"{task}_question", value=f"${task}_question")
        if kind_of(task) == "text":
            _text_part(part, task, media)
        else:
            _choices_part(part, suite, task, media)
    indent(view)
    return tostring(view, encoding="unicode") + "\n"


def _header(parent: Element, text: str) -> None:
    SubElement(parent, "Header", value=text, size="5")


def _choices_part(parent: Element, suite: Suite, task: Task, media: str) -> None:
    names = tuple(FIELDS) if kind_of(task) == "fields" else (task,)
    for name in names:
        if len(names) > 1:
            _header(parent, name)
        _choices(parent, name, choices_of(suite)[name], media)


def _text_part(parent: Element, task: Task, media: str) -> None:
    SubElement(parent, "Text", name=f"{task}_answer", value=f"${task}_answer")
    _choices(parent, task, ("correct", "wrong", "unclear"), media)
    shown = SubElement(parent, "View", visibleWhen="choice-selected", whenTagName=task, whenChoiceValue="wrong")
    SubElement(
        shown,
        "TextArea",
        name=correction_name(task),
        toName=media,
        placeholder="the right answer",
        maxSubmissions="1",
        editable="true",
        rows="3",
    )


def _choices(parent: Element, name: str, values: tuple[str, ...], media: str) -> None:
    choices = SubElement(parent, "Choices", name=name, toName=media, choice="single", showInline="true")
    for value in values:
        SubElement(choices, "Choice", value=value)

"""The annotators, by suite and by the name that a recipe gives them."""

from collections.abc import Callable

from hazardline.suites import CRASHCHAT, HAZARDNET
from hazardline.synthesize import deterministic, deterministic_images
from hazardline.synthesize.pair import Annotation, SceneRow
from hazardline.tasks import PromptSet

Annotator = Callable[[SceneRow, str, PromptSet], Annotation]
"""A scenes row, its split and the fixed questions in; question-answer pairs out."""

ANNOTATORS: dict[str, dict[str, Annotator]] = {
    CRASHCHAT.name: {deterministic.NAME: deterministic.annotate},
    HAZARDNET.name: {deterministic.NAME: deterministic_images.annotate},
}

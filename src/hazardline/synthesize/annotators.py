"""The annotators, by the name that a recipe gives them."""

from collections.abc import Callable

from hazardline.synthesize import deterministic
from hazardline.synthesize.pair import Annotation, SceneRow
from hazardline.tasks import PromptSet

Annotator = Callable[[SceneRow, str, PromptSet], Annotation]
"""A scenes row, its split and the questions in; question-answer pairs out."""

ANNOTATORS: dict[str, Annotator] = {deterministic.NAME: deterministic.annotate}

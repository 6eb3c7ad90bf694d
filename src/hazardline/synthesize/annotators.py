"""The annotators by the name that a recipe gives them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hazardline.progress import Reporter
from hazardline.suites import CRASHCHAT, HAZARDNET, suite_of
from hazardline.synthesize import deterministic, deterministic_images
from hazardline.synthesize.config import SynthesizeConfig
from hazardline.synthesize.document import EndpointReport
from hazardline.synthesize.from_records import PublishedPairs
from hazardline.synthesize.pair import Annotation, Clip, SceneRow
from hazardline.tasks import PromptSet


@dataclass(frozen=True)
class AnnotatorReport:
    """What an annotator says of itself: published records of unknown clips, an endpoint's figures, a fault."""

    num_unused_records: int = 0
    endpoint: EndpointReport | None = None
    fault: str | None = None


class Annotator(Protocol):
    """Writes question-answer pairs about clips."""

    def annotate(self, clips: Iterable[Clip]) -> Iterator[tuple[Clip, Annotation]]:
        """Each clip with what was written about it, in the order of the clips, without holding many of them."""
        ...

    def report(self) -> AnnotatorReport:
        """What it says of itself when all clips are done."""
        ...


_RULES: dict[str, Callable[[SceneRow, str, PromptSet], Annotation]] = {
    CRASHCHAT.name: deterministic.annotate,
    HAZARDNET.name: deterministic_images.annotate,
}
"""The deterministic annotator of each suite: a scenes row, its split and the fixed questions in."""


class Deterministic:
    """What the annotation itself says, clip by clip."""

    def __init__(self, prompts: PromptSet) -> None:
        """Annotate for the suite of a prompt version."""
        self._prompts = prompts
        self._rule = _RULES[suite_of(prompts.version).name]

    def annotate(self, clips: Iterable[Clip]) -> Iterator[tuple[Clip, Annotation]]:
        """See `Annotator`."""
        for clip in clips:
            yield clip, self._rule(clip.scene, clip.split, self._prompts)

    def report(self) -> AnnotatorReport:
        """Nothing."""
        return AnnotatorReport()


class Published:
    """The data set's own pairs, word for word."""

    def __init__(self, folder: Path, prompts: PromptSet) -> None:
        """Read what ingest wrote into a folder."""
        self._records = PublishedPairs(folder, suite_of(prompts.version), prompts)

    def annotate(self, clips: Iterable[Clip]) -> Iterator[tuple[Clip, Annotation]]:
        """See `Annotator`."""
        return self._records.annotate(clips)

    def report(self) -> AnnotatorReport:
        """How many records were of no use."""
        return AnnotatorReport(num_unused_records=self._records.num_unused)


def annotator_of(
    config: SynthesizeConfig, prompts: PromptSet, inputs: Mapping[str, Path], reporter: Reporter
) -> Annotator:
    """The annotator that a recipe names.

    Raises:
        UserError: the published pairs cannot be read, or the endpoint has no address or key.
    """
    if config.annotator == "published":
        return Published(inputs["ingest"], prompts)
    if config.endpoint is not None:
        from hazardline.synthesize.endpoint.annotator import EndpointAnnotator

        return EndpointAnnotator(config.endpoint, prompts, reporter)
    return Deterministic(prompts)

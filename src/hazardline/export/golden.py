"""The clips or images that travel in a bundle: a device answers them to prove that it runs it as the exporter did."""

from collections.abc import Sequence
from pathlib import Path

from hazardline.device.manifest import GOLDEN_NAME, GoldenClip, GoldenSet
from hazardline.device.runtime import ClipAnswers
from hazardline.evaluate.testset import Clip
from hazardline.export.answering import answer_plainly, worker_pool
from hazardline.export.config import GoldenConfig
from hazardline.files import write_atomic
from hazardline.progress import Reporter
from hazardline.suites import Suite


def add_golden_clips(
    folder: Path, clips: Sequence[Clip], suite: Suite, config: GoldenConfig, num_workers: int, reporter: Reporter
) -> GoldenSet:
    """Choose clips, copy them into a bundle, and write down what the bundle answers.

    Args:
        folder: bundle with its manifest.
        clips: to choose from; half of the first candidates show a hazard.
        suite: what they are asked.
        config: how many.
        num_workers: processes that answer.
        reporter: progress.
    """
    candidates = alternating(clips, suite, config.num_candidates)
    reporter.phase("golden clips", len(candidates))
    answered = []
    with worker_pool(folder, None, num_workers) as pool:
        for clip, said in zip(candidates, pool.map(answer_plainly, [c.video for c in candidates]), strict=True):
            answered.append((clip, said))
            reporter.advance()
    chosen = []
    for number, (clip, said) in enumerate(_surest(answered, suite, config.num_clips)):
        path = f"golden/{number}{_suffix(clip.video)}"
        write_atomic(folder / path, clip.video.read_bytes())
        chosen.append(GoldenClip(path=path, is_crash=shows_hazard(clip, suite), answers=said.answers))
    found = GoldenSet(min_equal_share=config.min_equal_share, key_task=suite.key_task, clips=tuple(chosen))
    found.write(folder / GOLDEN_NAME)
    return found


def shows_hazard(clip: Clip, suite: Suite) -> bool:
    """Whether the reference answer says that there is a crash, or a risk."""
    return suite.says_yes(clip.references[suite.key_task])


def alternating(clips: Sequence[Clip], suite: Suite, num_wanted: int) -> list[Clip]:
    """The first clips with and without a hazard in turn, one with it first; what is left where one kind runs out.

    Images that no classification fits (a highway) are no candidates: a device asks nothing else.
    """
    asked = [clip for clip in clips if suite.key_task in clip.references]
    hazards = [clip for clip in asked if shows_hazard(clip, suite)]
    others = [clip for clip in asked if not shows_hazard(clip, suite)]
    paired = [clip for pair in zip(hazards, others, strict=False) for clip in pair]
    shorter = min(len(hazards), len(others))
    return [*paired, *hazards[shorter:], *others[shorter:]][:num_wanted]


def _surest(
    answered: Sequence[tuple[Clip, ClipAnswers]], suite: Suite, num_wanted: int
) -> list[tuple[Clip, ClipAnswers]]:
    """Half with the answer Yes (all passes run), half without, the surest of each; in the order of clip ids."""

    def sureness(item: tuple[Clip, ClipAnswers]) -> tuple[float, str]:
        clip, said = item
        assert said.sureness is not None, "all tasks were asked"
        return -said.sureness, clip.clip_id

    said_yes = sorted((item for item in answered if suite.says_yes(item[1].answers[suite.key_task])), key=sureness)
    others = sorted((item for item in answered if not suite.says_yes(item[1].answers[suite.key_task])), key=sureness)
    num_yes = min(len(said_yes), max((num_wanted + 1) // 2, num_wanted - len(others)))
    chosen = said_yes[:num_yes] + others[: num_wanted - num_yes]
    return sorted(chosen, key=lambda item: item[0].clip_id)


def _suffix(video: Path) -> str:
    suffix = video.suffix.lower()
    return suffix if suffix.isascii() and suffix[1:].isalnum() else ".mp4"

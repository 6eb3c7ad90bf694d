"""The clips that travel in a bundle: a device answers them to prove that it runs the bundle as the exporter did."""

from collections.abc import Sequence
from pathlib import Path

from hazardline.device.manifest import GOLDEN_NAME, GoldenClip, GoldenSet
from hazardline.device.runtime import ClipAnswers
from hazardline.evaluate.testset import Clip
from hazardline.export.answering import answer_plainly, worker_pool
from hazardline.export.config import GoldenConfig
from hazardline.files import write_atomic
from hazardline.progress import Reporter
from hazardline.tasks import parse_recognition


def add_golden_clips(
    folder: Path, clips: Sequence[Clip], config: GoldenConfig, num_workers: int, reporter: Reporter
) -> GoldenSet:
    """Choose clips, copy them into a bundle, and write down what the bundle answers.

    Args:
        folder: bundle with its manifest.
        clips: to choose from; half of the first candidates are crashes.
        config: how many.
        num_workers: processes that answer.
        reporter: progress.
    """
    candidates = alternating(clips, config.num_candidates)
    reporter.phase("golden clips", len(candidates))
    answered = []
    with worker_pool(folder, None, num_workers) as pool:
        for clip, said in zip(candidates, pool.map(answer_plainly, [c.video for c in candidates]), strict=True):
            answered.append((clip, said))
            reporter.advance()
    chosen = []
    for number, (clip, said) in enumerate(_surest(answered, config.num_clips)):
        path = f"golden/{number}{_suffix(clip.video)}"
        write_atomic(folder / path, clip.video.read_bytes())
        chosen.append(GoldenClip(path=path, is_crash=clip.is_crash, answers=said.answers))
    found = GoldenSet(min_equal_share=config.min_equal_share, clips=tuple(chosen))
    found.write(folder / GOLDEN_NAME)
    return found


def alternating(clips: Sequence[Clip], num_wanted: int) -> list[Clip]:
    """The first clips of both kinds in turn, a crash first; the rest of one kind where the other runs out."""
    crashes = [clip for clip in clips if clip.is_crash]
    others = [clip for clip in clips if not clip.is_crash]
    paired = [clip for pair in zip(crashes, others, strict=False) for clip in pair]
    shorter = min(len(crashes), len(others))
    return [*paired, *crashes[shorter:], *others[shorter:]][:num_wanted]


def _surest(answered: Sequence[tuple[Clip, ClipAnswers]], num_wanted: int) -> list[tuple[Clip, ClipAnswers]]:
    """Half with the answer Yes (both passes run), half without, each the largest log-odds; in the order of clip ids."""

    def sureness(item: tuple[Clip, ClipAnswers]) -> tuple[float, str]:
        clip, said = item
        assert said.crash_log_odds is not None, "all tasks were asked"
        return -abs(said.crash_log_odds), clip.clip_id

    said_yes = sorted((i for i in answered if parse_recognition(i[1].answers["crash_recognition"])), key=sureness)
    others = sorted((i for i in answered if not parse_recognition(i[1].answers["crash_recognition"])), key=sureness)
    num_yes = min(len(said_yes), max((num_wanted + 1) // 2, num_wanted - len(others)))
    chosen = said_yes[:num_yes] + others[: num_wanted - num_yes]
    return sorted(chosen, key=lambda item: item[0].clip_id)


def _suffix(video: Path) -> str:
    suffix = video.suffix.lower()
    return suffix if suffix.isascii() and suffix[1:].isalnum() else ".mp4"

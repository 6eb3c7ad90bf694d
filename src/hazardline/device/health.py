"""The health check of a device: a bundle must answer its golden clips, on this device, in a process of its own.

A bundle carries clips and the answers that its exporter got from the same files (`golden/golden.json`). The process is
the one that the service would run, so a bundle that crashes, hangs or eats the memory is found out without harm to the
updater. This module knows nothing of models: it starts a command and judges its report.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from hazardline.device.config import HealthLimits
from hazardline.device.manifest import GOLDEN_NAME, GoldenClip, GoldenSet
from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import write_json
from hazardline.tasks import Task

PROBE_COMMAND = (sys.executable, "-m", "hazardline.device.probe")
_TAIL_CHARACTERS = 2000


class ClipAnswer(Document):
    """What a bundle answered to a clip."""

    clip: str
    answers: dict[str, str]
    latency_s: float


class ProbeReport(Document):
    """What a probe process reports of a bundle."""

    clips: tuple[ClipAnswer, ...]
    load_s: float
    peak_memory_mb: float
    """Peak resident memory of the process, MB (10^6 bytes)."""
    nodes_by_provider: dict[str, int] = Field(default_factory=dict)
    """Graph nodes by the execution provider that really ran them."""


@dataclass(frozen=True)
class HealthResult:
    """Whether a bundle may run, every reason why not, and what was measured."""

    passed: bool
    reasons: tuple[str, ...] = ()
    report: ProbeReport | None = None


class ProbeError(UserError):
    """A bundle did not answer: it crashed, hung, or said something that is no report."""


def probe(bundle: Path, clips: Sequence[Path], timeout_s: float, command: Sequence[str] = PROBE_COMMAND) -> ProbeReport:
    """Let a bundle answer clips in a process of its own.

    Args:
        bundle: folder of a verified bundle.
        clips: videos.
        timeout_s: after which the process is killed.
        command: what to start; it gets `BUNDLE REQUEST REPORT`: a JSON list of clips, and the file to report to.

    Raises:
        ProbeError: it failed, hung or wrote no report.
    """
    with tempfile.TemporaryDirectory(prefix="hazardline-probe-") as name:
        request, answer = Path(name) / "request.json", Path(name) / "report.json"
        write_json(request, [str(clip) for clip in clips])
        try:
            done = subprocess.run(  # noqa: S603 - the command is the caller's, an argument list without a shell
                [*command, str(bundle), str(request), str(answer)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ProbeError(f"no answer within {timeout_s:g} s") from None
        if done.returncode != 0:
            tail = done.stderr.decode(errors="replace").strip()[-_TAIL_CHARACTERS:]
            raise ProbeError(f"the process ended with status {done.returncode}: {tail}")
        try:
            report = ProbeReport.read(answer)
        except UserError as error:
            raise ProbeError(f"the process left no report: {error}") from None
    if [answer.clip for answer in report.clips] != [str(clip) for clip in clips]:
        raise ProbeError("the report does not answer the clips that were asked")
    return report


def check_health(
    bundle: Path, limits: HealthLimits, command: Sequence[str] = PROBE_COMMAND, max_clips: int | None = None
) -> HealthResult:
    """Let a bundle answer its golden clips, and judge.

    Args:
        bundle: folder of a verified bundle.
        limits: what must hold.
        command: as in `probe`.
        max_clips: only so many clips, for a short check.
    """
    try:
        golden = GoldenSet.read(bundle / GOLDEN_NAME)
        clips = golden.clips[:max_clips]
        report = probe(bundle, [bundle / clip.path for clip in clips], limits.timeout_s, command)
    except UserError as error:
        return HealthResult(False, (str(error),))
    return judge(report, clips, golden.min_equal_share, limits, golden.key_task)


def judge(
    report: ProbeReport, golden: Sequence[GoldenClip], min_equal_share: float, limits: HealthLimits, key_task: Task
) -> HealthResult:
    """Hold a report against the answers of the exporter and the limits of the device.

    Every answer to the key task must be the exporter's, and of all answers at least `min_equal_share`. An answer that
    is missing, or that the exporter did not get, counts as a wrong one.
    """
    reasons = []
    num_equal = num_answers = 0
    for said, expected in zip(report.clips, golden, strict=True):
        tasks = {*said.answers, *map(str, expected.answers)}
        wanted = {str(task): answer for task, answer in expected.answers.items()}
        equal = {task for task in tasks if said.answers.get(task) == wanted.get(task)}
        num_equal, num_answers = num_equal + len(equal), num_answers + len(tasks)
        if key_task not in equal:
            answer = said.answers.get(key_task)
            reasons.append(f"{expected.path}: {key_task} answer {answer!r}, the exporter got another one")
    if num_equal < min_equal_share * num_answers:
        reasons.append(f"{num_equal} of {num_answers} answers are the exporter's, expected {min_equal_share:.0%}")
    slowest_s = max(clip.latency_s for clip in report.clips)
    if slowest_s > limits.max_answer_s:
        reasons.append(f"the slowest clip took {slowest_s:.2f} s, allowed are {limits.max_answer_s:g} s")
    if report.peak_memory_mb > limits.max_memory_mb:
        reasons.append(f"peak memory is {report.peak_memory_mb:.0f} MB, allowed are {limits.max_memory_mb:g} MB")
    return HealthResult(not reasons, tuple(reasons), report)


def read_request(path: Path) -> list[Path]:
    """The clips that a probe process is asked about."""
    return [Path(clip) for clip in json.loads(path.read_bytes())]

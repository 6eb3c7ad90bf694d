"""`hazardline device infer`: the answers of a bundle to one clip or image, with what they cost."""

import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hazardline.device.runtime import Bundle, ClipAnswers
from hazardline.hazardnet import CLASSIFICATION, parse_classification
from hazardline.tasks import Task

_NOT_ASKED = "(not asked: recognition did not say Yes)"


@dataclass(frozen=True)
class Inference:
    """Answers, and what they cost this process."""

    bundle_name: str
    bundle_version: str
    tasks: tuple[Task, ...]
    """What a device asks."""
    said: ClipAnswers
    load_s: float
    peak_memory_mb: float
    """Largest resident memory of the process so far, MB (10^6 bytes)."""
    nodes_by_provider: dict[str, int]

    def data(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "bundle": {"name": self.bundle_name, "version": self.bundle_version},
            "answers": {task: self.said.answers.get(task) for task in self.tasks},
            **({} if self.said.crash_log_odds is None else {"crash_log_odds": self.said.crash_log_odds}),
            "latency_ms": {
                "load": round(self.load_s * 1e3, 1),
                **{name.removesuffix("_s"): round(value * 1e3, 1) for name, value in asdict(self.said.timings).items()},
            },
            "num_frames": self.said.num_frames,
            "num_prefix_tokens": self.said.num_prefix_tokens,
            "num_answer_tokens": self.said.num_answer_tokens,
            "peak_memory_mb": round(self.peak_memory_mb, 1),
            "nodes_by_provider": self.nodes_by_provider,
        }

    def table(self) -> str:
        """For people."""
        data = self.data()
        rows = [row for task in self.tasks for row in self._rows(task)]
        width = max(len(name) for name, _ in rows)
        lines = [f"bundle {self.bundle_name} {self.bundle_version}"]
        lines += [f"  {name:<{width}}  {text}" for name, text in rows]
        latency = ", ".join(f"{name} {value:.0f} ms" for name, value in data["latency_ms"].items())
        lines.append(f"latency: {latency}")
        lines.append(
            f"{self.said.num_frames} frames, {self.said.num_prefix_tokens} prefix tokens, "
            f"{self.said.num_answer_tokens} answer tokens; peak memory {data['peak_memory_mb']:.0f} MB; "
            + ", ".join(f"{count} graph nodes on {name}" for name, count in self.nodes_by_provider.items())
        )
        return "\n".join(lines)

    def _rows(self, task: Task) -> list[tuple[str, str]]:
        """Names and texts of an answer: one, or the fields of a classification that can be read."""
        answer = self.said.answers.get(task)
        fields = parse_classification(answer) if answer and task == CLASSIFICATION else None
        return list(fields.items()) if fields else [(task, answer or _NOT_ASKED)]


def infer(bundle: Path, clip: Path) -> Inference:
    """Open a bundle and answer its tasks about a clip.

    Args:
        bundle: folder of a bundle.
        clip: video or image file.

    Raises:
        UserError: the bundle is incomplete, or the video cannot be decoded.
    """
    begin = time.perf_counter()
    opened = Bundle.open(bundle)
    load_s = time.perf_counter() - begin
    said = opened.answer(clip)
    return Inference(
        bundle_name=opened.manifest.name,
        bundle_version=opened.manifest.version,
        tasks=opened.tasks,
        said=said,
        load_s=load_s,
        peak_memory_mb=peak_memory_mb(),
        nodes_by_provider=opened.nodes_by_provider(),
    )


def infer_command(bundle: Path, clip: Path, as_json: bool) -> int:
    """Answer, print, and return the exit status. UserError as in `infer`."""
    found = infer(bundle, clip)
    print(json.dumps(found.data(), indent=2, ensure_ascii=False) if as_json else found.table())
    return 0


def peak_memory_mb(status: Path = Path("/proc/self/status")) -> float:
    """Largest resident memory of this process, MB (10^6 bytes).

    From Linux' own high-water mark, which begins anew when a program starts; `getrusage` would keep the mark of the
    process that started this one.
    """
    if status.is_file():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6

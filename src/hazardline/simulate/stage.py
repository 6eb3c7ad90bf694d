"""The simulate stage: scenes in, a native folder of clips with exact ground truth out."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hazardline.errors import UserError
from hazardline.files import write_jsonl
from hazardline.native import MANIFEST_NAME
from hazardline.progress import Reporter
from hazardline.simulate.config import SimulateConfig
from hazardline.simulate.scene import SceneName, SceneResult
from hazardline.simulate.workers import make_scenes

MAX_FAILED_SHARE = 0.02
"""A larger share of scenes that could not be made fails the stage."""


def run(config: SimulateConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    """Write `out/manifest.jsonl`, and `out/videos/<clip_id>.mp4` or `out/images/<clip_id>.png`.

    The bytes depend on the configuration except `num_workers`, and on nothing else.

    Raises:
        UserError: the renderer cannot start, or too many scenes could not be sampled.
    """
    names = [SceneName("pair", n) for n in range(config.num_pairs)]
    names += [SceneName("normal", n) for n in range(config.num_normal)]
    reporter.phase("scenes", len(names))
    (out / ("videos" if config.media == "video" else "images")).mkdir()
    made: dict[SceneName, SceneResult] = {}
    rejected: Counter[str] = Counter()
    failures: list[dict[str, Any]] = []
    for result in make_scenes(config, names, out):
        reporter.advance()
        if isinstance(result, SceneResult):
            rejected.update(result.rejected)
            if result.rows:
                made[result.name] = result
                continue
            reason = f"no sample fits ({_counts(result.rejected)})"
        else:
            reason = f"its worker died (exit code {result.exit_code})"
        where = f"{result.name.sort} {result.name.number}"
        failures.append({"scene": where, "family": result.family, "seed": result.seed, "reason": reason})
        reporter.note(f"scene {where} ({result.family}, seed {result.seed}) was given up: {reason}")
    failures.sort(key=lambda failure: str(failure["scene"]))
    if len(failures) > MAX_FAILED_SHARE * len(names):
        raise UserError(
            f"simulate: {len(failures)} of {len(names)} scenes could not be made (first: {failures[0]}); expected at "
            f"most {MAX_FAILED_SHARE:.0%}. Raise simulate.max_attempts, or name other simulate.families"
        )
    ordered = [made[name] for name in names if name in made]
    rows = [row for result in ordered for row in result.rows]
    write_jsonl(out / MANIFEST_NAME, rows)
    return {**_summary(rows), "scenes": len(made), "rejected": dict(sorted(rejected.items())), "failures": failures}


def _counts(rejected: Counter[str]) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in rejected.most_common())


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "clips": len(rows),
        "labels": dict(sorted(Counter(row["label"] for row in rows).items())),
        "scenarios": dict(sorted(Counter(row["scenario"] for row in rows).items())),
        "seconds": round(sum(truth["num_frames"] / truth["fps"] for row in rows if (truth := row["ground_truth"])), 1),
    }

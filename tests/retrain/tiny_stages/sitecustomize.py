"""Stages that take no time, around the real ones that retraining rests on: newdata, reevaluate, gate and register.

Footage is a folder with `clips.json`: how many clips there are, and how many test clips a model that is trained on them
answers wrongly. That number is the trained model's weights, so that a model has it wherever it is evaluated.
"""

import importlib.util
import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hazardline.champion
from hazardline import environment
from hazardline.datasets.content import ContentDigest
from hazardline.datasets.store import DatasetStore
from hazardline.evaluate.document import EVALUATION_NAME
from hazardline.files import sha256_tree
from hazardline.ingest.report import REPORT_NAME, IngestReport
from hazardline.stages import Stage
from hazardline.tables import ASSIGNMENT, CLIP_SCORES, PREDICTIONS, QA, write_table
from hazardline.tasks import TRAINED_ON
from tests.gate.evaluations import clip_scores, evaluation, identity
from tests.newdata.populations import population, write_version

REAL = ("newdata", "reevaluate", "gate", "register")
REAL_RUN_FUNCTION = Stage.run_function
CHAMPION = hazardline.champion.CHAMPION


def _tiny_line() -> Any:
    """The tiny stages of `tests/pipelines`, for all that retraining does not look at."""
    path = Path(__file__).parents[2] / "pipelines" / "tiny_stages" / "sitecustomize.py"
    spec = importlib.util.spec_from_file_location("tiny_line", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TINY = _tiny_line()
TINY_RUN_FUNCTION = Stage.run_function


def _ingest(config: Any, inputs: Mapping[str, Path], out: Path, reporter: Any) -> dict[str, Any]:
    from hazardline.ingest.versions import keep_version

    footage = json.loads((Path(config.root) / "clips.json").read_text())
    clips = population("clip", footage["num_clips"], seed=1)
    write_version(out, clips)
    content = ContentDigest()
    for clip in clips:
        content.add(clip.scene, [])
    counts: dict[str, Any] = {name: {} for name in ("by_source", "labels_by_source", "by_scenario", "by_reason")}
    report = IngestReport.parse(
        {
            "sources": [{"source": "native", "root": config.root}],
            "num_clips": len(clips),
            "num_quarantined": 0,
            "by_label": {"crash": len(clips)},
            "total_s": 1.0,
            "decoder": {"backend": "pyav", "reason": "tiny"},
            "dataset_digest": content.finish([]),
            **counts,
        },
        "tiny",
    )
    report.write(out / REPORT_NAME)
    keep_version(config, report, DatasetStore(environment.datasets_root()), out, reporter)
    return report.data()


def _split(config: Any, inputs: Mapping[str, Path], out: Path, reporter: Any) -> dict[str, Any]:
    write_table(ASSIGNMENT, out, [])
    summary: dict[str, Any] = TINY.BODIES["split"](config, out)
    return summary


def _synthesize(config: Any, inputs: Mapping[str, Path], out: Path, reporter: Any) -> dict[str, Any]:
    write_table(QA, out, [])
    summary: dict[str, Any] = TINY.BODIES["synthesize"](config, out)
    return summary


def _train(config: Any, inputs: Mapping[str, Path], out: Path, reporter: Any) -> dict[str, Any]:
    sources = IngestReport.read(inputs["ingest"] / REPORT_NAME).sources
    num_wrong = json.loads((Path(sources[0].root) / "clips.json").read_text())["num_wrong"]
    for branch in TRAINED_ON:
        (out / branch).mkdir()
        (out / branch / "adapter_config.json").write_text("{}")
        (out / branch / "adapter_model.safetensors").write_text(json.dumps([num_wrong, config.seed]))
    (out / "training.json").write_text("{}")
    summary: dict[str, Any] = TINY.BODIES["train"](config, out)
    return summary


def _evaluate(config: Any, inputs: Mapping[str, Path], out: Path, reporter: Any) -> dict[str, Any]:
    from hazardline.train.base import base_digest, base_folder

    num_wrong, _ = json.loads((inputs["train"] / "linguistic" / "adapter_model.safetensors").read_text())
    found = identity(IngestReport.read(inputs["ingest"] / REPORT_NAME).dataset_digest).model_copy(
        update={
            "base_digest": base_digest(base_folder(config.base)),
            "adapters_digest": {branch: sha256_tree(inputs["train"] / branch) for branch in TRAINED_ON},
        }
    )
    evaluation(identity=found).write(out / EVALUATION_NAME)
    write_table(CLIP_SCORES, out, clip_scores(num_wrong))
    write_table(PREDICTIONS, out, [])
    (out / "report.html").write_text("<!doctype html>")
    return {"num_test_clips": 400, "num_wrong": num_wrong}


BODIES = {"ingest": _ingest, "split": _split, "synthesize": _synthesize, "train": _train, "evaluate": _evaluate}


def _run_function(stage: Stage) -> Any:
    if stage.name == os.environ.get("TINY_FAILS"):
        raise RuntimeError(f"{stage.name} fails, as it was told")
    if stage.name == os.environ.get("TINY_SLEEPS"):
        time.sleep(600)
    if stage.name == "register":
        _arrange_promotion()
    if stage.name in BODIES:
        return BODIES[stage.name]
    return REAL_RUN_FUNCTION(stage) if stage.name in REAL else TINY_RUN_FUNCTION(stage)


def _arrange_promotion() -> None:
    """Just before the promotion: die, or wait until so many others are there as well."""
    import hazardline.register.stage as register

    promote = register.promote

    def arranged(*arguments: Any, **named: Any) -> Any:
        if os.environ.get("TINY_KILLED_BEFORE") == "promotion":
            os.kill(os.getpid(), signal.SIGKILL)
        if "TINY_MEET" in os.environ:
            meet = Path(os.environ["TINY_MEET"])
            (meet / str(os.getpid())).touch()
            give_up_at = time.monotonic() + 240
            while len(list(meet.iterdir())) < 2 and time.monotonic() < give_up_at:
                time.sleep(0.01)
        return promote(*arguments, **named)

    register.promote = arranged


Stage.run_function = _run_function  # type: ignore[method-assign]
hazardline.champion.CHAMPION = CHAMPION

"""Gives every stage a body that takes no time, in each process that has this folder on its path.

Python imports a module of this name when it starts. The documents are of the real forms, the numbers are not measured;
what is tried with them is the line itself: who runs, who reads whom, what is reused, what a closed gate leaves out.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hazardline.champion
from hazardline.evaluate.document import Estimate, Evaluation, Identity
from hazardline.files import sha256_file, write_json
from hazardline.gate.document import Decision, Reason
from hazardline.gate.policy import read_policy
from hazardline.release.document import ReleaseReport
from hazardline.split.findings import Finding
from hazardline.stages import Stage
from hazardline.synthesize.document import Synthesis
from hazardline.tables import PREDICTIONS, write_table

BUNDLE_FILE = "decoder.onnx"
IDENTITY = Identity(
    base_digest="x",
    adapters_digest={},
    test_data_digest="x",
    layout_digest="x",
    prompt_version="crashchat-short@1",
    code_commit="x",
)
FINDING = Finding(
    name="class_balance",
    severity="info",
    sentence="3 crashes",
    is_measured=True,
    effect=None,
    low=None,
    high=None,
    numbers={},
    remedy="",
)
LEAKAGE: dict[str, Any] = {
    "version": "leakage@2",
    "salt": "x",
    "group_by": [],
    "num_groups": 3,
    "splits": {"test": {"num_clips": 3, "num_groups": 3, "by_label": {"crash": 3}, "by_scenario": {}}},
    "neighbours": {
        "distance": 1.0,
        "num_pairs": 0,
        "num_mirrored": 0,
        "num_trimmed": 0,
        "num_uninformative": 0,
        "num_clips_in_largest_group": 1,
        "num_pairs_with_other_label": 0,
        "num_across_splits": 0,
    },
    "limit_auc": 0.6,
    "audited": {"num_clips": 3, "of_clips": 3, "is_sample": False},
    "findings": [FINDING.data()],
    "rows": [],
}


def _simulate(config: Any, out: Path) -> dict[str, Any]:
    return {"clips": 3}


def _ingest(config: Any, out: Path) -> dict[str, Any]:
    return {"num_clips": 3, "by_label": {"crash": 3}, "num_quarantined": 0}


def _split(config: Any, out: Path) -> dict[str, Any]:
    write_json(out / "leakage.json", LEAKAGE)
    return {}


def _synthesize(config: Any, out: Path) -> dict[str, Any]:
    counts: dict[str, Any] = {"num_clips": {"test": 3}, "num_pairs": 18, "rejected_share": 0.0}
    names: dict[str, Any] = {"annotator": "deterministic", "prompt_version": "x", "prompt_digest": "x"}
    Synthesis(**names, **counts, counts=[], unasked=[], rejected=[]).write(out / "synthesis.json")
    return {"num_pairs": 18}


def _train(config: Any, out: Path) -> dict[str, Any]:
    return {"branches": {"linguistic": {"num_steps": 4}, "perception": {"num_steps": 2}}}


def _evaluate(config: Any, out: Path) -> dict[str, Any]:
    (out / "report.html").write_text("<!doctype html>")
    answer = {"task": "crash_recognition", "prediction": "Yes", "asked": True, "reference": "Yes", "score": 1.0}
    write_table(PREDICTIONS, out, [{"model": "candidate", "clip_id": str(clip), **answer} for clip in range(3)])
    score = Estimate(value=0.5, low=0.4, high=0.6, n=3)
    metrics: Any = {model: {"recognition_macro_f1": score} for model in ("base", "constant", "candidate")}
    Evaluation(identity=IDENTITY, num_test_clips=3, counts={}, metrics=metrics, slices=[]).write(
        out / "evaluation.json"
    )
    return {"num_test_clips": 3}


def _gate(config: Any, out: Path) -> dict[str, Any]:
    (rule, *_) = read_policy(config.policy).rules
    passed = rule.kind == "test_clips" and rule.minimum <= 3
    sentence = f"3 test clips, {rule.minimum} wanted"
    Decision(
        passed=passed,
        policy_name="tiny@1",
        policy_digest="x",
        evaluation_digest="x",
        candidate=IDENTITY,
        champion_version=None,
        champion=None,
        reasons=(Reason(rule=rule, passed=passed, sentence=sentence, numbers={}),),
    ).write(out / "decision.json")
    return {"passed": passed, "reasons": [{"passed": passed, "sentence": sentence}]}


def _register(config: Any, out: Path) -> dict[str, Any]:
    return {"name": config.model_name, "version": 1, "aliases": ["candidate"]}


def _export(config: Any, out: Path) -> dict[str, Any]:
    write_json(out / "parity.json", {"passed": True})
    bundle = out / "bundle"
    bundle.mkdir()
    (bundle / BUNDLE_FILE).write_text("weights")
    file = {"path": BUNDLE_FILE, "sha256": sha256_file(bundle / BUNDLE_FILE), "size_bytes": 7}
    write_json(bundle / "manifest.json", {"name": "tiny", "version": "1", "files": [file]})
    return {}


def _release(config: Any, out: Path) -> dict[str, Any]:
    report = ReleaseReport(
        released=True, reason="released", model="tiny", channel="stable", version=1, repository="somewhere"
    )
    report.write(out / "release.json")
    return report.data()


def _device(config: Any, out: Path) -> dict[str, Any]:
    runs: dict[str, Any] = {"slot": "a", "version": 1}
    report = {
        "schema_version": "device-report@1",
        "outcome": {"status": "unchanged", "kind": "unchanged", "reason": "it runs that already", **runs},
        **runs,
        "answers": {"clip": {"crash_recognition": "Yes"}},
        "latency_s": {"clip": 0.1},
        "load_s": None,
        "peak_memory_mb": None,
        "nodes_by_provider": {},
    }
    write_json(out / "device.json", report)
    return report


def _champion(config: Any, out: Path) -> dict[str, Any]:
    return {}


def _nothing(config: Any, out: Path) -> dict[str, Any]:
    return {}


BODIES: dict[str, Callable[[Any, Path], dict[str, Any]]] = {
    "simulate": _simulate,
    "ingest": _ingest,
    "split": _split,
    "synthesize": _synthesize,
    "train": _train,
    "evaluate": _evaluate,
    "gate": _gate,
    "register": _register,
    "export": _export,
    "release": _release,
    "device": _device,
    "champion": _champion,
}


def _run_function(stage: Stage) -> Any:
    body = BODIES.get(stage.name, _nothing)

    def run(config: Any, inputs: Mapping[str, Path], out: Path, reporter: Any) -> dict[str, Any]:
        reporter.phase("work", 1)
        # What a stage was given stands in its output, so that a changed input changes the output.
        read = {name: sorted(path.name for path in folder.iterdir()) for name, folder in inputs.items()}
        (out / "read.txt").write_text(json.dumps({"config": config.data(), "read": read}, sort_keys=True))
        summary = body(config, out)
        reporter.advance()
        return summary

    return run


Stage.run_function = _run_function  # type: ignore[method-assign]
hazardline.champion.CHAMPION = Stage(name="champion", description="", is_cacheable=False)
Stage.code_digest = lambda stage: ""  # type: ignore[method-assign]

"""Crash clips with a real video, and a server that answers about them after a script of faults."""

import json
import re
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hazardline.files import sha256_bytes
from hazardline.progress import Reporter
from hazardline.synthesize.config import SynthesizeConfig
from hazardline.synthesize.stage import run
from tests.synthesize.chat_server import Answer, Answering, completion, texts
from tests.synthesize.scenes import scene, write_inputs
from tests.video_files import numbered_pictures, write_clip

KEY = "sk-of-the-test-0123456789"
SETTINGS: dict[str, Any] = {
    "model": "annotator",
    "usd_per_million_input": 2.5,
    "usd_per_million_output": 10.0,
    "budget_usd": 10.0,
    "max_tokens": 300,
    "tokens_per_image": 100,
    "timeout_s": 5.0,
    "requests_per_minute": 1e6,
    "tokens_per_minute": 1e9,
    "longest_wait_s": 0.05,
    "max_failed_share": 0.0,
}


def config(address: str, **changes: Any) -> SynthesizeConfig:
    endpoint = {**SETTINGS, "base_url": address, **changes}
    return SynthesizeConfig.parse({"annotator": "endpoint", "endpoint": endpoint}, "test")


def crashes(folder: Path, count: int, **changes: Any) -> dict[str, Path]:
    """Inputs of the stage: so many crashes (`c00` on) and one clip without."""
    video = write_clip(folder / "clip.mp4", numbered_pictures(30))
    rows = [
        scene(
            f"c{number:02}",
            sha256=sha256_bytes(f"{number}".encode()),
            video_uri=str(video),
            description=f"ego-car hits a car (c{number:02})",
            duration_s=3.0,
            width_px=64,
            height_px=48,
            **{"pre_crash_start_s": 1.0, "crash_start_s": 1.5, "crash_end_s": 2.0, **changes},
        )
        for number in range(count)
    ]
    return write_inputs(folder, [*rows, scene("n00", "near_miss", video_uri="/nowhere/n00.mp4")])


def run_stage(config: SynthesizeConfig, inputs: dict[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    out.mkdir()
    return run(config, inputs, out, reporter)


def good(about: str, **more: Any) -> dict[str, Any]:
    reply = {
        "description": "The ego car hits a car.",
        "cause": f"The driver of {about} was not attentive enough.",
        "prevention": "Drivers should keep a safe distance and watch the road ahead.",
        **more,
    }
    return completion(json.dumps(reply))


def scripted(
    faults: Mapping[str, Sequence[str]] | None = None, delay_s: float = 0.0, slow_s: float = 1.0, **more: Any
) -> Answering:
    """Answers about a clip with each of its faults in turn, then well."""
    left = {about: list(names) for about, names in (faults or {}).items()}
    lock = threading.Lock()

    def answering(body: dict[str, Any]) -> tuple[str, Answer]:
        found = re.search(r"\bc\d\d\b", texts(body))
        about = found[0] if found else "?"
        with lock:
            fault = left[about].pop(0) if left.get(about) else "none"
        time.sleep(slow_s if fault == "slow" else delay_s)
        return about, _answer(fault, about, more)

    return answering


def _answer(fault: str, about: str, more: dict[str, Any]) -> Answer:
    well = good(about, **more)
    return {
        "none": Answer(well),
        "slow": Answer(well),
        "busy": Answer({"error": {"message": "slow down"}}, 429, {"Retry-After": "0.02"}),
        "busy_long": Answer({"error": {"message": "come back tomorrow"}}, 429, {"Retry-After": "86400"}),
        "failing": Answer({"error": {"message": "oops"}}, 500),
        "bad_gateway": Answer(b"<html>no JSON</html>", 502),
        "cut_off": Answer(well, cut=50),
        "not_json": Answer(b'{"choices": [', 200),
        "wrong_schema": Answer(completion('{"description": "The ego car hits a car."}')),
        "prose": Answer(completion("I see a crash.")),
        "refused": Answer(completion(None, refusal="I cannot help with that.")),
        "filtered": Answer(completion("", "content_filter")),
        "truncated": Answer(completion('{"description": "The ego', "length")),
        "no_choices": Answer({**well, "choices": []}),
        "no_text": Answer(completion(None)),
        "no_usage": Answer({**well, "usage": None}),
        "key": Answer({"error": {"message": f"Incorrect API key provided: {KEY}"}}, 401),
        "key_in_request": Answer({"error": {"message": f"cannot take {KEY}"}}, 400),
        "no_model": Answer({"error": {"message": "no such model"}}, 404),
        "no_credit": Answer({"error": {"message": "quota", "code": "insufficient_quota"}}, 429),
    }[fault]

"""The verdict of the health check, and the process that it starts."""

import sys
from pathlib import Path

import pytest

from hazardline.device.config import HealthLimits
from hazardline.device.health import ClipAnswer, ProbeError, ProbeReport, check_health, judge, probe
from hazardline.device.manifest import GoldenClip
from tests.release.world import LIMITS, TINY_PROBE, write_bundle

CRASH = GoldenClip(
    path="golden/crash.mp4",
    is_crash=True,
    answers={"crash_recognition": "Yes", "cause_reasoning": "speeding.", "crash_localization": "1.0 - 2.0 seconds"},
)
NORMAL = GoldenClip(path="golden/normal.mp4", is_crash=False, answers={"crash_recognition": "No"})


def report(crash: dict[str, str], latency_s: float = 1.0, peak_memory_mb: float = 100.0) -> ProbeReport:
    clips = (
        ClipAnswer(clip="golden/crash.mp4", answers=crash, latency_s=latency_s),
        ClipAnswer(clip="golden/normal.mp4", answers={"crash_recognition": "No"}, latency_s=0.5),
    )
    return ProbeReport(clips=clips, load_s=0.1, peak_memory_mb=peak_memory_mb)


RIGHT = {"crash_recognition": "Yes", "cause_reasoning": "speeding.", "crash_localization": "1.0 - 2.0 seconds"}


@pytest.mark.parametrize(
    ("found", "min_equal_share", "reasons"),
    [
        (report(RIGHT), 1.0, []),
        (report({**RIGHT, "cause_reasoning": "rain."}), 0.75, []),
        (report({**RIGHT, "cause_reasoning": "rain."}), 0.8, ["3 of 4 answers are the exporter's, expected 80%"]),
        (report({**RIGHT, "crash_recognition": "No"}), 0.5, ["recognition answer 'No', the exporter got another one"]),
        (report({key: RIGHT[key] for key in ("cause_reasoning", "crash_localization")}), 0.5, ["answer None"]),
        (report({**RIGHT, "pre_crash_localization": "1.0 seconds"}), 0.9, ["4 of 5 answers"]),
        (report(RIGHT, latency_s=4.0), 1.0, ["the slowest clip took 4.00 s, allowed are 3 s"]),
        (report(RIGHT, peak_memory_mb=600.0), 1.0, ["peak memory is 600 MB, allowed are 500 MB"]),
    ],
)
def test_judge(found: ProbeReport, min_equal_share: float, reasons: list[str]) -> None:
    limits = HealthLimits(max_answer_s=3.0, max_memory_mb=500.0)
    verdict = judge(found, [CRASH, NORMAL], min_equal_share, limits, "crash_recognition")
    assert verdict.passed == (not reasons)
    assert len(verdict.reasons) == len(reasons)
    for said, expected in zip(verdict.reasons, reasons, strict=True):
        assert expected in said


def test_a_bundle_without_golden_clips_is_unhealthy(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    assert check_health(bundle, LIMITS, TINY_PROBE).passed
    assert check_health(bundle, LIMITS, TINY_PROBE, max_clips=1).passed
    (bundle / "golden/golden.json").unlink()
    verdict = check_health(bundle, LIMITS, TINY_PROBE)
    assert not verdict.passed and "golden.json: cannot be read" in verdict.reasons[0]


def test_a_process_that_lies_is_found_out(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    clip = bundle / "golden/crash.mp4"
    silent = (sys.executable, "-I", "-S", "-c", "pass")
    with pytest.raises(ProbeError, match="left no report"):
        probe(bundle, [clip], 20.0, silent)
    words = '{"clips": [], "load_s": 0.0, "peak_memory_mb": 1.0}'
    evasive = (sys.executable, "-I", "-S", "-c", f"import sys; open(sys.argv[3], 'w').write('{words}')")
    with pytest.raises(ProbeError, match="does not answer the clips"):
        probe(bundle, [clip], 20.0, evasive)


def test_the_real_probe_refuses_a_bundle_that_it_cannot_open(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match=r"status 2: .*manifest\.json: cannot be read"):
        probe(tmp_path, [tmp_path / "crash.mp4"], 120.0)

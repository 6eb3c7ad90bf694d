"""A program for `test_fuzz.py`: the whole ingest stage over a data set of which something was damaged.

    fuzz_ingest.py SOURCE FOLDER WORK FIRST_SEED COUNT

Two seeds of three damage one annotation file; every third damages videos or images of three clips. The stage writes its
tables or refuses with a `UserError`; anything else is a failure. The tables must agree with the report, every row of
the quarantine has a reason and a detail, and where the damage cannot take a row away, none may be missing: what came in
is a clip or stands in quarantine. Prints one JSON document.
"""

import json
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

sys.path.insert(0, str(Path(__file__).parents[2]))

from hazardline.errors import UserError
from hazardline.ingest.config import IngestConfig
from hazardline.ingest.reason import Reason
from hazardline.ingest.report import REPORT_NAME, IngestReport
from hazardline.ingest.stage import run
from hazardline.progress import SilentReporter
from hazardline.tables import QUARANTINE, SCENES, read_table
from tests.ingest import fuzz_annotations, fuzz_media

MEDIA = (".mp4", ".png", ".jpg")
MAX_S = 10
MAX_MEDIA_S = 60
"""Of a run that decodes several clips, in a process that must start first; each clip has `MAX_S`."""


@contextmanager
def damaged(contents: dict[Path, bytes]) -> Iterator[None]:
    """Put contents into files, and what was there back."""
    whole = {path: path.read_bytes() for path in contents}
    try:
        for path, data in contents.items():
            path.write_bytes(data)
        yield
    finally:
        for path, data in whole.items():
            path.write_bytes(data)


def victims(media: list[Path], random_: random.Random) -> list[Path]:
    """Videos or images of three clips; of a folder of frames half, for a clip may lose a few."""
    found: set[Path] = set()
    for path in random_.sample(media, min(3, len(media))):
        frames = [other for other in media if other.parent == path.parent] if path.suffix != ".mp4" else [path]
        found.update(random_.sample(frames, -(-len(frames) // 2)))
    return sorted(found)


def complaints(out: Path, least_rows: int) -> Iterator[str]:
    """What is wrong with the tables of a run."""
    report = IngestReport.read(out / REPORT_NAME)
    scenes, quarantine = read_table(SCENES, out), read_table(QUARANTINE, out)
    if (report.num_clips, report.num_quarantined) != (len(scenes), len(quarantine)):
        yield f"the report counts {report.num_clips} and {report.num_quarantined}: {len(scenes)}, {len(quarantine)}"
    if len(scenes) + len(quarantine) < least_rows:
        yield f"{len(scenes)} clips and {len(quarantine)} in quarantine of {least_rows} rows"
    if len({scene["clip_id"] for scene in scenes}) < len(scenes):
        yield "two clips of one id"
    for row in quarantine:
        if row["reason"] not in get_args(Reason) or not row["detail"] or "not decoded within" in row["detail"]:
            yield f"in quarantine: {row}"


def ingest(config: IngestConfig, out: Path, least_rows: int) -> tuple[str, list[str]]:
    """Run the stage into a new folder; its outcome, and what is wrong with that."""
    out.mkdir()
    try:
        report = run(config, {}, out, SilentReporter())
        outcome = "with quarantine" if report["num_quarantined"] else "all clips"
    except UserError as error:
        outcome = "no clip" if (out / REPORT_NAME).exists() else "refused"
        if not str(error):
            return outcome, ["a refusal without a word"]
    try:
        return outcome, list(complaints(out, least_rows)) if outcome != "refused" else []
    finally:
        shutil.rmtree(out)


def _too_long(*_: object) -> None:
    raise TimeoutError("the run took too long")


def main() -> None:
    source, root, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    first, count = int(sys.argv[4]), int(sys.argv[5])
    os.environ["HAZARDLINE_HOME"] = str(work / "home")
    resource.setrlimit(resource.RLIMIT_DATA, (fuzz_annotations.MAX_BYTES, fuzz_annotations.MAX_BYTES))
    signal.signal(signal.SIGALRM, _too_long)
    settings = {"source": source, "root": str(root), "clip_timeout_s": MAX_S, "max_quarantined_share": 1.0}
    config = IngestConfig.parse(settings, "fuzz")
    annotations, media = (
        sorted(path for path in root.rglob("*") if path.suffix in suffixes)
        for suffixes in (fuzz_annotations.ANNOTATIONS, MEDIA)
    )
    time.sleep(max(0.0, 3 - (time.time() - max(path.stat().st_ctime for path in (*annotations, *media)))))
    report = run(config, {}, work / "whole", SilentReporter())
    num_rows = report["num_clips"] + report["num_quarantined"]
    outcomes: Counter[str] = Counter()
    failures: list[dict[str, Any]] = []
    slowest_s = 0.0
    for seed in sorted(range(first, first + count), key=lambda seed: seed % 3 == 2):  # then what is decoded stays known
        random_ = random.Random(f"{source} {seed}")
        of_media = seed % 3 == 2 and bool(media)
        if of_media:
            contents = {path: fuzz_media.damage(path.read_bytes(), random_) for path in victims(media, random_)}
            keeps_rows = True
        else:
            path = random_.choice(annotations)
            data, keeps_rows = fuzz_annotations.damage(path.read_bytes(), random_, path.suffix)
            contents = {path: data}
        begin = time.monotonic()
        signal.alarm(MAX_MEDIA_S if of_media else MAX_S)
        try:
            with damaged(contents):
                outcome, wrong = ingest(config, work / "out", num_rows if keeps_rows else 0)
        except Exception:  # the finding itself
            outcome, wrong = "raised", [traceback.format_exc()[-1500:]]
        finally:
            signal.alarm(0)
            shutil.rmtree(work / "out", ignore_errors=True)
        outcomes[f"media: {outcome}" if of_media else outcome] += 1
        failures += [{"seed": seed, "files": [path.name for path in contents][:3], "what": what} for what in wrong]
        slowest_s = max(slowest_s, 0.0 if of_media else time.monotonic() - begin)
    peak_mb = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    print(json.dumps({"outcomes": outcomes, "failures": failures, "slowest_s": slowest_s, "peak_mb": peak_mb}))


if __name__ == "__main__":
    main()

"""The ingest stage: from a data set in its own layout to a table of scenes and a table of what cannot be used."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from hazardline import video
from hazardline.errors import RefusedOutputError, UserError
from hazardline.ingest.adapter import Adapter, Candidate, Problem
from hazardline.ingest.checks import check_annotation, check_times, find_video, problem
from hazardline.ingest.config import IngestConfig
from hazardline.ingest.features import FEATURES
from hazardline.ingest.fingerprints import FINGERPRINTS
from hazardline.ingest.inspection import Fault, Inspection, inspect
from hazardline.ingest.place import LocalPlace
from hazardline.ingest.pool import Lost, run_isolated
from hazardline.ingest.report import REPORT_NAME, Decoder, IngestReport, counts, dataset_digest, refusal
from hazardline.ingest.sources import adapter_of
from hazardline.progress import Reporter
from hazardline.tables import QUARANTINE, SCENES, write_table

Found = list[tuple[Candidate, Path]]


def run(config: IngestConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    """Read, check and decode every clip; write scenes, features, fingerprints, quarantine and the report.

    Args:
        config: Where the data set is and how much of it may be unusable.
        inputs: `simulate` is read where the configuration names no root.
        out: Receives scenes.parquet, features.parquet, fingerprints.parquet, quarantine.parquet and ingest.json.
        reporter: Told of every clip.

    Returns:
        The report, as plain data.

    Raises:
        UserError: no data set.
        RefusedOutputError: no usable clip, or a larger share in quarantine than allowed. The tables are written
            before; the message repeats the first rows of the quarantine.
    """
    place = open_place(config, inputs)
    reporter.phase("read annotations")
    found, problems = select(place, adapter_of(place, config))
    decoder = Decoder(backend=video.backend(), reason=video.backend_reason())
    reporter.note(f"decoder: {decoder.backend} ({decoder.reason})")
    if not found and not problems:
        raise UserError(f"{place.name}: the {config.source} data set names no clip; add clips to its annotations")
    inspections = _inspect_all([path for _, path in found], config, decoder, reporter)
    scenes, features, fingerprints, late = judge(found, inspections)
    problems = [*problems, *late]
    rows = [asdict(p) for p in problems]
    write_table(QUARANTINE, out, rows)
    write_table(SCENES, out, scenes)
    write_table(FEATURES, out, features)
    write_table(FINGERPRINTS, out, fingerprints)
    report = IngestReport(
        source=config.source,
        root=place.name,
        num_clips=len(scenes),
        num_quarantined=len(problems),
        by_label=counts([s["label"] for s in scenes]),
        by_source=counts([s["source"] for s in scenes]),
        by_scenario=counts([s["scenario"] for s in scenes]),
        by_reason=counts([p.reason for p in problems]),
        total_s=round(sum(s["duration_s"] for s in scenes), 3),
        decoder=decoder,
        dataset_digest=dataset_digest(scenes),
    )
    report.write(out / REPORT_NAME)
    if len(problems) > config.max_quarantined_share * (len(problems) + len(scenes)) or not scenes:
        raise RefusedOutputError(refusal(problems, len(scenes), config.max_quarantined_share, place.name))
    reasons = ", ".join(f"{reason} {count}" for reason, count in report.by_reason.items())
    reporter.note(f"{len(scenes)} clips, {len(problems)} in quarantine" + (f" ({reasons})" if reasons else ""))
    return report.data()


def open_place(config: IngestConfig, inputs: Mapping[str, Path]) -> LocalPlace:
    """The configured folder, or what was simulated.

    Raises:
        UserError: there is no such folder.
    """
    if config.root is None and "simulate" not in inputs:
        raise UserError("ingest: root: missing; name the folder of the data set (nothing was simulated before)")
    root = (Path(config.root) if config.root is not None else inputs["simulate"]).expanduser()
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; ingest.root must name the folder of a {config.source} data set")
    return LocalPlace(root)


def select(place: LocalPlace, adapter: Adapter) -> tuple[Found, list[Problem]]:
    """Candidates whose annotation, id and path are fit to open the file, in order; the others as problems.

    Of several clips with one id the first is kept.
    """
    found: Found = []
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    for item in adapter.candidates():
        if isinstance(item, Problem):
            problems.append(item)
            continue
        fault = check_annotation(item)
        if item.clip_id in seen:
            fault = problem(item, "duplicate_id", f"clip_id stands already in {seen[item.clip_id]}")
        seen.setdefault(item.clip_id, item.origin)
        path = fault or find_video(place.root, item)
        if isinstance(path, Problem):
            problems.append(path)
        else:
            found.append((item, path))
    return found, problems


def _prepare(backend: str, reason: str) -> None:
    """In a worker: the parent's choice of the decoder."""
    if backend == "pyav":
        video.use_pyav(reason)


def _inspect_all(
    paths: Sequence[Path], config: IngestConfig, decoder: Decoder, reporter: Reporter
) -> list[Inspection | Fault]:
    reporter.phase("decode clips", len(paths))
    results: dict[int, Inspection | Fault] = {}
    prepare = partial(_prepare, decoder.backend, decoder.reason)
    for index, result in run_isolated(inspect, paths, config.num_workers, config.clip_timeout_s, prepare):
        results[index] = Fault("unreadable", result.detail) if isinstance(result, Lost) else result
        reporter.advance()
    return [results[index] for index in range(len(paths))]


def judge(
    found: Found, inspections: Iterable[Inspection | Fault]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]], list[Problem]]:
    """Rows of scenes, features and fingerprints in the order of `clip_id`, and what the files themselves rule out.

    Of several usable clips with the same bytes the first is kept.
    """
    scenes: list[dict[str, Any]] = []
    features: list[dict[str, Any]] = []
    fingerprints: list[dict[str, Any]] = []
    problems: list[Problem] = []
    by_bytes: dict[str, str] = {}
    for (candidate, path), result in zip(found, inspections, strict=True):
        if isinstance(result, Fault):
            problems.append(problem(candidate, result.reason, result.detail))
            continue
        fault = check_times(candidate, result.info.duration_s, result.info.fps)
        if fault is None and result.sha256 in by_bytes:
            fault = problem(candidate, "duplicate_bytes", f"the same bytes as clip {by_bytes[result.sha256]!r}")
        if fault is not None:
            problems.append(fault)
            continue
        by_bytes[result.sha256] = candidate.clip_id
        scenes.append(_scene(candidate, path, result))
        features.append({"clip_id": candidate.clip_id, **asdict(result.features)})
        fingerprints.append({"clip_id": candidate.clip_id, "frames": result.fingerprint})
    return sorted(scenes, key=_by_id), sorted(features, key=_by_id), sorted(fingerprints, key=_by_id), problems


def _by_id(row: Mapping[str, Any]) -> str:
    clip_id: str = row["clip_id"]
    return clip_id


def _scene(candidate: Candidate, path: Path, inspection: Inspection) -> dict[str, Any]:
    info, times = inspection.info, candidate.times
    return {
        "clip_id": candidate.clip_id,
        "video_uri": str(path),
        "sha256": inspection.sha256,
        "size_bytes": inspection.size_bytes,
        "source": candidate.source,
        "label": candidate.label,
        "pair_id": candidate.pair_id,
        "recording_id": candidate.recording_id,
        "channel_id": candidate.channel_id,
        "location": candidate.location,
        "published_split": candidate.published_split,
        "scenario": candidate.scenario,
        "weather": candidate.weather,
        "light": candidate.light,
        "scene": candidate.scene,
        "duration_s": info.duration_s,
        "fps": info.fps,
        "num_frames": info.num_frames,
        "width_px": info.width_px,
        "height_px": info.height_px,
        "codec": info.codec,
        "pre_crash_start_s": times.pre_crash_start_s,
        "crash_start_s": times.crash_start_s,
        "crash_end_s": times.crash_end_s,
        "event_s": times.event_s,
        "accident_type": candidate.accident_type,
        "ego_involved": candidate.ego_involved,
        "agents": list(candidate.agents),
        "description": candidate.description,
        "cause": candidate.cause,
        "prevention": candidate.prevention,
        "still": candidate.still,
        "classification": candidate.classification,
    }

"""From the books to the stage's tables and its report, a clip at a time, in the order of `clip_id`."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hazardline.datasets.content import ContentDigest
from hazardline.datasets.document import SourceRoot
from hazardline.ingest.adapter import PublishedPair
from hazardline.ingest.config import SourceConfig
from hazardline.ingest.corrected import Overlay
from hazardline.ingest.features import FEATURES
from hazardline.ingest.fingerprints import FINGERPRINTS, ROWS_PER_GROUP
from hazardline.ingest.inspection import Inspection
from hazardline.ingest.judge import result_of
from hazardline.ingest.known import KnownContents
from hazardline.ingest.place import Place
from hazardline.ingest.report import Decoder, IngestReport, commonest_first
from hazardline.ingest.work import Seen, Work
from hazardline.tables import QUARANTINE, RECORDS, SCENES, TableWriter


def write_tables(
    work: Work,
    known: KnownContents,
    out: Path,
    places: Sequence[tuple[Place, SourceConfig]],
    decoder: Decoder,
    overlay: Overlay,
) -> IngestReport:
    """Write all tables, the scenes as reviews have corrected them; returns the report, which is not written yet."""
    digest, total_s = ContentDigest(), 0.0
    scenarios: Counter[str] = Counter()
    labels: defaultdict[str, Counter[str]] = defaultdict(Counter)
    with ExitStack() as stack:
        scenes = stack.enter_context(TableWriter(SCENES, out))
        features = stack.enter_context(TableWriter(FEATURES, out))
        fingerprints = stack.enter_context(TableWriter(FINGERPRINTS, out, ROWS_PER_GROUP))
        records = stack.enter_context(TableWriter(RECORDS, out))
        quarantine = stack.enter_context(TableWriter(QUARANTINE, out))
        for seen in work.usable():
            found = result_of(seen, known)
            assert isinstance(found, Inspection)  # else it were not usable
            row = overlay.apply(scene_row(seen, found))
            scenes.write(row)
            features.write({"clip_id": row["clip_id"], **vars(found.features)})
            fingerprints.write({"clip_id": row["clip_id"], "frames": found.fingerprint})
            for pair in seen.candidate.pairs:
                records.write(_record(row["clip_id"], pair))
            digest.add(row, [vars(pair) for pair in seen.candidate.pairs])
            labels[row["source"]][row["label"]] += 1
            scenarios[row["scenario"]] += 1
            total_s += row["duration_s"]
        for problem in work.problems():
            quarantine.write(vars(problem))
        num_clips = scenes.num_rows
    overlay.write(out)
    return IngestReport(
        sources=tuple(SourceRoot(source=source.source, root=place.name) for place, source in places),
        num_clips=num_clips,
        num_quarantined=work.num_problems(),
        by_label=commonest_first(sum(labels.values(), Counter())),
        by_source=commonest_first({source: found.total() for source, found in labels.items()}),
        labels_by_source={source: commonest_first(labels[source]) for source in sorted(labels)},
        by_scenario=commonest_first(scenarios),
        by_reason=work.problem_counts(),
        num_corrections=overlay.num_applied,
        corrections_not_applied=overlay.not_applied(),
        total_s=round(total_s, 3),
        decoder=decoder,
        dataset_digest=digest.finish(overlay.answers()),
    )


def _record(clip_id: str, pair: PublishedPair) -> dict[str, Any]:
    return {"clip_id": clip_id, **vars(pair)}


def scene_row(seen: Seen, inspection: Inspection) -> dict[str, Any]:
    """One row of the scenes table."""
    candidate, info, times = seen.candidate, inspection.info, seen.candidate.times
    return {
        "clip_id": candidate.clip_id,
        "video_uri": str(seen.path),
        "sha256": seen.sha256,
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

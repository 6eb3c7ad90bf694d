"""Train: encode every clip once, then fine-tune the branches side by side on the frozen base."""

import json
import secrets
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hazardline import tracking
from hazardline.environment import home, store_mirror
from hazardline.errors import StoppedError
from hazardline.files import digest_json, sha256_file, write_atomic, write_json
from hazardline.mirror.objects import Mirror, open_mirror
from hazardline.progress import Reporter
from hazardline.tables import QA, SCENES, read_table
from hazardline.tasks import Branch
from hazardline.train.base import base_digest, base_folder, encoder_digest
from hazardline.train.checkpoint_store import FINAL_NAME, open_store
from hazardline.train.config import TrainConfig
from hazardline.train.document import (
    ADAPTER_FOLDER,
    OUTCOME_NAME,
    STATE_NAME,
    TRAINING_NAME,
    BranchJob,
    BranchOutcome,
    BranchReport,
    Digests,
    LossPoint,
    TrainingReport,
    TrainingState,
)
from hazardline.train.encode import encode_clips
from hazardline.train.features import FEATURES_FOLDER, FeatureIndex, all_variants, keep_plain, sources_of
from hazardline.train.ray_train import ray_session, stop_on_sigterm, train_branches
from hazardline.train.shared_inputs import restore_features, share_inputs
from hazardline.train.watch import BranchWatch
from hazardline.vlm.layout import LAYOUT_NAME, Layout

MAX_LOSS_POINTS = 200
CHECKPOINTS_FOLDER = "checkpoints"
RUN_DIGITS = 16
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"


def run(config: TrainConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    """Train the branches; write an adapter folder for each, `features/` of all clips (plain) and `training.json`.

    Beside `out` it keeps, below HAZARDLINE_HOME, checkpoints until it is done and features for the next run.

    Args:
        config: the section.
        inputs: `ingest` (scenes) and `synthesize` (questions and answers).
        out: empty folder.
        reporter: a unit a clip, then a unit an optimizer step of any branch.

    Raises:
        UserError: the base, a video or a table is not what it should be, or the self-check finds a difference.
    """
    base = base_folder(config.base)
    digests = _digests(config, base, inputs)
    begin, mirror = time.monotonic(), open_mirror()
    if mirror is not None:
        restore_features(mirror, digest_json(digests.data()), feature_cache(), reporter)
    index = _encode(config, base, inputs, out / FEATURES_FOLDER, reporter)
    features_wall_s = time.monotonic() - begin
    with tempfile.TemporaryDirectory(prefix="hazardline-train-") as name:
        work, begin = Path(name), time.monotonic()
        reports = _train(config, base, inputs, out, work, digests, mirror, reporter)
        train_wall_s = time.monotonic() - begin
    keep_plain(out / FEATURES_FOLDER, feature_cache())
    report = TrainingReport(
        base=str(config.base),
        digests=digests,
        precision=config.precision,
        seed=config.seed,
        branches=reports,
        features_wall_s=round(features_wall_s, 3),
        train_wall_s=round(train_wall_s, 3),
        num_feature_clips=len(index.clips),
    )
    report.write(out / TRAINING_NAME)
    return _summary(report)


def _digests(config: TrainConfig, base: Path, inputs: Mapping[str, Path]) -> Digests:
    return Digests(
        base=base_digest(base),
        encoder=encoder_digest(base),
        layout=Layout.read(base / LAYOUT_NAME).digest(),
        scenes=sha256_file(inputs["ingest"] / SCENES.file_name),
        qa=sha256_file(inputs["synthesize"] / QA.file_name),
        config=config.digest(),
    )


def _encode(
    config: TrainConfig, base: Path, inputs: Mapping[str, Path], folder: Path, reporter: Reporter
) -> FeatureIndex:
    scenes = read_table(SCENES, inputs["ingest"])
    training = {row["clip_id"] for row in read_table(QA, inputs["synthesize"]) if row["split"] == "train"}
    layout = Layout.read(base / LAYOUT_NAME)
    variants = all_variants(layout, config.augmentation.phase, config.augmentation.mirror)
    sources = sources_of(scenes, training, variants)
    budget = None if config.feature_cache_gb is None else round(config.feature_cache_gb * 1e9)
    return encode_clips(base, sources, folder, config.encoder_processes, reporter, feature_cache(), budget)


def _checkpoints_address(config: TrainConfig) -> str:
    """Folder, absolute as workers may run elsewhere, or S3 address; below the mirror, where there is one."""
    mirror = store_mirror()
    default = str(home() / CHECKPOINTS_FOLDER) if mirror is None else f"{mirror.rstrip('/')}/{CHECKPOINTS_FOLDER}"
    address = config.checkpoints or default
    return address if "://" in address else str(Path(address).absolute())


def feature_cache() -> Path:
    """Folder of the feature files of all runs."""
    return home() / FEATURES_FOLDER


def _train(
    config: TrainConfig,
    base: Path,
    inputs: Mapping[str, Path],
    out: Path,
    work: Path,
    digests: Digests,
    mirror: Mirror | None,
    reporter: Reporter,
) -> dict[Branch, BranchReport]:
    run_digest = digest_json(digests.data())
    checkpoints = f"{_checkpoints_address(config)}/{run_digest[:RUN_DIGITS]}"
    channel = None if mirror is None else f"hazardline-{run_digest[:RUN_DIGITS]}-{secrets.token_hex(4)}"
    jobs = [
        BranchJob(
            branch=branch,
            config=config,
            base=base,
            ingest=inputs["ingest"].absolute(),
            synthesize=inputs["synthesize"].absolute(),
            features=(out / FEATURES_FOLDER).absolute(),
            feature_cache=feature_cache(),
            progress=work / f"{branch}.jsonl",
            checkpoints=f"{checkpoints}/{branch}",
            run_digest=run_digest,
            channel=channel,
        )
        for branch in config.branches
    ]
    if mirror is not None:
        share_inputs(mirror, jobs[0], reporter)
    reporter.phase("start workers")
    with tracking.open_run("train", run_digest) as mlflow_run:
        mlflow_run.log_params(_params(config))
        mlflow_run.set_tags({f"hazardline.digest.{name}": value for name, value in digests.data().items()})
        watch = BranchWatch(list(config.branches), reporter, mlflow_run)
        with ray_session(len(jobs) * config.num_workers), stop_on_sigterm() as stop:
            stopped = train_branches(jobs, work / "ray", watch.on_event, stop=stop)
        if stopped:
            steps = ", ".join(f"{branch} after step {watch.steps(branch)}" for branch in sorted(stopped))
            raise StoppedError(
                f"train: stopped by SIGTERM ({steps}); the checkpoints are kept in {checkpoints}: run again to go on"
            )
        reports = {job.branch: _collect(job, out, watch) for job in jobs}
        mlflow_run.log_metrics(_final_metrics(reports))
    for job in jobs:
        open_store(job.checkpoints).clear()
    return reports


def _collect(job: BranchJob, out: Path, watch: BranchWatch) -> BranchReport:
    """Copy a branch's adapter out of its final checkpoint and report on it."""
    branch, config = job.branch, job.config
    with open_store(job.checkpoints).fetch(FINAL_NAME) as final:
        copy_adapter(final / ADAPTER_FOLDER, out / branch, str(config.base))
        state, outcome = TrainingState.read(final / STATE_NAME), BranchOutcome.read(final / OUTCOME_NAME)
    return BranchReport(
        num_clips=outcome.num_clips,
        num_steps=outcome.num_steps,
        planned_memory_mb=outcome.planned_memory_mb,
        adapter_step=outcome.adapter_step,
        losses=downsample(state.losses, MAX_LOSS_POINTS),
        validation=state.validation,
        num_validation_clips=outcome.num_validation_clips,
        num_workers=config.num_workers,
        wall_s=round(watch.wall_s(branch), 3),
        busy_s=round(state.busy_s, 3),
        clips_per_s=round(state.num_clips / state.busy_s, 3),
        answer_tokens_per_s=round(state.num_answer_tokens / state.busy_s, 3),
        peak_rss_mb=outcome.peak_rss_mb,
        trainable_parameters=outcome.trainable_parameters,
        num_restarts=watch.num_restarts(branch),
        self_check=outcome.self_check,
    )


def copy_adapter(source: Path, target: Path, base: str) -> None:
    """Copy the two files of an adapter, with the base named as the recipe names it and not by this machine's path."""
    settings = json.loads((source / ADAPTER_CONFIG).read_bytes())
    write_json(target / ADAPTER_CONFIG, {**settings, "base_model_name_or_path": base})
    write_atomic(target / ADAPTER_WEIGHTS, (source / ADAPTER_WEIGHTS).read_bytes())


def downsample(losses: list[float], max_points: int) -> list[LossPoint]:
    """At most `max_points` means of neighbouring steps, each at the last step of its piece."""
    size = -(-len(losses) // max_points)
    pieces = [(start, losses[start : start + size]) for start in range(0, len(losses), size)]
    return [LossPoint(step=start + len(piece), loss=sum(piece) / len(piece)) for start, piece in pieces]


def _params(config: TrainConfig) -> dict[str, Any]:
    """The section as flat MLflow parameters."""
    flat: dict[str, Any] = {}

    def add(prefix: str, value: Any) -> None:
        if isinstance(value, dict) and value:
            for name, item in value.items():
                add(f"{prefix}.{name}", item)
        elif value is not None:
            flat[prefix] = value

    add("train", config.data())
    return flat


def _final_metrics(reports: Mapping[Branch, BranchReport]) -> dict[str, float]:
    names = ("wall_s", "clips_per_s", "answer_tokens_per_s", "peak_rss_mb", "trainable_parameters", "num_restarts")
    return {f"{branch}/{name}": getattr(report, name) for branch, report in reports.items() for name in names}


def _summary(report: TrainingReport) -> dict[str, Any]:
    return {
        "features_wall_s": report.features_wall_s,
        "branches": {
            name: {
                "num_clips": branch.num_clips,
                "num_steps": branch.num_steps,
                "final_loss": branch.losses[-1].loss,
                "validation": branch.validation[-1].losses if branch.validation else {},
                "clips_per_s": branch.clips_per_s,
                "peak_rss_mb": branch.peak_rss_mb,
                "trainable_parameters": branch.trainable_parameters,
                "num_restarts": branch.num_restarts,
            }
            for name, branch in report.branches.items()
        },
    }

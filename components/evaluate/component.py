"""KFP adapter for `hazardline.evaluate`."""

from kfp import dsl

from components.images import PIPELINE


@dsl.component(base_image=PIPELINE, install_kfp_package=False)
def evaluate(
    section: str,
    record: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    scores: dsl.Output[dsl.Metrics],
    confusion: dsl.Output[dsl.ClassificationMetrics],
    ingest: dsl.Input[dsl.Dataset],
    split: dsl.Input[dsl.Dataset],
    synthesize: dsl.Input[dsl.Dataset],
    train: dsl.Input[dsl.Model],
) -> None:
    """Score the candidate, the base and the best constant answers."""
    from pathlib import Path

    from hazardline.evaluate.shown import show
    from hazardline.stage_runner import run_stage

    made = run_stage(
        "evaluate",
        section,
        {"ingest": ingest.path, "split": split.path, "synthesize": synthesize.path, "train": train.path},
        record.path,
    )
    record.metadata.update(made.metadata())
    shown = show(made.output, Path(report.path), Path(summary.path))
    scores.metadata.update(shown.scores)
    confusion.log_confusion_matrix(shown.classes, shown.matrix)

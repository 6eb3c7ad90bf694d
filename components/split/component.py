"""KFP adapter for `hazardline.split`."""

from kfp import dsl

from components.images import PIPELINE


@dsl.component(base_image=PIPELINE, install_kfp_package=False)
def split(
    section: str,
    record: dsl.Output[dsl.Dataset],
    summary: dsl.Output[dsl.Markdown],
    ingest: dsl.Input[dsl.Dataset],
) -> None:
    """Divide groups of clips and audit leaks of the label."""
    from pathlib import Path

    from hazardline.split.shown import show
    from hazardline.stage_runner import run_stage

    made = run_stage("split", section, {"ingest": ingest.path}, record.path)
    record.metadata.update(made.metadata())
    show(made.output, Path(summary.path))

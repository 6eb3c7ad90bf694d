"""KFP adapter for `hazardline.device`."""

from kfp import dsl

from components.images import PIPELINE


@dsl.component(base_image=PIPELINE, install_kfp_package=False)
def device(
    section: str,
    record: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.Markdown],
    release: dsl.Input[dsl.Artifact],
    ingest: dsl.Input[dsl.Dataset],
    synthesize: dsl.Input[dsl.Dataset],
) -> None:
    """Update a device, check its health, ask it the six tasks."""
    from pathlib import Path

    from hazardline.device.shown import show
    from hazardline.stage_runner import run_stage

    made = run_stage(
        "device", section, {"release": release.path, "ingest": ingest.path, "synthesize": synthesize.path}, record.path
    )
    record.metadata.update(made.metadata())
    show(made.output, Path(summary.path))

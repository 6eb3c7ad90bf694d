"""KFP adapter for `hazardline.release`."""

from kfp import dsl

from components.images import PIPELINE


@dsl.component(base_image=PIPELINE, install_kfp_package=False)
def release(
    section: str,
    record: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.Markdown],
    export: dsl.Input[dsl.Model],
    register: dsl.Input[dsl.Artifact],
) -> None:
    """Sign the bundle and publish it."""
    from pathlib import Path

    from hazardline.release.shown import show
    from hazardline.stage_runner import run_stage

    made = run_stage("release", section, {"export": export.path, "register": register.path}, record.path)
    record.metadata.update(made.metadata())
    show(made.output, Path(summary.path))

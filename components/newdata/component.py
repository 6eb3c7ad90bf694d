"""KFP adapter for `hazardline.newdata`."""

from kfp import dsl

from components.images import PIPELINE


@dsl.component(base_image=PIPELINE, install_kfp_package=False)
def newdata(
    section: str,
    model_name: str,
    record: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.Markdown],
    ingest: dsl.Input[dsl.Dataset],
) -> str:
    """Decide whether what came in is worth a training: "train" or "stop"."""
    from pathlib import Path

    from hazardline.newdata.shown import show
    from hazardline.stage_runner import run_stage

    made = run_stage("newdata", section, {"ingest": ingest.path}, record.path, champion_of=model_name)
    record.metadata.update(made.metadata())
    show(made.output, Path(summary.path))
    return "train" if made.summary["retrain"] else "stop"

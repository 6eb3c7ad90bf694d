"""KFP adapter for `hazardline.export`."""

from kfp import dsl

from components.images import PIPELINE


@dsl.component(base_image=PIPELINE, install_kfp_package=False)
def export(
    section: str,
    record: dsl.Output[dsl.Model],
    ingest: dsl.Input[dsl.Dataset],
    synthesize: dsl.Input[dsl.Dataset],
    train: dsl.Input[dsl.Model],
    evaluate: dsl.Input[dsl.Artifact],
) -> None:
    """Make the bundle of a vehicle and prove that it answers alike."""
    from hazardline.stage_runner import run_stage

    made = run_stage(
        "export",
        section,
        {"ingest": ingest.path, "synthesize": synthesize.path, "train": train.path, "evaluate": evaluate.path},
        record.path,
    )
    record.metadata.update(made.metadata())

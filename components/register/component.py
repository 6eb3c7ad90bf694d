"""KFP adapter for `hazardline.register`."""

from kfp import dsl

from components.images import PIPELINE


@dsl.component(base_image=PIPELINE, install_kfp_package=False)
def register(
    section: str,
    record: dsl.Output[dsl.Artifact],
    ingest: dsl.Input[dsl.Dataset],
    split: dsl.Input[dsl.Dataset],
    synthesize: dsl.Input[dsl.Dataset],
    train: dsl.Input[dsl.Model],
    evaluate: dsl.Input[dsl.Artifact],
    gate: dsl.Input[dsl.Artifact],
) -> None:
    """Record the candidate; promote it where the gate is open."""
    from hazardline.stage_runner import run_stage

    made = run_stage(
        "register",
        section,
        {
            "ingest": ingest.path,
            "split": split.path,
            "synthesize": synthesize.path,
            "train": train.path,
            "evaluate": evaluate.path,
            "gate": gate.path,
        },
        record.path,
    )
    record.metadata.update(made.metadata())

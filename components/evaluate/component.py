"""KFP adapter for `hazardline.evaluate`."""

from kfp import dsl

from components.images import PIPELINE


@dsl.component(base_image=PIPELINE, install_kfp_package=False)
def evaluate(
    section: str,
    record: dsl.Output[dsl.Artifact],
    ingest: dsl.Input[dsl.Dataset],
    split: dsl.Input[dsl.Dataset],
    synthesize: dsl.Input[dsl.Dataset],
    train: dsl.Input[dsl.Model],
) -> None:
    """Score the candidate, the base and the best constant answers."""
    from hazardline.stage_runner import run_stage

    made = run_stage(
        "evaluate",
        section,
        {"ingest": ingest.path, "split": split.path, "synthesize": synthesize.path, "train": train.path},
        record.path,
    )
    record.metadata.update(made.metadata())

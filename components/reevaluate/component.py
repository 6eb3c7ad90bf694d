"""KFP adapter for `hazardline.reevaluate`."""

from kfp import dsl

from components.images import PIPELINE


@dsl.component(base_image=PIPELINE, install_kfp_package=False)
def reevaluate(
    section: str,
    model_name: str,
    record: dsl.Output[dsl.Artifact],
    ingest: dsl.Input[dsl.Dataset],
    split: dsl.Input[dsl.Dataset],
    synthesize: dsl.Input[dsl.Dataset],
) -> None:
    """Evaluate the champion on today's test set."""
    from hazardline.stage_runner import run_stage

    records = {"ingest": ingest.path, "split": split.path, "synthesize": synthesize.path}
    made = run_stage("reevaluate", section, records, record.path, champion_of=model_name)
    record.metadata.update(made.metadata())

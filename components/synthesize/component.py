"""KFP adapter for `hazardline.synthesize`."""

from kfp import dsl

from components.images import PIPELINE


@dsl.component(base_image=PIPELINE, install_kfp_package=False)
def synthesize(
    section: str, record: dsl.Output[dsl.Dataset], ingest: dsl.Input[dsl.Dataset], split: dsl.Input[dsl.Dataset]
) -> None:
    """Turn annotations into questions and answers of a suite's tasks."""
    from hazardline.stage_runner import run_stage

    made = run_stage("synthesize", section, {"ingest": ingest.path, "split": split.path}, record.path)
    record.metadata.update(made.metadata())

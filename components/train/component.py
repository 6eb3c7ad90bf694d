"""KFP adapter for `hazardline.train`."""

from kfp import dsl

from components.images import PIPELINE


@dsl.component(base_image=PIPELINE, install_kfp_package=False)
def train(
    section: str, record: dsl.Output[dsl.Model], ingest: dsl.Input[dsl.Dataset], synthesize: dsl.Input[dsl.Dataset]
) -> None:
    """Fine-tune the two branches on the frozen base."""
    from hazardline.stage_runner import run_stage

    made = run_stage("train", section, {"ingest": ingest.path, "synthesize": synthesize.path}, record.path)
    record.metadata.update(made.metadata())

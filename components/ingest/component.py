"""KFP adapter for `hazardline.ingest`."""

from typing import Optional

from kfp import dsl

from components.images import PIPELINE


@dsl.component(base_image=PIPELINE, install_kfp_package=False)
def ingest(section: str, record: dsl.Output[dsl.Dataset], simulate: Optional[dsl.Input[dsl.Dataset]] = None) -> None:
    """Read, check and describe every clip."""
    from hazardline.stage_runner import run_stage

    records = {"simulate": simulate.path} if simulate else {}
    made = run_stage("ingest", section, records, record.path)
    record.metadata.update(made.metadata())

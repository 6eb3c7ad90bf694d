"""KFP adapter for `hazardline.simulate`."""

from kfp import dsl

from components.images import PIPELINE


@dsl.component(base_image=PIPELINE, install_kfp_package=False)
def simulate(section: str, record: dsl.Output[dsl.Dataset]) -> None:
    """Make crash clips, near-miss twins and normal drives."""
    from hazardline.stage_runner import run_stage

    made = run_stage("simulate", section, {}, record.path)
    record.metadata.update(made.metadata())

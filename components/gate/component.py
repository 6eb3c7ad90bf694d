"""KFP adapter for `hazardline.gate`."""

from kfp import dsl

from components.images import PIPELINE


@dsl.component(base_image=PIPELINE, install_kfp_package=False)
def gate(section: str, model_name: str, record: dsl.Output[dsl.Artifact], evaluate: dsl.Input[dsl.Artifact]) -> str:
    """Decide whether the candidate may be promoted: "open" or "closed"."""
    from hazardline.stage_runner import run_stage

    made = run_stage("gate", section, {"evaluate": evaluate.path}, record.path, champion_of=model_name)
    record.metadata.update(made.metadata())
    return "open" if made.summary["passed"] else "closed"

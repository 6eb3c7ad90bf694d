"""KFP adapter for `hazardline.retrain.conclude`."""

from typing import Optional

from kfp import dsl

from components.images import PIPELINE


@dsl.component(base_image=PIPELINE, install_kfp_package=False)
def conclude(
    run_id: str,
    model_name: str,
    summary: dsl.Output[dsl.Markdown],
    newdata: dsl.Input[dsl.Artifact],
    gate: Optional[dsl.Input[dsl.Artifact]] = None,
    register: Optional[dsl.Input[dsl.Artifact]] = None,
) -> None:
    """Say what the run came to, and leave it for the notice."""
    from pathlib import Path

    from hazardline.retrain.conclude import conclude_run

    records = {
        "newdata": newdata.path,
        "gate": gate.path if gate else None,
        "register": register.path if register else None,
    }
    conclude_run(run_id, model_name, records, Path(summary.path))

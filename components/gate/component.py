"""KFP adapter for `hazardline.gate`."""

from typing import Optional

from kfp import dsl

from components.images import PIPELINE


@dsl.component(base_image=PIPELINE, install_kfp_package=False)
def gate(
    section: str,
    model_name: str,
    record: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.Markdown],
    outcome: dsl.Output[dsl.Metrics],
    evaluate: dsl.Input[dsl.Artifact],
    champion: Optional[dsl.Input[dsl.Artifact]] = None,
) -> str:
    """Decide whether the candidate may be promoted: "open" or "closed"."""
    from pathlib import Path

    from hazardline.gate.shown import show
    from hazardline.stage_runner import run_stage

    records = {"evaluate": evaluate.path, **({"champion": champion.path} if champion else {})}
    made = run_stage("gate", section, records, record.path, champion_of=None if champion else model_name)
    record.metadata.update(made.metadata())
    outcome.metadata.update(show(made.output, Path(summary.path)))
    return "open" if made.summary["passed"] else "closed"

"""KFP adapter for `hazardline.register.recall`."""

from kfp import dsl

from components.images import PIPELINE


@dsl.component(base_image=PIPELINE, install_kfp_package=False)
def recall(
    model_name: str,
    ingest: dsl.Output[dsl.Dataset],
    synthesize: dsl.Output[dsl.Dataset],
    train: dsl.Output[dsl.Model],
    evaluate: dsl.Output[dsl.Artifact],
    register: dsl.Output[dsl.Artifact],
) -> None:
    """Bring back the records of the run that made the champion."""
    from hazardline.register.recall import recall_run

    records = {
        "ingest": ingest.path,
        "synthesize": synthesize.path,
        "train": train.path,
        "evaluate": evaluate.path,
        "register": register.path,
    }
    recall_run(model_name, records)

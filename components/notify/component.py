"""KFP adapter for `hazardline.notify`."""

from kfp import dsl

from components.images import PIPELINE


@dsl.component(base_image=PIPELINE, install_kfp_package=False)
def notify(section: str, run_id: str, status: dsl.PipelineTaskFinalStatus) -> None:
    """Tell the webhook how the run ended."""
    from hazardline.notify.notice import notify_run

    notify_run(section, run_id, status.state, status.error_message or "")

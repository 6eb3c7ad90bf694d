"""Tells a webhook how a scheduled run ended, whichever way that was."""

import re
from pathlib import Path
from typing import Literal

from hazardline import environment
from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import canonical_json, digest_json
from hazardline.notify.config import NoticeConfig
from hazardline.notify.send import send
from hazardline.notify.signature import key_of
from hazardline.retrain.conclusion import Conclusion, Outcome
from hazardline.retrain.notes import find_conclusion
from hazardline.stage_events import failed_tasks, told
from hazardline.stages import RETRAINING, STAGES

TASK = "notify"
SUCCEEDED = "SUCCEEDED"
"""What KFP says of a run that ended well."""
_TASKS = [stage.name for stage in (*STAGES, *RETRAINING)] + ["conclude"]


class Notice(Document):
    """What is sent. Free text of errors is not in it: nobody can say what such a text holds."""

    version: Literal["retrain-notice@1"] = "retrain-notice@1"
    outcome: Outcome | Literal["failure"]
    run_id: str
    recipe: str
    model_name: str
    failed_tasks: list[str]
    """As far as they are known."""
    conclusion: Conclusion | None
    """What the run came to; after a failure what it had come to before, if anything."""

    def delivery_id(self) -> str:
        """The same for the same end of the same run, so that a receiver can tell a repetition."""
        return digest_json([self.run_id, self.outcome])[:32]


def notify_run(section_json: str, run_id: str, state: str, message: str) -> None:
    """The task: send the notice of a run, if the recipe names a webhook.

    Args:
        section_json: a `NoticeConfig`.
        run_id: the run.
        state: KFP's word for how the run ended.
        message: KFP's message where it failed; names of tasks are read out of it.

    Raises:
        SystemExit: with status 2, after one line on stderr, where nobody could be told.
    """
    with told(TASK) as emit:
        config = NoticeConfig.parse_json(section_json, "section notify")
        notice = notice_of(config, run_id, state, message, environment.events_path())
        emit({"note": deliver(config, notice)})
        emit({"state": "done"})


def deliver(config: NoticeConfig, notice: Notice) -> str:
    """Send a notice; returns what was done, in words.

    Raises:
        UserError: there is no secret, or nobody took the notice.
    """
    if config.url is None:
        return f"{notice.outcome}; nobody is told (retrain.notify.url names no webhook)"
    num_attempts = send(
        config.url,
        webhook_secret(),
        notice.delivery_id(),
        canonical_json(notice.data()),
        num_attempts=config.num_attempts,
        timeout_s=config.timeout_s,
    )
    return f"{notice.outcome}; the webhook was told in {num_attempts} attempts"


def notice_of(config: NoticeConfig, run_id: str, state: str, message: str, events: Path | None) -> Notice:
    """The notice of a run, from what KFP says and from what the run has left (its event file, if it has one)."""
    conclusion = find_conclusion(run_id)
    is_success = state == SUCCEEDED and conclusion is not None
    named = [task for task in _TASKS if re.search(rf"(?<![\w-]){task}(?![\w-])", message)]
    return Notice(
        outcome=conclusion.outcome if is_success and conclusion is not None else "failure",
        run_id=run_id,
        recipe=config.recipe,
        model_name=config.model_name,
        failed_tasks=[] if is_success else list(dict.fromkeys([*failed_tasks(events, TASK), *named])),
        conclusion=conclusion,
    )


def webhook_secret() -> str:
    """The secret that is shared with the webhook.

    Raises:
        UserError: the environment has none, or one that is no secret.
    """
    secret = environment.webhook_secret()
    if secret is None:
        raise UserError(
            f"{environment.WEBHOOK_SECRET} is not set; set it to the secret that the webhook's receiver has, or leave "
            "retrain.notify.url out of the recipe"
        )
    key_of(secret)
    return secret

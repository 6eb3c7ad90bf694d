"""Recipe section `retrain`: what a scheduled run of the recipe is told beside what the line is told."""

from typing import Literal

from hazardline.datasets.document import DatasetName
from hazardline.documents import Document
from hazardline.newdata.config import TriggerConfig
from hazardline.notify.config import NotifyConfig


class RetrainConfig(Document):
    """Recipe section `retrain`; a recipe without it cannot be retrained on a schedule."""

    dataset: DatasetName
    """Name of the data set, the same as `ingest.dataset`: its versions are compared."""
    trigger: TriggerConfig = TriggerConfig()
    """What is worth a training."""
    approval: Literal["automatic", "manual"] = "manual"
    """`manual`: a candidate that passed its gate waits for `hazardline register promote --approve`. It stands in place
    of `register.approval`, which is for runs that a person starts."""
    notify: NotifyConfig = NotifyConfig()
    """Who is told how a run ended."""

"""A Ray worker that is killed once, in the middle of a step."""

import os
import signal
from pathlib import Path
from typing import Any

from torch import Tensor

from hazardline.train.document import BranchJob
from hazardline.train.ray_train import RayWorkers, run_job

KILLED_NAME = "killed"
_SUMS_PER_STEP = 4
KILL_AT_STEP = 8


class KilledOnce(RayWorkers):
    """Ends its own process by SIGKILL in step `KILL_AT_STEP`, unless that has happened already."""

    def __init__(self, marker: Path) -> None:
        super().__init__()
        self._marker = marker
        self._sums = 0

    def sum(self, tensor: Tensor) -> None:
        self._sums += 1
        if not self._marker.exists() and self._sums == _SUMS_PER_STEP * KILL_AT_STEP:
            self._marker.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        super().sum(tensor)


def work_and_be_killed(data: dict[str, Any]) -> None:
    """Like `hazardline.train.ray_train.work_on_branch`, with a SIGKILL on the way."""
    job = BranchJob.parse(data, "job of a test")
    run_job(job, KilledOnce(job.progress.with_name(KILLED_NAME)))

"""Ray Train's trainer for a training function that brings its own data: without helper processes, and without torch.

Ray Train 2.60 starts, for every trainer, an actor that serves Ray Data sets (there are none) and one that frees
placement groups should the controller die. Each is a Python process of 200 MB, and two branches train side by side.
The second one goes only where Ray itself ends with the run. Callbacks are chosen in a method that Ray does not
document: Ray's version is pinned, and `tests/train/test_ray.py` trains with this class.

`TorchTrainer` is this trainer with a process group set up on its workers (`ray_torch_trainer.py`). A lone worker needs
none, and the process that starts it is spared half a gigabyte of torch.
"""

import os
from typing import Any

from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer


class LeanTrainer(DataParallelTrainer):
    """`DataParallelTrainer` with no process group, for one worker."""

    def _create_default_callbacks(self) -> list[Any]:
        is_local = "RAY_ADDRESS" not in os.environ
        unused = (DatasetsCallback, PlacementGroupCleanerCallback) if is_local else (DatasetsCallback,)
        callbacks: list[Any] = super()._create_default_callbacks()
        return [callback for callback in callbacks if not isinstance(callback, unused)]

"""Ray Train's `TorchTrainer` without helper processes that a run here has no use for.

Ray Train 2.60 starts, for every trainer, an actor that serves Ray Data sets (there are none) and one that frees
placement groups should the controller die. Each is a Python process of 200 MB, and two branches train side by side.
The second one goes only where Ray itself ends with the run. Callbacks are chosen in a method that Ray does not
document: Ray's version is pinned, and `tests/train/test_ray.py` trains with this class.
"""

import os
from typing import Any

from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback


class LeanTorchTrainer(TorchTrainer):
    """`TorchTrainer` for a training function that brings its own data."""

    def _create_default_callbacks(self) -> list[Any]:
        is_local = "RAY_ADDRESS" not in os.environ
        unused = (DatasetsCallback, PlacementGroupCleanerCallback) if is_local else (DatasetsCallback,)
        callbacks: list[Any] = super()._create_default_callbacks()  # type: ignore[misc]
        return [callback for callback in callbacks if not isinstance(callback, unused)]

"""A Ray Train backend for a lone worker: no process group, and so no torch in the controller."""

from dataclasses import dataclass

from ray.train import BackendConfig


@dataclass
class NoProcessGroup(BackendConfig):
    """Stands where `TorchTrainer` takes a `TorchConfig`; nothing is set up on the worker."""

    backend: str = "none"

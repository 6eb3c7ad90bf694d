"""From the losses of a step to changed weights: gradients of all workers come together, and the optimizer moves.

The loss of a step is one sum over its answers on all workers, divided once, so gradients are added and never averaged:
a step is the same for any number of workers and any division of its clips.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from hazardline.errors import UserError

SumOverWorkers = Callable[[Tensor], None]
"""Adds up a tensor over all workers, in place."""


class Updater(Protocol):
    """What a step needs of a way to distribute training."""

    def begin(self, learning_rate: float) -> None:
        """Forget the gradients of the step before."""

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a part of this worker's loss. Workers that share weights call it equally often."""

    def step(self) -> float:
        """Bring the gradients together, clip, and update the weights; returns the norm of the gradient before."""

    def weights(self) -> dict[str, Tensor]:
        """Trained weights by name, whole. Every worker calls it."""

    def state(self) -> dict[str, Tensor]:
        """Trained weights and the optimizer's memory by name, whole. Every worker calls it."""

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave."""


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Trainable parameters by name, in the model's order."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def make_optimizer(
    kind: str, parameters: Sequence[nn.Parameter], learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW (`adamw`), or with its moments in eight bits (`adamw_8bit`).

    Raises:
        UserError: bitsandbytes is not installed.
    """
    if kind == "adamw":
        return torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)
    try:
        from bitsandbytes.optim.adamw import AdamW8bit
    except ImportError:
        raise UserError(
            "train.optimizer: adamw_8bit needs bitsandbytes; install hazardline[gpu], or choose adamw"
        ) from None
    kind_of_optimizer: Any = AdamW8bit  # it carries no types
    found: torch.optim.Optimizer = kind_of_optimizer(parameters, lr=learning_rate, weight_decay=weight_decay)
    return found


class Replicas:
    """Data parallelism: every worker holds the whole model. The gradients travel in one message a step.

    With LoRA they are few (tens of MB), so torch's DistributedDataParallel would gain nothing by sending them in pieces
    while the backward pass runs, and it cannot have a worker without a clip.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        max_gradient_norm: float,
        sum_over_workers: SumOverWorkers,
    ) -> None:
        """Bind parameters by name, in the same order on every worker, and their optimizer."""
        self._parameters = dict(parameters)
        self._optimizer = optimizer
        self._max_gradient_norm = max_gradient_norm
        self._sum = sum_over_workers

    def begin(self, learning_rate: float) -> None:
        """Forget the gradients of the step before."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        """Add a gradient."""
        loss.backward()

    def step(self) -> float:
        """Add up, clip, update."""
        parameters = list(self._parameters.values())
        add_up_gradients(parameters, self._sum)
        norm = nn.utils.clip_grad_norm_(parameters, self._max_gradient_norm, error_if_nonfinite=True)
        self._optimizer.step()
        return float(norm)

    def weights(self) -> dict[str, Tensor]:
        """The trained weights themselves."""
        return {name: parameter.detach() for name, parameter in self._parameters.items()}

    def state(self) -> dict[str, Tensor]:
        """Weights as `parameter/<name>`; what the optimizer remembers of each as `<what>/<name>`."""
        tensors = {}
        for name, parameter in self._parameters.items():
            tensors[f"parameter/{name}"] = parameter.detach().contiguous()
            for what, value in self._optimizer.state.get(parameter, {}).items():
                # a copy: bitsandbytes shares its tables among parameters, and safetensors refuses shared memory
                tensors[f"{what}/{name}"] = torch.as_tensor(value).clone().contiguous()
        return tensors

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Weights in place; the optimizer's memory anew."""
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(tensors[f"parameter/{name}"])
        for name, parameter in self._parameters.items():
            remembered = {key.partition("/")[0]: value for key, value in tensors.items() if key.endswith(f"/{name}")}
            del remembered["parameter"]
            self._optimizer.state[parameter] = {
                what: _as_the_optimizer_has_it(self._optimizer, what, value.to(parameter.device))
                for what, value in remembered.items()
            }


def _as_the_optimizer_has_it(optimizer: torch.optim.Optimizer, what: str, value: Tensor) -> Tensor | int:
    """Bitsandbytes counts steps as a Python number, torch as a tensor."""
    if what == "step" and not isinstance(optimizer, torch.optim.AdamW):
        return int(value)
    return value.cpu() if what == "step" and not value.is_cuda else value


def add_up_gradients(parameters: Sequence[nn.Parameter], sum_over_workers: SumOverWorkers) -> None:
    """One message for all gradients. A worker without clips adds zeros."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([parameter.grad.reshape(-1) for parameter in parameters if parameter.grad is not None])
    sum_over_workers(flat)
    offset = 0
    for parameter in parameters:
        assert parameter.grad is not None
        parameter.grad.copy_(flat[offset : offset + parameter.numel()].view_as(parameter))
        offset += parameter.numel()

"""DeepSpeed's ZeRO: optimizer state (1), gradients (2) or the frozen weights as well (3) divided among the workers.

Needs the `gpu` extra and a process group. The settings are the JSON files beside this module; what a recipe decides
(precision and clipping) is filled in here.
"""

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

import torch
from torch import Tensor, nn

from hazardline.errors import UserError
from hazardline.train.updater import trainable

SETTINGS = {"zero1": "zero1.json", "zero2": "zero2.json", "zero3": "zero3.json"}
_MEMORY = ("exp_avg", "exp_avg_sq")


def zero_settings(stage: str, max_gradient_norm: float, precision: str) -> dict[str, Any]:
    """DeepSpeed's configuration of a stage."""
    text = resources.files("hazardline.train.zero_settings").joinpath(SETTINGS[stage]).read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return {
        **found,
        "train_micro_batch_size_per_gpu": 1,
        "gradient_clipping": max_gradient_norm,
        "bf16": {"enabled": precision == "bf16" and torch.cuda.is_available()},
    }


class Zero:
    """`hazardline.train.updater.Updater` over a DeepSpeed engine."""

    def __init__(self, step_module: nn.Module, optimizer: torch.optim.Optimizer, settings: Mapping[str, Any]) -> None:
        """Hand a model over to DeepSpeed.

        Args:
            step_module: what computes a pass's loss; its trainable parameters are those of `optimizer`.
            optimizer: AdamW over them.
            settings: as `zero_settings` gives them.

        Raises:
            UserError: DeepSpeed is not installed.
        """
        try:
            import deepspeed
        except ImportError:
            raise UserError(
                "train.parallelism: ZeRO needs DeepSpeed; install hazardline[gpu], or choose replicas"
            ) from None

        deepspeed.init_distributed(dist_backend="nccl" if torch.cuda.is_available() else "gloo", verbose=False)
        parameters = trainable(step_module)
        self.engine, self._optimizer, _, _ = deepspeed.initialize(
            model=step_module, model_parameters=list(parameters.values()), optimizer=optimizer, config=dict(settings)
        )
        self._parameters = {name.removeprefix("module."): p for name, p in trainable(self.engine.module).items()}

    def begin(self, learning_rate: float) -> None:
        """Set the rate; DeepSpeed drops the gradients itself after a step."""
        for group in self.engine.optimizer.param_groups:
            group["lr"] = learning_rate

    def backward(self, loss: Tensor) -> None:
        """Add a gradient. DeepSpeed takes the mean over workers, and what is wanted is the sum."""
        self.engine.backward(loss * self.engine.world_size, scale_wrt_gas=False)

    def step(self) -> float:
        """Reduce, clip, update."""
        self.engine.step()
        return float(self.engine.get_global_grad_norm())

    def weights(self) -> dict[str, Tensor]:
        """The whole tensors, gathered from all workers."""
        from deepspeed.utils import safe_get_full_fp32_param

        return {
            name: safe_get_full_fp32_param(parameter).detach().cpu().clone()
            for name, parameter in self._parameters.items()
        }

    def state(self) -> dict[str, Tensor]:
        """The whole tensors, gathered from all workers; the same names as of replicas."""
        from deepspeed.utils import safe_get_full_optimizer_state

        tensors = {f"parameter/{name}": value for name, value in self.weights().items()}
        steps = [float(held["step"]) for held in self._memory().values()]
        for name, parameter in self._parameters.items():
            if steps:
                tensors[f"step/{name}"] = torch.tensor(steps[0])
            for what in _MEMORY if steps else ():
                tensors[f"{what}/{name}"] = safe_get_full_optimizer_state(parameter, what).detach().cpu().clone()
        return tensors

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Every worker takes its part of the whole tensors."""
        import deepspeed
        from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

        self._make_memory(next(float(value) for name, value in tensors.items() if name.startswith("step/")))
        for name, parameter in self._parameters.items():
            weights = tensors[f"parameter/{name}"]
            with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0), torch.no_grad():
                parameter.copy_(weights)  # what the forward pass uses; below, what the optimizer steps on
            safe_set_full_fp32_param(parameter, weights)
            for what in _MEMORY:
                safe_set_full_optimizer_state(parameter, tensors[f"{what}/{name}"], what)

    def _memory(self) -> dict[Tensor, dict[str, Tensor]]:
        """What the wrapped AdamW remembers of this worker's part of the weights."""
        found: dict[Tensor, dict[str, Tensor]] = self._optimizer.optimizer.state
        return found

    def _make_memory(self, step: float) -> None:
        """An empty memory for every part, as AdamW's first step would make it: DeepSpeed loads into what is there.

        The attributes are DeepSpeed's own (0.19); `tests/train/test_parallel.py` holds that a run goes on after it.
        """
        zero = self._optimizer
        is_third = hasattr(zero, "fp32_partitioned_groups_flat")
        for part in zero.fp32_partitioned_groups_flat if is_third else zero.single_partition_of_fp32_groups:
            self._memory()[part] = {
                "step": torch.tensor(step),
                **{what: torch.zeros_like(part) for what in _MEMORY},
            }
        if not is_third:
            zero._lazy_init_hp_params_optimizer_state()

"""Two processes that average their gradients (gloo): pre-training on a laptop's cores."""

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import spawn


def launch(worker: Callable[..., None], num_processes: int, *arguments: Any) -> None:
    """Run `worker(rank, num_processes, *arguments)` in that many processes, and wait for all."""
    with tempfile.TemporaryDirectory(prefix="pocket-") as folder:
        store = str(Path(folder) / "store")
        spawn(_start, args=(worker, num_processes, store, arguments), nprocs=num_processes)


def _start(rank: int, worker: Callable[..., None], num_processes: int, store: str, arguments: Sequence[Any]) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=num_processes)
    try:
        worker(rank, num_processes, *arguments)
    finally:
        distributed.destroy_process_group()


def average_gradients(parameters: Sequence[Tensor], buffer: Tensor) -> None:
    """Replace every gradient by its mean over the processes; `buffer` holds all parameters' elements, float32."""
    offset = 0
    for parameter in parameters:
        part = buffer[offset : offset + parameter.numel()]
        if parameter.grad is None:
            part.zero_()
        else:
            part.copy_(parameter.grad.reshape(-1))
        offset += parameter.numel()
    distributed.all_reduce(buffer)
    buffer /= distributed.get_world_size()
    offset = 0
    for parameter in parameters:
        part = buffer[offset : offset + parameter.numel()].view_as(parameter)
        if parameter.grad is None:
            parameter.grad = part.clone()
        else:
            parameter.grad.copy_(part)
        offset += parameter.numel()


def cosine_rate(step: int, num_steps: int, warmup: int, floor: float = 0.03) -> float:
    """Factor on the learning rate: linear warm-up, then cosine to `floor`."""
    progress = min(1.0, step / max(1, num_steps))
    warm = min(1.0, (step + 1) / max(1, warmup))
    return warm * (floor + (1 - floor) * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * progress)))))


def decayed_groups(trained: Sequence[nn.Parameter], vocab_size: int, decay: float) -> list[dict[str, Any]]:
    """Parameter groups of an optimizer: matrices decay, vectors and the table of embeddings do not."""
    decayed = [p for p in trained if p.ndim > 1 and p.shape[0] != vocab_size]
    kept = [p for p in trained if p.ndim < 2 or p.shape[0] == vocab_size]
    return [{"params": decayed, "weight_decay": decay}, {"params": kept, "weight_decay": 0.0}]


class Descent:
    """AdamW on the mean gradients of all processes, clipped, with a rate that warms up and falls as a cosine."""

    def __init__(self, rank: int, groups: list[dict[str, Any]], num_steps: int, rate: float, warmup: int) -> None:
        """Take the optimizer's parameter groups, and how its learning rate goes."""
        self._rank, self._num_steps, self._rate, self._warmup = rank, num_steps, rate, warmup
        self._trained = [parameter for group in groups for parameter in group["params"]]
        self._optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)
        self._buffer = torch.zeros(sum(parameter.numel() for parameter in self._trained))
        self._started = time.monotonic()
        self.history: list[dict[str, float]] = []

    def start(self, step: int) -> None:
        """Before the losses of a step: its rate, and no gradients."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * cosine_rate(step, self._num_steps, self._warmup)
        self._optimizer.zero_grad(set_to_none=True)

    def finish(self) -> None:
        """After the backward pass."""
        average_gradients(self._trained, self._buffer)
        nn.utils.clip_grad_norm_(self._trained, 1.0)
        self._optimizer.step()

    def is_due(self, step: int, every: int) -> bool:
        """Whether this process validates after this step."""
        return self._rank == 0 and (step % every == every - 1 or step + 1 == self._num_steps)

    def record(self, step: int, measured: Mapping[str, float]) -> None:
        """Keep and print what a validation measured."""
        self.history.append({"step": step + 1, "wall_s": round(time.monotonic() - self._started, 1), **measured})
        print(json.dumps(self.history[-1]), flush=True)

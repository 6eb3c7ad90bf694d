"""What a peer's process is watched for: step times, where they go, losses, and the first batch.

Needs only transformers: it runs in the peer's own environment, so it imports nothing of this repository.
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback

_KEPT = ("input_ids", "labels", "video_grid_thw", "attention_mask")
PROCESS_START = time.perf_counter()


class Watch(TrainerCallback):
    """Callback of a Hugging Face trainer; `write` puts down what was seen.

    The clock starts with the first step's data, behind everything that a peer does before its training loop.
    """

    def __init__(self) -> None:
        """Begin to watch: every training step of this process reports its inputs once."""
        self.begin_s = self.end_s = 0.0
        self.begin_cpu_s = self.end_cpu_s = 0.0
        self.step_ends_s: list[float] = []
        self.losses: list[float] = []
        self.seconds: dict[str, float] = defaultdict(float)
        self.first_batch: dict[str, Any] = {}
        self._watch_inputs()

    def _watch_inputs(self) -> None:
        original = Trainer.training_step

        def training_step(trainer: Any, model: Any, inputs: dict[str, Any], *rest: Any, **named: Any) -> Any:
            if not self.first_batch:
                self.first_batch = {key: inputs[key].tolist() for key in _KEPT if torch.is_tensor(inputs.get(key))}
            return original(trainer, model, inputs, *rest, **named)

        Trainer.training_step = training_step  # type: ignore[assignment, method-assign]

    def time(self, owner: Any, name: str, phase: str) -> None:
        """Add up the seconds inside `owner.name`, while training runs, as `phase`."""
        function: Callable[..., Any] = getattr(owner, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                if self.begin_s and not self.end_s:
                    self.seconds[phase] += time.perf_counter() - start

        setattr(owner, name, timed)

    def on_train_begin(self, *arguments: Any, **named: Any) -> None:
        self.begin_s, self.begin_cpu_s = time.perf_counter(), time.process_time()

    def on_step_end(self, *arguments: Any, **named: Any) -> None:
        self.step_ends_s.append(time.perf_counter())

    def on_train_end(self, *arguments: Any, **named: Any) -> None:
        self.end_s, self.end_cpu_s = time.perf_counter(), time.process_time()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **named: Any) -> None:
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))

    def write(self, path: Path) -> None:
        """Write the figures as JSON."""
        figures = {
            "train_s": self.end_s - self.begin_s,
            "cpu_s": self.end_cpu_s - self.begin_cpu_s,
            "start_s": self.begin_s - PROCESS_START,
            "step_ends_s": [end - self.begin_s for end in self.step_ends_s],
            "losses": self.losses,
            "seconds": dict(self.seconds),
            "first_batch": self.first_batch,
        }
        path.write_text(json.dumps(figures))

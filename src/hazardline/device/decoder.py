"""ONNX Runtime sessions of a bundle, and the decoder with its caches and its two adapters.

ONNX Runtime and NumPy alone: this runs on a vehicle's computer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from hazardline.errors import UserError

CPU = "CPUExecutionProvider"
_ERRORS_ONLY = 3

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def open_session(path: Path, provider: str, num_threads: int) -> Any:
    """An inference session on one provider; operators that it lacks run on the CPU, a failing one is an error.

    Raises:
        UserError: the provider is not part of this ONNX Runtime or does not start, or the file is no ONNX model.
    """
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise UserError(f"provider {provider}: this ONNX Runtime has none; it has {', '.join(available)}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    providers = [provider] if provider == CPU else [provider, CPU]
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise UserError(f"{path}: ONNX Runtime cannot open it ({_first_line(error)}); fetch the bundle again") from None
    session.disable_fallback()
    if session.get_providers()[0] != provider:
        raise UserError(f"provider {provider} did not start; ONNX Runtime fell back to {session.get_providers()[0]}")
    return session


def nodes_by_provider(session: Any) -> dict[str, int]:
    """How many graph nodes each provider was given: what a session says of itself, to be read after a real run."""
    counts: dict[str, int] = {}
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] = counts.get(part.ep_name, 0) + len(part.get_nodes())
    return counts


def read_adapter(path: Path) -> dict[str, Any]:
    """The tensors of an `.onnx_adapter` file by name, as values that sessions take without a copy.

    Raises:
        UserError: it is no adapter file.
    """
    try:
        parameters: dict[str, Any] = onnxruntime.AdapterFormat.read_adapter(str(path)).get_parameters()
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise UserError(f"{path}: is no ONNX adapter ({_first_line(error)}); fetch the bundle again") from None
    return parameters


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def as_value(array: npt.NDArray[Any]) -> Any:
    """A NumPy array as a value of ONNX Runtime."""
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


@dataclass(frozen=True)
class Cache:
    """Keys and values of all layers for `length` tokens; never changed, so several continuations may share it."""

    values: tuple[Any, ...]
    length: int
    next_position: int
    """Where text goes on; an image under M-RoPE has more tokens than positions."""


class Decoder:
    """The language model of a bundle: one base, a set of LoRA weights for each branch."""

    def __init__(self, session: Any, adapters: dict[str, dict[str, Any]]) -> None:
        """Read the sizes out of the graph.

        Raises:
            UserError: an adapter does not fit the graph.
        """
        self.session = session
        inputs = {item.name: item for item in session.get_inputs()}
        self.hidden_size: int = inputs["inputs_embeds"].shape[-1]
        self.position_axes: int = inputs["position_ids"].shape[0]
        self._past_names = [name for name in inputs if name.startswith("past.")]
        self._outputs = [item.name for item in session.get_outputs()]
        _, heads, _, head_size = inputs[self._past_names[0]].shape
        nothing = as_value(np.zeros((1, heads, 0, head_size), dtype=np.float32))
        self.empty = Cache((nothing,) * len(self._past_names), 0, 0)
        expected = {item.name for item in session.get_overridable_initializers()}
        for branch, weights in adapters.items():
            if set(weights) != expected:
                odd = sorted(set(weights) ^ expected)[0]
                raise UserError(f"adapter {branch}: does not fit the decoder ({odd}); fetch the bundle again")
        self._adapters = adapters

    def run(
        self,
        branch: str | None,
        embeddings: Floats,
        positions: Ints,
        visible: Bools,
        logit_positions: Sequence[int],
        cache: Cache,
    ) -> tuple[Floats, Cache]:
        """Run new tokens behind a cache.

        Args:
            branch: whose LoRA weights; None for the base alone.
            embeddings: (tokens, hidden size).
            positions: (position axes, tokens), or (1, tokens) for the same on all axes.
            visible: (tokens, cached + tokens), True where a token may look.
            logit_positions: new tokens whose logits are wanted.
            cache: of the tokens before.

        Returns:
            Logits (len(logit_positions), vocabulary), and the cache with the new tokens.
        """
        feed = {
            "inputs_embeds": as_value(embeddings[None]),
            "position_ids": as_value(np.broadcast_to(positions, (self.position_axes, len(embeddings)))),
            "visible": as_value(visible),
            "logit_positions": as_value(np.asarray(logit_positions, dtype=np.int64)),
            **dict(zip(self._past_names, cache.values, strict=True)),
            **(self._adapters[branch] if branch is not None else {}),
        }
        logits, *present = self.session.run_with_ort_values(self._outputs, feed)
        next_position = max(cache.next_position, int(positions.max()) + 1)
        return logits.numpy(), Cache(tuple(present), cache.length + len(embeddings), next_position)

"""A branch's LoRA weights as an `.onnx_adapter` file, ONNX Runtime's own format."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
from torch import Tensor

from hazardline.files import write_atomic

_FORMAT_VERSION = 1


def write_adapter(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write LoRA weights under the names of the decoder's inputs, atomically; equal weights give equal bytes."""
    arrays = {name: np.ascontiguousarray(weights[name].float().numpy()) for name in sorted(weights)}
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in arrays.items()}
    adapter = onnxruntime.AdapterFormat()
    adapter.set_adapter_version(_FORMAT_VERSION)
    adapter.set_model_version(_FORMAT_VERSION)
    adapter.set_parameters(values)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "adapter"
        adapter.export_adapter(str(made))  # reads `arrays`, which must still be alive
        write_atomic(path, made.read_bytes())

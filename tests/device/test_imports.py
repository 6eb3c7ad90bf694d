"""What runs on a vehicle's computer imports what is there, and nothing of training."""

import json
import subprocess
import sys

UPDATE_SIDE = ("bundle", "config", "fetch", "health", "manifest", "slots", "state", "update")
FORBIDDEN = ("torch", "transformers", "peft", "mlflow", "pyarrow", "ray", "kfp", "matplotlib", "onnx", "panda3d")
PROGRAM = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def top_level_modules(*names: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *names], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_update_side_imports_nothing_of_training() -> None:
    modules = top_level_modules(*(f"hazardline.device.{name}" for name in UPDATE_SIDE))
    assert "tuf" in modules and "pydantic" in modules
    assert modules & set(FORBIDDEN) == set()


def test_the_process_that_answers_imports_nothing_of_training() -> None:
    modules = top_level_modules("hazardline.device.probe", "hazardline.device.runtime")
    assert {"onnxruntime", "llguidance"} <= modules
    assert modules & set(FORBIDDEN) == set()

"""Environments of the peers: one each, below `.bench`, from a pinned list; and how a command is run on one thread."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.training.document import ROOT

BENCH = ROOT / ".bench"
"""Everything that the benchmark leaves behind apart from its results; safe to delete."""
_HERE = Path(__file__).parent
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
}


def peer_python(name: str) -> Path:
    """Python of a peer's environment, which is made and filled on first use (several GB each)."""
    folder = BENCH / name
    requirements = _HERE / "requirements" / f"{name}.txt"
    stamp = folder / "installed.txt"
    if not stamp.is_file() or stamp.read_text() != requirements.read_text():
        print(f"installing {name} into {folder} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)  # noqa: S603 - our own interpreter
        command = [str(folder / "bin" / "pip"), "install", "--quiet", "-r", str(requirements)]
        subprocess.run(command, check=True)  # noqa: S603 - pip of the new environment
        stamp.write_text(requirements.read_text())
    return folder / "bin" / "python"


def run_on_one_thread(command: Sequence[str], log: Path, extra: Mapping[str, str] | None = None) -> None:
    """Run a command from the root of the repository, its output in a log file.

    Raises:
        RuntimeError: it failed; the end of its output is part of the message.
    """
    environment = {**os.environ, **ONE_THREAD, **(extra or {})}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed ({done.returncode}); {log} ends with:\n{log.read_text()[-3000:]}")

import subprocess
import sys
from pathlib import Path

from hazardline.simulate.layouts.registry import WRITERS


def _run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from hazardline.cli.main import main; main()", "layout", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_writes_a_layout(native: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "badas"
    done = _run("badas", "--from", native, "--out", out)
    assert done.returncode == 0, done.stderr
    assert f"hazardline ingest --source badas --root {out}" in done.stdout
    assert (out / "dota_test_concensus.csv").is_file() and len(list((out / "videos").iterdir())) == 8


def test_the_hint_names_the_source_that_reads_it(native: Path, tmp_path: Path) -> None:
    done = _run("nexar_hub", "--from", native, "--out", tmp_path / "hub")
    assert f"hazardline ingest --source nexar --root {tmp_path / 'hub'}" in done.stdout


def test_what_the_command_refuses(native: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (("kitti", "--from", native, "--out", tmp_path / "a"), f"expected one of {', '.join(sorted(WRITERS))}"),
        (("ccd", "--from", tmp_path / "none", "--out", tmp_path / "a"), "no such folder"),
        (("ccd", "--from", native, "--out", tmp_path), "exists already"),
        (("ccd", "--from", tmp_path, "--out", tmp_path / "a"), "manifest.jsonl: cannot be read"),
    ):
        done = _run(*arguments)
        assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1
        assert not (tmp_path / "a").exists()

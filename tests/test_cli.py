"""The command line: quick to start, one line for what the user can mend, every stage by hand."""

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hazardline.cli.display import EventTail, ProgressDisplay
from hazardline.cli.main import app
from hazardline.progress import EventReporter
from hazardline.stages import STAGES
from hazardline.tables import QUARANTINE, SCENES, read_table

ROOT = Path(__file__).parents[1]


def hazardline(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "hazardline", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def children_cpu_s() -> float:
    """Processor time of the processes that were waited for: a busy machine does not lengthen it much."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def refused(*arguments: str | Path) -> str:
    """The one line of a refused command (after what the stage said of its progress)."""
    done = hazardline(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("hazardline: ")]
    assert len(lines) == 1 and done.stderr.endswith(f"{lines[0]}\n"), done.stderr
    return lines[0]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few simulated clips, made by the command itself."""
    out = tmp_path_factory.mktemp("cli") / "clips"
    done = hazardline(
        "simulate", "--num-pairs", "1", "--num-normal", "1", "--seed", "5", "--num-workers", "1", "--out", out
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["clips"] == 3
    return out


def test_help_is_quick_and_names_every_stage() -> None:
    done = hazardline("--help")
    assert done.returncode == 0
    assert [stage.name for stage in STAGES if f"  {stage.name} " not in done.stdout] == []
    imported = subprocess.run(
        [sys.executable, "-c", "import sys, hazardline.cli.main; print(sorted(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert not [name for name in ("torch", "numpy", "mlflow", "pyarrow", "boto3") if f"'{name}'" in imported]
    begin = children_cpu_s()
    subprocess.run([sys.executable, "-m", "hazardline", "--help"], capture_output=True, check=True)
    assert children_cpu_s() - begin < 1.0


@pytest.mark.parametrize("stage", [stage.name for stage in STAGES])
def test_every_stage_explains_itself(stage: str) -> None:
    done = CliRunner().invoke(app, [stage, "--help"])
    assert done.exit_code == 0, done.output
    assert "--out" in done.output and "--recipe" in done.output


def test_clips_are_made_drawn_and_ingested_by_hand(clips: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    assert hazardline("contact-sheet", clips, sheet).returncode == 0
    assert sheet.read_bytes().startswith(b"\x89PNG")
    out = tmp_path / "empty"
    out.mkdir()
    done = hazardline("ingest", "--source", "native", "--root", clips, "--out", out)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["num_clips"] == 3
    assert (out / "scenes.parquet").is_file() and (out / "quarantine.parquet").is_file()
    again = hazardline("ingest", "--input", f"simulate={clips}", "--out", tmp_path / "again")
    assert json.loads(again.stdout)["num_clips"] == 3
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_folder_with_too_many_bad_clips_is_refused_and_its_tables_are_left_to_look_into(
    clips: Path, tmp_path: Path
) -> None:
    """A folder as users have them: names in any script, empty, cut off and mistaken files, times out of order."""
    root, out = tmp_path / "my föotage", tmp_path / "out"
    root.mkdir()
    first, second = sorted((clips / "videos").glob("*.mp4"))[:2]
    shutil.copyfile(first, root / "crâsh 事故.mp4")
    shutil.copyfile(first, root / "again.mp4")
    shutil.copyfile(second, root / "order.mp4")
    (root / "cut.mp4").write_bytes(first.read_bytes()[:9000])
    (root / "empty.mp4").touch()
    (root / "text.mp4").write_text("hello\n")
    names = ["crâsh 事故.mp4", "again.mp4", "cut.mp4", "empty.mp4", "text.mp4", "../clips/manifest.jsonl"]
    lines = [{"clip_id": name, "video": name, "label": "normal"} for name in names]
    times = {"pre_crash_start_s": 4.0, "crash_start_s": 2.0, "crash_end_s": 3.0}
    lines.append({"clip_id": "order", "video": "order.mp4", "label": "crash", "times": times})
    (root / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    done = hazardline("ingest", "--source", "native", "--root", root, "--out", out)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "6 of 7 clips cannot be used" in done.stderr and f"What was found is in {out}" in done.stderr
    assert [row["clip_id"] for row in read_table(SCENES, out)] == ["crâsh 事故.mp4"]
    assert {row["clip_id"]: row["reason"] for row in read_table(QUARANTINE, out)} == {
        "again.mp4": "duplicate_bytes",
        "cut.mp4": "truncated",
        "empty.mp4": "unreadable",
        "text.mp4": "unreadable",
        "../clips/manifest.jsonl": "path_outside_root",
        "order": "times_out_of_order",
    }


def test_a_section_comes_from_the_recipe(clips: Path, tmp_path: Path) -> None:
    ingested = tmp_path / "ingest"
    hazardline("ingest", "--root", clips, "--out", ingested)
    recipe = ROOT / "recipes" / "crashchat_pocket.yaml"
    line = refused("split", "--recipe", recipe, "--input", f"ingest={ingested}", "--out", tmp_path / "split")
    assert "test" in line, "three clips cannot make the 300 test clips of the recipe"
    assert not (tmp_path / "split").exists()


def test_what_is_missing_or_wrong_is_one_line(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "give --input ingest=DIR" in refused("split", "--out", out)
    assert "expected STAGE=DIR" in refused("split", "--input", "ingest", "--out", out)
    assert "does not read train; it reads ingest" in refused("split", "--input", f"train={clips}", "--out", out)
    assert "is no folder" in refused("split", "--input", f"ingest={tmp_path / 'absent'}", "--out", out)
    assert "give --out DIR" in refused("split", "--input", f"ingest={clips}")
    assert "holds something already" in refused("ingest", "--root", clips, "--out", clips)
    assert "simulate: num_pairs" in refused("simulate", "--num-pairs", "-1", "--out", out)
    assert "cannot be read" in refused("recipe", "check", tmp_path / "absent.yaml")
    assert "not a provisioned device" in refused("device", "status", "--state", tmp_path / "device")
    assert "is not a bundle" in refused("device", "infer", "--bundle", tmp_path, "--clip", clips / "manifest.jsonl")
    assert not out.exists()


def test_a_recipe_is_checked() -> None:
    done = hazardline("recipe", "check", ROOT / "recipes" / "crashchat_pocket_smoke.yaml")
    assert done.returncode == 0, done.stderr
    assert "simulate, ingest, split" in done.stdout


def test_a_recipes_cost_is_said_without_its_weights() -> None:
    recipe = ROOT / "recipes" / "crashchat_videollama3_7b.yaml"
    done = hazardline("cost", recipe, "--device", "a100-40gb", "--clips", "1000")
    assert done.returncode == 0, done.stderr
    assert "perception:" in done.stdout and "fits a100-40gb" in done.stdout and "of 1,000 training clips" in done.stdout
    assert "expected one of a100-40gb" in refused("cost", recipe, "--device", "tpu")


def test_a_device_answers_without_torch() -> None:
    code = (
        "import sys, hazardline.cli.main, hazardline.device.runtime, hazardline.device.bundle\n"
        "print([name for name in ('torch', 'transformers', 'mlflow', 'ray') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_display_shows_events_of_another_process(tmp_path: Path) -> None:
    from rich.console import Console

    events = tmp_path / "events.jsonl"
    screen = tmp_path / "screen.txt"
    tail = EventTail(events)
    with screen.open("w") as stream, ProgressDisplay(Console(file=stream, width=100), ["train"]) as display:
        reporter = EventReporter(events, "train", interval_s=0.0)
        reporter.phase("steps [linguistic]", 2)
        reporter.advance(2)
        with events.open("a") as other:
            other.write('{"stage": "train", "note": "half a li')
        for event in tail.read():
            display.handle(event)
        with events.open("a") as other:
            other.write('ne"}\n{"stage": "train", "time": 0, "state": "failed", "error": "no"}\n')
        for event in tail.read():
            display.handle(event)
        display.tick()
    shown = screen.read_text()
    assert "steps [linguistic]" in shown
    assert "half a line" in shown
    assert list(tail.read()) == []

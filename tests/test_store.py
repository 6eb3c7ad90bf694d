"""The store under ill treatment: killed makers, two runs at once, damaged files; and what a cache key sees."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hazardline.code_digest import PACKAGE_ROOT, code_digest, modules_used
from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.progress import Reporter
from hazardline.stage_runner import cache_key, files_named, make_or_reuse
from hazardline.stages import RunFunction, Stage
from hazardline.store import DamagedError, StageRecord, Store

HERE = Path(__file__)


class WriteConfig(Document):
    """Settings of the stage that these tests run."""

    text: str = "hello"
    source: str | None = None
    wait_s: float = 0.0
    names_out: bool = False


def write(config: WriteConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    """A small real stage: a file of its own, what its inputs hold, and a line that counts its runs."""
    runs = os.environ.get("RUNS_FILE")
    if runs:
        with Path(runs).open("a") as stream:
            stream.write(f"{os.getpid()}\n")
    (out / "folder").mkdir()
    (out / "folder" / "first.txt").write_text("".join((folder / "made.txt").read_text() for folder in inputs.values()))
    time.sleep(config.wait_s)
    (out / "made.txt").write_text(config.text)
    if config.names_out:
        (out / "place.json").write_text(json.dumps(str(out)))
    return {"num_letters": len(config.text)}


@dataclass(frozen=True, kw_only=True)
class TestStage(Stage):
    """A stage whose code stands in this file."""

    __test__ = False
    code: str = "0"

    def config_class(self) -> type[Document]:
        """Settings."""
        return WriteConfig

    def run_function(self) -> RunFunction:
        """Work."""
        return write

    def code_digest(self) -> str:
        """What the tests say that it is."""
        return self.code


WRITE = TestStage(name="write", description="")


class Notes:
    """A reporter that keeps its notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def phase(self, name: str, total: int = 0) -> None:
        """Ignore."""

    def advance(self, n: int = 1) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Keep."""
        self.notes.append(text)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def make(store: Store, stage: Stage = WRITE, notes: Notes | None = None, **config: Any) -> StageRecord:
    return make_or_reuse(stage, WriteConfig(**config), {}, store, notes or Notes())


def background(store: Store, tmp_path: Path, **config: Any) -> subprocess.Popen[str]:
    """The same stage in another process; prints its record."""
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import test_store as t; from pathlib import Path\n"
        "print(t.make(t.Store(Path(sys.argv[2])), **json.loads(sys.argv[3])).model_dump_json())"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(HERE.parent), str(store.root), json.dumps(config)],
        env={**os.environ, "RUNS_FILE": str(tmp_path / "runs")},
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Any, timeout_s: float = 60.0) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, "it never happened"
        time.sleep(0.02)


def test_an_unchanged_stage_is_reused_and_a_changed_one_is_not(store: Store) -> None:
    first, second, other = make(store), make(store), make(store, text="other")
    assert (first.cached, second.cached, other.cached) == (False, True, False)
    assert first.key == second.key != other.key
    assert second.output == first.output
    assert (second.output / "made.txt").read_text() == "hello"
    assert second.summary == {"num_letters": 5}
    assert second.made_wall_s == first.made_wall_s
    assert first.peak_rss_mb > 5


def test_equal_outputs_have_equal_digests_wherever_they_lie(store: Store, tmp_path: Path) -> None:
    assert make(store).content_digest == make(Store(tmp_path / "elsewhere")).content_digest
    assert make(store).content_digest != make(store, text="other").content_digest


def test_a_stage_with_effects_runs_every_time(store: Store) -> None:
    stage = TestStage(name="write", description="", is_cacheable=False)
    first, second = make(store, stage), make(store, stage)
    assert not first.cached and not second.cached
    assert first.output != second.output and first.output.is_dir()


def test_the_key_sees_section_code_inputs_and_named_files(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "clip.txt").write_text("one")
    config = WriteConfig(source=str(source))
    keys = [cache_key(WRITE, config, {}), cache_key(WRITE, WriteConfig(), {})]
    keys.append(cache_key(TestStage(name="write", description="", code="1"), config, {}))
    keys.append(cache_key(WRITE, config, {"upstream": make(store)}))
    keys.append(cache_key(WRITE, config, {"upstream": make(store, text="other")}))
    (source / "clip.txt").write_text("two")
    keys.append(cache_key(WRITE, config, {}))
    assert len(set(keys)) == len(keys)
    (source / "clip.txt").write_text("one")
    assert cache_key(WRITE, config, {}) == keys[0]


def test_named_files_are_found_in_nested_sections(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("x")
    found = files_named(
        {"a": [{"b": str(policy)}], "c": "pyproject.toml", "d": "no such file", "e": "x" * 5000, "f": ""}
    )
    assert found[str(policy)] == policy
    assert found["pyproject.toml"].name == "pyproject.toml"
    assert len(found) == 2


@pytest.mark.parametrize("change", ["shorter", "missing", "extra", "no record", "bad record"])
def test_a_damaged_output_is_noticed_and_made_again(store: Store, change: str) -> None:
    first = make(store)
    made, record = first.output / "made.txt", first.output.parent / "record.json"
    match change:
        case "shorter":
            made.write_text("hell")
        case "missing":
            made.unlink()
        case "extra":
            (first.output / "folder" / "more.txt").write_text("more")
        case "no record":
            record.unlink()
        case "bad record":
            record.write_text("{")
    notes = Notes()
    again = make(store, notes=notes)
    assert not again.cached
    assert "damaged" in notes.notes[0]
    assert (again.output / "made.txt").read_text() == "hello"
    assert make(store).cached


def test_a_flipped_bit_is_noticed_when_contents_are_checked(store: Store) -> None:
    record = make(store)
    (record.output / "made.txt").write_text("jello")
    assert make(store).cached, "sizes alone do not show it"
    with pytest.raises(DamagedError, match=r"made\.txt"):
        store.find("write", record.key, check_contents=True)


def test_a_killed_run_leaves_no_output_and_the_next_run_clears_up(store: Store, tmp_path: Path) -> None:
    process = background(store, tmp_path, wait_s=60.0)
    making = store.root / "write"
    wait_until(lambda: list(making.glob(".making-*/output/folder/first.txt")))
    living = make(store)
    left = list(making.glob(".making-*"))
    assert len(left) == 1, "its owner lives: it is left alone"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert [path.name for path in making.iterdir() if path not in left] == [living.key]
    notes = Notes()
    assert make(store, notes=notes).cached
    assert not list(making.glob(".making-*"))
    assert notes.notes == [f"removed {left[0].name}, left by a run that was killed"]


def test_the_same_output_wanted_twice_at_once_is_made_once(store: Store, tmp_path: Path) -> None:
    processes = [background(store, tmp_path, wait_s=1.0) for _ in range(2)]
    records = [StageRecord.parse_json(process.communicate(timeout=60)[0], "other process") for process in processes]
    assert sorted(record.cached for record in records) == [False, True]
    assert records[0].output == records[1].output
    assert len((tmp_path / "runs").read_text().splitlines()) == 1


def test_a_failing_stage_leaves_nothing(store: Store) -> None:
    with pytest.raises(ValueError, match=r"place\.json"):
        make(store, names_out=True)
    assert list((store.root / "write").iterdir()) == []


def test_wrong_inputs_are_named(store: Store) -> None:
    second = TestStage(name="second", description="", inputs=("write",))
    with pytest.raises(UserError, match="needs the output of write"):
        make(store, second)
    record = make(store)
    with pytest.raises(UserError, match="does not read other"):
        make_or_reuse(second, WriteConfig(), {"write": record, "other": record}, store, Notes())
    shutil.rmtree(record.output)
    with pytest.raises(UserError, match="is gone"):
        make_or_reuse(second, WriteConfig(), {"write": record}, store, Notes())


def test_a_link_is_refused(store: Store, tmp_path: Path) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Linking(TestStage):
        def run_function(self) -> RunFunction:
            def run(config: Any, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
                (out / "link").symlink_to(tmp_path)
                return {}

            return run

    with pytest.raises(ValueError, match="plain files"):
        make(store, Linking(name="write", description=""))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of the library's form: `train` uses `model` (inside a function), `evaluate` has a template."""
    root = tmp_path / "hazardline"
    files = {
        "__init__.py": "",
        "model.py": "RANK = 4\n",
        "train/__init__.py": "",
        "train/stage.py": "def run():\n    from hazardline import model\n    return model.RANK\n",
        "evaluate/__init__.py": "",
        "evaluate/stage.py": "import json\nfrom hazardline.model import RANK\n",
        "evaluate/report.html.jinja": "<p>",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("file", "text", "changed"),
    [
        ("evaluate/report.html.jinja", "<h1>", {"evaluate"}),
        ("evaluate/stage.py", "import json\nfrom hazardline.model import RANK\nX = 1\n", {"evaluate"}),
        ("model.py", "RANK = 8\n", {"train", "evaluate"}),
        ("model.py", '"""A docstring."""\n\nRANK = 4  # a comment\n"""Of the field."""\n', set()),
        ("train/stage.py", "def run():\n    from hazardline import model\n    return model.RANK + 1\n", {"train"}),
    ],
)
def test_the_code_digest_changes_with_the_code_that_a_stage_uses(
    package: Path, file: str, text: str, changed: set[str]
) -> None:
    before = {stage: code_digest(stage, package) for stage in ("train", "evaluate")}
    (package / file).write_text(text)
    assert {stage for stage in before if code_digest(stage, package) != before[stage]} == changed


def test_training_does_not_depend_on_the_report() -> None:
    if not (PACKAGE_ROOT / "train" / "stage.py").exists():
        pytest.skip("the train stage is not there")
    modules = modules_used("hazardline.train.stage")
    assert "hazardline.vlm.model" in modules
    assert not [name for name in modules if name.startswith("hazardline.evaluate.report")]

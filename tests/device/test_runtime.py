"""A bundle answers as PyTorch does, with ONNX Runtime alone, and says what is wrong with a broken one."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hazardline.device.answer import generate, prefill
from hazardline.device.infer import infer, infer_command, peak_memory_mb
from hazardline.device.manifest import Prompts
from hazardline.device.runtime import Bundle, SeenClip
from hazardline.errors import UserError
from hazardline.export.bundle import Source, make_graphs, write_manifest, write_parts
from hazardline.pocket.random_base import write_random_base
from hazardline.progress import SilentReporter
from hazardline.tasks import PROMPTS, TASKS, Branch
from hazardline.vlm.generate import answer
from hazardline.vlm.model import load_branches, use_branch
from tests.evaluate.world import write_adapters
from tests.video_files import moving_pictures, write_clip

LIMITS = {task: 6 + 3 * number for number, task in enumerate(TASKS)}


@dataclass(frozen=True)
class Made:
    """A float bundle, the model that it was made of, and a clip."""

    folder: Path
    model: Any
    clip: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    root = tmp_path_factory.mktemp("bundle")
    write_random_base(root / "base")
    write_adapters(root / "base", root / "train")
    adapters: dict[Branch, Path] = {"linguistic": root / "train/linguistic", "perception": root / "train/perception"}
    prompts = PROMPTS["crashchat-short@1"]
    source = Source(
        name="tiny",
        base=root / "base",
        adapters=adapters,
        data_digest="0" * 64,
        prompts=Prompts(version=prompts.version, questions=prompts.questions, max_new_tokens=LIMITS),
    )
    model = load_branches(source.base, {str(name): folder for name, folder in adapters.items()})
    folder = root / "folder"
    write_parts(folder, make_graphs(model, source, SilentReporter()), source, None)
    write_manifest(folder, source, None, {})
    yield Made(folder, model, write_clip(root / "clip.mp4", moving_pictures(1, 30)))


def asked(bundle: Bundle) -> list[list[int]]:
    return [bundle.prompter.question(bundle.prompts.questions[task]) for task in TASKS]


def test_the_tokens_are_those_of_pytorch(made: Made) -> None:
    bundle = Bundle.open(made.folder)
    seen = bundle.see(made.clip)
    answers = []
    for branch in bundle.manifest.branches:
        given = bundle.ask(bundle.read(branch, seen), TASKS)
        with use_branch(made.model, branch):
            expected = answer(
                made.model,
                bundle.prompter.prefix(seen.times_s),
                torch.from_numpy(seen.features),
                asked(bundle),
                list(LIMITS.values()),
                bundle.prompter.end_id,
            )
        for task, reference in zip(TASKS, expected, strict=True):
            assert given[task].ids == reference.ids, (branch, task)
            np.testing.assert_allclose(given[task].first_logits, reference.first_logits.numpy(), atol=1e-4)
        answers.append([item.ids for item in expected])
    assert answers[0] != answers[1], "the branches must differ, or their adapters are not tested"


def test_questions_together_answer_as_questions_alone(made: Made) -> None:
    bundle = Bundle.open(made.folder)
    clip = bundle.read("linguistic", bundle.see(made.clip))
    together = bundle.ask(clip, TASKS)
    for task in TASKS:
        alone = bundle.ask(clip, [task])[task]
        assert alone.ids == together[task].ids
        np.testing.assert_allclose(alone.first_logits, together[task].first_logits, atol=1e-4)


def test_a_prefix_in_pieces_is_the_same_prefix(made: Made) -> None:
    bundle = Bundle.open(made.folder)
    embeddings = bundle.embed(list(range(5, 60)))
    positions = np.arange(len(embeddings))[None]
    whole = prefill(bundle.decoder, "perception", embeddings, positions)
    pieces = prefill(bundle.decoder, "perception", embeddings, positions, chunk=7)
    assert whole.length == pieces.length == 55
    for mine, theirs in zip(whole.values, pieces.values, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), atol=1e-4)


def test_no_question_no_answer(made: Made) -> None:
    bundle = Bundle.open(made.folder)
    assert generate(bundle.decoder, None, bundle.decoder.empty, bundle.embed, [], [], 0) == []


def test_frames_are_encoded_alike_in_any_number(made: Made) -> None:
    bundle = Bundle.open(made.folder)
    rows, columns = bundle.prompter.layout.grid
    shape = (20, rows * columns, bundle.prompter.layout.patch_size)
    patches = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    whole = bundle.encode(patches)
    assert whole.shape[:2] == (20, bundle.prompter.layout.tokens_per_frame)
    np.testing.assert_allclose(bundle.encode(patches[17:18]), whole[17:18], atol=1e-5)
    assert isinstance(SeenClip([0.0], whole), SeenClip)


def test_inference_says_what_it_costs(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert infer_command(made.folder, made.clip, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["answers"]) == set(TASKS)
    assert set(found["latency_ms"]) == {"load", "decode", "encode", "prefill", "generate", "total"}
    assert found["nodes_by_provider"]["CPUExecutionProvider"] > 100
    assert found["peak_memory_mb"] > 50
    assert found["num_prefix_tokens"] > found["num_frames"] * 6
    text = infer(made.folder, made.clip).table()
    assert "latency: load" in text and "not asked" in text


def test_a_vehicle_needs_no_torch(made: Made) -> None:
    program = (
        "import json, sys; from pathlib import Path; from hazardline.device.infer import infer; "
        "found = infer(Path(sys.argv[1]), Path(sys.argv[2])).data(); "
        "print(json.dumps([found['answers'], sorted({n.split('.')[0] for n in sys.modules})]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(made.folder), str(made.clip)], capture_output=True, text=True, check=True
    )
    answers, modules = json.loads(done.stdout)
    assert answers["crash_recognition"] is not None
    assert {"onnxruntime", "av", "tokenizers"} <= set(modules)
    assert not {"torch", "transformers", "peft", "torchcodec", "pyarrow", "onnx", "sklearn"} & set(modules)


def test_memory_is_read_from_this_process(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmHWM:\t  123456 kB\nVmRSS:\t 100 kB\n")
    assert peak_memory_mb(status) == pytest.approx(126.418944)
    assert peak_memory_mb(tmp_path / "nowhere") > 1


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("decoder.onnx", b"not a graph", r"decoder.onnx: ONNX Runtime cannot open it .*fetch the bundle again"),
        ("linguistic.onnx_adapter", b"0" * 64, r"linguistic.onnx_adapter: is no ONNX adapter"),
        ("embeddings.npy", b"not an array", r"embeddings.npy: cannot be read as an array"),
        ("prompts.json", b"{}", r"prompts.json: version: missing"),
        ("vision.onnx", None, r"vision.onnx: missing, but listed in the manifest"),
        ("layout.json", b"{}", r"layout.json is not the one of the manifest"),
    ],
)
def test_a_broken_file_is_named(made: Made, tmp_path: Path, file: str, content: bytes | None, message: str) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(made.folder, folder)
    if content is None:
        (folder / file).unlink()
    elif file == "layout.json":
        layout = json.loads((folder / file).read_bytes()) | {"max_frames": 3}
        (folder / file).write_text(json.dumps(layout))
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(UserError, match=message):
        Bundle.open(folder)


def test_embeddings_of_another_model_are_refused(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(made.folder, folder)
    np.save(folder / "embeddings.npy", np.zeros((10, 7), dtype=np.float32))
    with pytest.raises(UserError, match=r"holds float32 \(10, 7\), expected \(vocabulary, 48\)"):
        Bundle.open(folder)


def test_a_provider_that_is_not_there_is_refused(made: Made) -> None:
    with pytest.raises(UserError, match=r"provider RocketExecutionProvider: this ONNX Runtime has none; it has .*CPU"):
        Bundle.open(made.folder, provider="RocketExecutionProvider")

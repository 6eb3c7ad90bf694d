"""A bundle of Qwen2-VL answers as PyTorch does: M-RoPE, the base's merger, LoRA on two linears, schemas."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from hazardline.device.answer import forced_logits, prefill
from hazardline.device.bundle import MANIFEST_NAME
from hazardline.device.infer import infer, infer_command
from hazardline.device.manifest import BundleManifest, Prompts, Quantisation
from hazardline.device.runtime import Bundle
from hazardline.errors import UserError
from hazardline.export.bundle import make_graphs, write_manifest, write_parts
from hazardline.export.graphs import lora_weights
from hazardline.files import write_json
from hazardline.hazardnet import CLASSIFICATION, FIELDS, parse_classification
from hazardline.progress import SilentReporter
from hazardline.tasks import Task
from hazardline.vlm.generate import Generated, answer
from hazardline.vlm.model import core_model, encode, projector, use_branch
from hazardline.vlm.pixels import read_patches
from tests.device.images import ImageModel, make_image_bundle, write_image

QUESTIONS: dict[Task, str] = {
    "object_detection": "Which road users are there?",
    "weather_visibility": "Is it night?",
    CLASSIFICATION: "Classify the scene as JSON.",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ImageModel:
    return make_image_bundle(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("png")
    return [write_image(folder / f"{seed}.png", seed) for seed in range(4)]


def native_answers(
    made: ImageModel, bundle: Bundle, image: Path, tasks: Sequence[Task], branch: str | None = "linguistic"
) -> list[Generated]:
    """PyTorch's answers, each decoded under the bundle's schema."""
    prompter, layout = bundle.prompter, bundle.prompter.layout
    patches, times_s = read_patches(image, layout)
    with use_branch(made.model, branch), torch.inference_mode():
        return answer(
            made.model,
            prompter.prefix(times_s),
            encode(made.model, torch.from_numpy(patches), layout.grid, layout.merge),
            [prompter.question(QUESTIONS[task]) for task in tasks],
            [bundle.prompts.max_new_tokens[task] for task in tasks],
            prompter.end_id,
            layout.grids(1),
            bundle.constraints(tasks),
        )


def test_encoder_and_merger_are_those_of_pytorch(made: ImageModel, images: list[Path]) -> None:
    bundle = Bundle.open(made.folder)
    layout = bundle.prompter.layout
    patches = np.concatenate([read_patches(image, layout)[0] for image in images])
    with torch.inference_mode():
        features = encode(made.model, torch.from_numpy(patches), layout.grid, layout.merge)
        embeddings = projector(made.model)(features).reshape(-1, bundle.decoder.hidden_size)
    assert features.shape == (len(images), layout.features_per_frame, 32)
    np.testing.assert_allclose(bundle.encode(patches), features.numpy(), rtol=1e-4, atol=1e-4)
    given = bundle.project("linguistic", features.numpy()).reshape(-1, bundle.decoder.hidden_size)
    assert len(given) == len(images) * layout.tokens_per_frame
    np.testing.assert_allclose(given, embeddings.numpy(), rtol=1e-4, atol=1e-4)


def test_the_tokens_are_those_of_pytorch(made: ImageModel, images: list[Path]) -> None:
    bundle, tasks = Bundle.open(made.folder), list(QUESTIONS)
    found = []
    for image in images:
        seen = bundle.see(image)
        read = bundle.read("linguistic", seen)
        assert read.prefix.next_position < read.prefix.length  # an image has more tokens than positions
        given = bundle.ask(read, tasks, QUESTIONS)
        expected = native_answers(made, bundle, image, tasks)
        assert [given[task].ids for task in tasks] == [item.ids for item in expected]
        for task, item in zip(tasks, expected, strict=True):
            scale = float(item.first_logits.abs().max())
            np.testing.assert_allclose(given[task].first_logits, item.first_logits.numpy(), atol=1e-4 * scale)
        assert given[CLASSIFICATION].margin is not None and given["object_detection"].margin is None
        text = bundle.prompter.decode(given[CLASSIFICATION].ids)
        assert parse_classification(text) is not None
        found.append([given[task].ids for task in tasks])
    assert len({str(ids) for ids in found}) > 1, "the image must matter, or its positions are not tested"
    of_base = native_answers(made, bundle, images[0], tasks[:1], None)
    assert found[0][0] != of_base[0].ids, "the branch must matter, or its adapter is not tested"


def test_a_prefix_in_pieces_is_the_same_prefix(made: ImageModel) -> None:
    bundle = Bundle.open(made.folder)
    embeddings = bundle.embed(list(range(20, 60)))
    positions = np.random.default_rng(0).integers(0, 30, (3, 40))
    whole = prefill(bundle.decoder, "linguistic", embeddings, positions)
    pieces = prefill(bundle.decoder, "linguistic", embeddings, positions, chunk=7)
    assert whole.next_position == pieces.next_position == positions.max() + 1
    for mine, theirs in zip(whole.values, pieces.values, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), atol=1e-4)


def test_without_an_adapter_the_decoder_is_the_base(made: ImageModel) -> None:
    bundle = Bundle.open(made.folder)
    ids = bundle.prompter.question("Classify the scene as JSON.")
    cache = prefill(bundle.decoder, None, bundle.embed(ids[:3]), np.arange(3)[None])
    (given,) = forced_logits(bundle.decoder, None, cache, bundle.embed, [(ids[3:4], ids[4:])])
    core = core_model(made.model)
    with torch.inference_mode(), use_branch(made.model, None):
        expected = core.lm_head(core.model.language_model(input_ids=torch.tensor([ids])).last_hidden_state[0, 3:-1])
    np.testing.assert_allclose(given, expected.numpy(), atol=1e-4 * float(expected.abs().max()))


def test_linears_that_are_not_adapted_have_rank_zero(made: ImageModel) -> None:
    ranks = {name: min(weight.shape) for name, weight in lora_weights(made.model, "linguistic").items()}
    assert {name.split(".")[2] for name, rank in ranks.items() if rank} == {"q_proj", "v_proj"}
    assert {rank for rank in ranks.values() if rank} == {4}


def test_a_quantised_bundle_answers_alike(made: ImageModel, images: list[Path], tmp_path: Path) -> None:
    settings = Quantisation(bits=8, block_size=32, accuracy_level=0, embedding_dtype="float32")
    write_parts(tmp_path, made.graphs, made.source, settings)
    write_manifest(tmp_path, made.source, settings, {})
    floating, quantised = Bundle.open(made.folder), Bundle.open(tmp_path)
    seen = floating.see(images[0])
    one, other = (bundle.ask(bundle.read("linguistic", seen), [CLASSIFICATION]) for bundle in (floating, quantised))
    logits, rounded = one[CLASSIFICATION].first_logits, other[CLASSIFICATION].first_logits
    assert 0 < np.abs(logits - rounded).max() < 0.1 * np.abs(logits).max()
    assert parse_classification(quantised.prompter.decode(other[CLASSIFICATION].ids)) is not None


def test_a_device_asks_the_classification_alone(made: ImageModel, images: list[Path]) -> None:
    said = Bundle.open(made.folder).answer(images[0])
    assert set(said.answers) == {CLASSIFICATION}
    assert said.crash_log_odds is None and said.sureness is not None and said.sureness > 0
    assert said.num_frames == 1


def test_inference_prints_the_four_fields(
    made: ImageModel, images: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    values = parse_classification(infer(made.folder, images[0]).said.answers[CLASSIFICATION])
    assert values is not None
    assert infer_command(made.folder, images[0], as_json=False) == 0
    text = capsys.readouterr().out
    for name in FIELDS:
        assert any(line.split() == [name, *values[name].split()] for line in text.splitlines())
    assert infer_command(made.folder, images[0], as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert json.loads(found["answers"][CLASSIFICATION]) == values and "crash_log_odds" not in found


def test_a_vehicle_needs_no_torch(made: ImageModel, images: list[Path]) -> None:
    program = (
        "import json, sys; from pathlib import Path; from hazardline.device.infer import infer; "
        "found = infer(Path(sys.argv[1]), Path(sys.argv[2])).data(); "
        "print(json.dumps([found['answers'], sorted({n.split('.')[0] for n in sys.modules})]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(made.folder), str(images[0])], capture_output=True, text=True, check=True
    )
    answers, modules = json.loads(done.stdout)
    assert parse_classification(answers[CLASSIFICATION]) is not None
    assert {"onnxruntime", "llguidance", "tokenizers", "PIL"} <= set(modules)
    assert not {"torch", "transformers", "peft", "pyarrow", "onnx", "sklearn"} & set(modules)


def test_prompts_of_an_unknown_version_are_refused(made: ImageModel, tmp_path: Path) -> None:
    for path in made.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    prompts = Prompts.read(tmp_path / "prompts.json").model_copy(update={"version": "hazardnet@9"})
    prompts.write(tmp_path / "prompts.json")
    with pytest.raises(UserError, match=r"prompts.json is not the one of the manifest"):
        Bundle.open(tmp_path)
    manifest = BundleManifest.read(tmp_path / MANIFEST_NAME).model_copy(update={"prompt_version": "hazardnet@9"})
    manifest.write(tmp_path / MANIFEST_NAME)
    with pytest.raises(UserError, match=r"prompt version 'hazardnet@9' is newer than this program"):
        Bundle.open(tmp_path)


def test_a_layout_that_counts_otherwise_than_the_model_is_refused(made: ImageModel, tmp_path: Path) -> None:
    base = made.source.base
    for path in base.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    layout = json.loads((base / "layout.json").read_bytes()) | {"positions": "counted"}
    write_json(tmp_path / "layout.json", layout)
    source = dataclasses.replace(made.source, base=tmp_path)
    with pytest.raises(UserError, match="positions are counted, which is not how a qwen2_vl counts them"):
        make_graphs(made.model, source, SilentReporter())

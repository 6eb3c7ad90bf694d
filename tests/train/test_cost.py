"""Cost of the papers' recipes, counted without weights, against models on the meta device and the recipes' heads."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    VideoLlama3Config,
    VideoLlama3ForConditionalGeneration,
)

from hazardline.bases.address import parse_base
from hazardline.bases.published import native_config, published_config, published_layout
from hazardline.errors import UserError
from hazardline.recipe import Recipe, load_recipe
from hazardline.suites import suite_of
from hazardline.train.cost import DEVICES, estimate, estimated_tokens, report, span, trainable_parameters
from hazardline.train.flops import Adapter, Work, encoder_flops, packed_flops
from hazardline.train.memory_plan import amount
from hazardline.train.model_shape import ModelShape
from hazardline.vlm.family import family_of
from hazardline.vlm.layout import Layout
from hazardline.vlm.model import LoraSettings, add_branch
from tests.test_recipes import PAPERS, ROOT

FILE_BYTES = {"qwen2_vl_2b": 4_418_050_768, "video_llama3_2b": 3_920_000_000, "video_llama3_7b": 16_090_000_000}
"""Of the published weights in bf16, as far as their pages say."""


def published_models() -> list[Path]:
    return sorted((ROOT / "src/hazardline/vlm/published").glob("*.json"))


def model_on_meta(config: dict[str, Any]) -> Any:
    kinds: dict[str, tuple[Any, Any]] = {
        "qwen2_vl": (Qwen2VLConfig, Qwen2VLForConditionalGeneration),
        "video_llama_3": (VideoLlama3Config, VideoLlama3ForConditionalGeneration),
    }
    config_class, model_class = kinds[config["model_type"]]
    with torch.device("meta"):
        return model_class(config_class(**config))


def count(model: Any, part: str) -> int:
    return sum(parameter.numel() for parameter in model.get_submodule(part).parameters())


@pytest.mark.parametrize("path", published_models(), ids=lambda path: path.stem)
def test_shapes_are_those_of_the_models(path: Path) -> None:
    model, shape = model_on_meta(json.loads(path.read_bytes())), ModelShape.read(path)
    family = family_of(model)
    is_inside = family.projector.startswith(f"{family.vision}.")
    projector = count(model, family.projector)
    assert shape == ModelShape.of(model)
    assert shape.projector_parameters == projector
    assert shape.vision.parameters == count(model, family.vision) - (projector if is_inside else 0)
    whole = sum(parameter.numel() for parameter in model.parameters())
    assert shape.parameters == pytest.approx(whole, rel=1e-4)
    assert 2 * whole == pytest.approx(FILE_BYTES[path.stem], rel=1e-3)


def test_the_package_knows_what_the_authors_configuration_becomes() -> None:
    config = published_config("DAMO-NLP-SG/VideoLLaMA3-7B")
    authors = {**config["text_config"], "torch_dtype": "bfloat16", "vision_encoder_config": config["vision_config"]}
    assert native_config({**authors, "model_type": "videollama3_qwen2"}) == config
    with pytest.raises(UserError, match="its configuration is not in the package; known are"):
        published_config("owner/name")


@pytest.fixture(params=PAPERS, ids=lambda path: path.stem)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return load_recipe(request.param)


def test_trainable_parameters_are_those_of_the_model(recipe: Recipe) -> None:
    config = recipe.train
    published = published_config(parse_base(config.base).place)
    for branch in config.branches:
        lora = config.branch_lora(branch)
        settings = LoraSettings(lora.rank, lora.alpha, lora.dropout, lora.targets, config.train_projector)
        with torch.device("meta"):
            model = add_branch(model_on_meta(published), branch, settings)
        found = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        assert found == trainable_parameters(ModelShape.from_config(published, "here"), config, branch)
        if suite_of(recipe.synthesize.prompt_version).name == "hazardnet":
            assert found == 2_179_072


def test_the_heads_say_what_is_counted(recipe: Recipe) -> None:
    text = (ROOT / "recipes" / f"{recipe.name}.yaml").read_text()
    head = " ".join(line.lstrip("# ") for line in text.partition("\nname:")[0].splitlines())
    assert "Never run here" in head
    cost = estimate(recipe, DEVICES["a100-80gb"])
    largest = max(cost.branches, key=lambda branch: branch.memory.total)
    assert f"{amount(largest.memory.total)} " in head
    assert span(cost.hours) in head
    assert f"{largest.trainable_parameters:,}" in head
    for name in ("a100-40gb", "a100-80gb"):
        assert all(branch.fits for branch in estimate(recipe, DEVICES[name]).branches)
    row = next(
        line for line in (ROOT / "README.md").read_text().splitlines() if f"`recipes/{recipe.name}.yaml`" in line
    )
    assert f"| {amount(largest.memory.total)} |" in row and span(cost.hours) in row
    assert f"{largest.trainable_parameters:,}" in row
    base = parse_base(recipe.train.base)
    assert base.kind == "hub" and len(base.more) == 40


def test_hours_follow_clips_and_workers() -> None:
    recipe = load_recipe(PAPERS[0])
    whole, tenth = (estimate(recipe, DEVICES["a100-80gb"], clips) for clips in (10_000, 1_000))
    assert whole.branches[0].hours[0] == pytest.approx(10 * tenth.branches[0].hours[0], rel=0.01)
    assert estimate(recipe, DEVICES["h100-80gb"]).hours[0] < whole.hours[0]
    short = recipe.train.model_copy(update={"feature_cache_gb": 1.0})
    visited = estimate(recipe.model_copy(update={"train": short}), DEVICES["a100-80gb"], 10_000)
    assert not visited.is_cached and visited.encoding_hours == (0, 0)
    assert visited.branches[0].step_flops > 1.2 * whole.branches[0].step_flops


def test_operations_at_the_papers_scale_are_near_six_for_a_parameter_and_token() -> None:
    """A frozen decoder takes four a weight and token, six with its activations computed again."""
    shape = ModelShape.from_config(published_config("DAMO-NLP-SG/VideoLLaMA3-7B"), "here")
    layout = published_layout({"model_type": "video_llama_3"}, "here")
    work = Work(96 * 416, 416, 96 * 104, 10_800, (100,) * 6, (12,) * 6)
    tokens = work.prefix + sum(work.suffixes)
    for recomputes, factor in ((False, 4), (True, 6)):
        found = packed_flops(shape, Adapter(64, recomputes=recomputes), work)
        assert 1 < found / (factor * shape.linear_parameters * tokens) < 1.35
    assert 1 < encoder_flops(shape, work) / (2 * shape.vision.parameters * work.vision_patches) < 1.1
    assert layout.tokens_per_frame * layout.max_frames == work.vision_tokens


def test_a_local_base_needs_no_published_sizes(base: Path) -> None:
    from tests.test_recipes import smoke

    changes = {name: {**smoke()[name], "base": str(base)} for name in ("train", "evaluate", "register", "export")}
    cost = estimate(Recipe.parse(smoke(**changes), "test"), DEVICES["a100-40gb"], 20)
    assert cost.layout == Layout.read(base / "layout.json")
    text = "\n".join(report(cost))
    assert "less than a minute" in text and "linguistic:" in text and "Not counted: decoding" in text


def test_sizes_of_a_bucket_are_not_guessed() -> None:
    from tests.test_recipes import smoke

    changes = {name: {**smoke()[name], "base": "s3://b/p"} for name in ("train", "evaluate", "register", "export")}
    with pytest.raises(UserError, match="s3://b/p: its sizes are not known before it is fetched"):
        estimate(Recipe.parse(smoke(**changes), "test"), DEVICES["a100-40gb"])


@pytest.mark.parametrize(
    ("text", "tokens"), [(",Time 1.9s:", 8), ("ego-car hits a pedestrian.", 7), ("1.9 - 4.0 seconds", 9)]
)
def test_tokens_are_counted_as_qwen2_cuts_a_text(text: str, tokens: int) -> None:
    assert abs(estimated_tokens(text) - tokens) <= 1

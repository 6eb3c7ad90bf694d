"""The graphs as files: optional LoRA inputs, weights beside the graph, two passes with answers that end."""

from pathlib import Path

import numpy as np
import torch

from hazardline.device.answer import forced_logits, generate, prefill
from hazardline.device.decoder import CPU, Decoder, open_session
from hazardline.device.runtime import Bundle
from hazardline.export.quantise import with_optional_lora
from hazardline.export.to_onnx import save
from hazardline.tasks import LOCALIZATION_TASKS, TASKS
from hazardline.vlm.model import core_model, use_branch
from tests.export.conftest import Line


def test_without_an_adapter_the_decoder_is_the_base(line: Line, floating: Path) -> None:
    bundle = Bundle.open(floating)
    ids = bundle.prompter.question("From when to when is the crash?")
    cache = prefill(bundle.decoder, None, bundle.embed(ids[:3]), np.arange(3)[None])
    (given,) = forced_logits(bundle.decoder, None, cache, bundle.embed, [(ids[3:4], ids[4:])])
    core = core_model(line.model)
    with torch.inference_mode(), use_branch(line.model, None):
        expected = core.lm_head(core.model.language_model(input_ids=torch.tensor([ids])).last_hidden_state[0, 3:-1])
    np.testing.assert_allclose(given, expected.numpy(), atol=1e-4 * float(expected.abs().max()))


def test_a_large_graph_keeps_its_weights_beside_it(line: Line, floating: Path, tmp_path: Path) -> None:
    save(with_optional_lora(line.graphs.decoder), tmp_path / "decoder.onnx", max_inline_bytes=1000)
    assert (tmp_path / "decoder.onnx.data").stat().st_size > (tmp_path / "decoder.onnx").stat().st_size
    bundle = Bundle.open(floating)
    other = Decoder(open_session(tmp_path / "decoder.onnx", CPU, 1), {})
    embeddings = bundle.embed(bundle.prompter.question("When?"))
    positions = np.arange(len(embeddings))[None]
    one, two = (prefill(decoder, None, embeddings, positions) for decoder in (bundle.decoder, other))
    for mine, theirs in zip(one.values, two.values, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_the_second_pass_runs_only_where_recognition_says_yes(line: Line, floating: Path) -> None:
    bundle = Bundle.open(floating)
    said = {clip.label: bundle.answer(clip.video) for clip in line.splits.test[:4]}
    assert said["crash"].answers["crash_recognition"] == "Yes"
    assert set(said["crash"].answers) == set(TASKS)
    assert said["normal"].answers["crash_recognition"] == "No"
    assert set(said["normal"].answers) == set(TASKS) - set(LOCALIZATION_TASKS)
    odds = {label: answers.crash_log_odds for label, answers in said.items()}
    assert odds["crash"] is not None and odds["normal"] is not None and odds["crash"] > 0 > odds["normal"]
    timings = said["crash"].timings
    assert min(timings.decode_s, timings.encode_s, timings.prefill_s, timings.generate_s) > 0
    assert timings.total_s >= timings.decode_s + timings.encode_s + timings.prefill_s + timings.generate_s


def test_localization_alone_asks_recognition_first(line: Line, floating: Path) -> None:
    bundle = Bundle.open(floating)
    crash = next(clip for clip in line.splits.test if clip.is_crash)
    assert set(bundle.answer(crash.video, ["crash_localization"]).answers) == {
        "crash_recognition",
        "crash_localization",
    }
    assert set(bundle.answer(crash.video, ["cause_reasoning"]).answers) == {"cause_reasoning"}


def test_answers_stop_at_their_limit(line: Line, floating: Path) -> None:
    bundle = Bundle.open(floating)
    seen = bundle.see(line.splits.test[0].video)
    clip = bundle.read("linguistic", seen)
    questions = [bundle.prompter.question(bundle.prompts.questions[task]) for task in TASKS[1:3]]
    found = generate(bundle.decoder, "linguistic", clip.prefix, bundle.embed, questions, [1, 3], bundle.prompter.end_id)
    assert [len(item.ids) for item in found] == [1, 3]

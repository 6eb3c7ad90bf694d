"""From two folders to a decision with its reasons, and the command around it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from hazardline.cli.main import app
from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.newdata.config import TriggerConfig
from hazardline.newdata.decide import decide
from hazardline.newdata.document import Reason, Trigger
from hazardline.newdata.page import write_page
from hazardline.newdata.sample import Embeddings, kept_together
from tests.newdata.populations import Clip, population, write_version

REFERENCE = population("a", 300, seed=1)
DRY = population("b", 60, seed=2)
WET = population("c", 60, seed=3, rain=0.8)
QUIET: dict[str, Any] = {"num_permutations": 399, "min_new_clips": 10_000, "min_new_crashes": 10_000}


def policy(**changes: Any) -> TriggerConfig:
    return TriggerConfig.parse({**QUIET, **changes}, "test")


def reason(trigger: Trigger, kind: str) -> Reason:
    (found,) = [reason for reason in trigger.reasons if reason.kind == kind]
    return found


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("versions")
    versions = {"reference": REFERENCE, "dry": REFERENCE + DRY, "wet": REFERENCE + WET, "fewer": REFERENCE[5:]}
    return {name: write_version(root / name, clips) for name, clips in versions.items()}


# --- the decision ---


def test_the_first_version_is_trained_on(folders: dict[str, Path]) -> None:
    trigger = decide(None, folders["reference"], policy())
    assert trigger.retrain and reason(trigger, "first_training").retrain
    assert (trigger.reference, trigger.drift, trigger.num_new) == (None, (), 300)


@pytest.mark.parametrize("today", ["reference", "fewer"])
def test_never_when_nothing_is_new(folders: dict[str, Path], today: str) -> None:
    trigger = decide(folders["reference"], folders[today], policy(min_new_clips=1))
    assert not trigger.retrain and trigger.new_digest is None
    assert [found.kind for found in trigger.reasons] == ["nothing_new"]
    assert ("5 clips were removed" in trigger.reasons[0].sentence) is (today == "fewer")


def test_never_on_an_empty_version(tmp_path: Path) -> None:
    empty = write_version(tmp_path / "empty", [])
    full = write_version(tmp_path / "full", REFERENCE[:3])
    assert not decide(None, empty, policy()).retrain
    assert not decide(empty, empty, policy()).retrain
    assert not decide(full, empty, policy()).retrain
    assert {row.verdict for row in decide(empty, full, policy()).drift} == {"not_measured"}


def test_each_rule_alone_is_reason_enough(folders: dict[str, Path]) -> None:
    num_crashes = sum(clip.scene["label"] == "crash" for clip in DRY)
    assert not decide(folders["reference"], folders["dry"], policy()).retrain
    for rule, count, kind in (("min_new_clips", 60, "new_clips"), ("min_new_crashes", num_crashes, "new_crashes")):
        trigger = decide(folders["reference"], folders["dry"], policy(**{rule: count}))
        assert trigger.retrain and [r.kind for r in trigger.reasons if r.retrain] == [kind]
        assert not decide(folders["reference"], folders["dry"], policy(**{rule: count + 1})).retrain


def test_drift_alone_is_reason_enough_where_the_policy_says_so(folders: dict[str, Path]) -> None:
    trigger = decide(folders["reference"], folders["wet"], policy())
    assert trigger.retrain and [r.kind for r in trigger.reasons if r.retrain] == ["drift"]
    assert {row.name for row in trigger.drift if row.verdict == "drift"} == {"weather", "colour"}
    only_light = decide(folders["reference"], folders["wet"], policy(drift_on=["light"]))
    assert not only_light.retrain
    assert "no reason in this policy: colour, weather" in reason(only_light, "drift").sentence


def test_few_new_clips_are_not_measured_and_not_called_alike(folders: dict[str, Path], tmp_path: Path) -> None:
    write_version(tmp_path, REFERENCE + WET[:29])
    trigger = decide(folders["reference"], tmp_path, policy())
    assert not trigger.retrain
    assert {row.verdict for row in trigger.drift} == {"not_measured"}
    assert "29 new ones; 30 of each are needed" in reason(trigger, "drift").sentence


def test_corrected_labels_are_a_reason_of_their_own(folders: dict[str, Path], tmp_path: Path) -> None:
    corrected = [clip.with_scene(accident_type="corrected") for clip in REFERENCE[:20]]
    write_version(tmp_path, corrected + REFERENCE[20:])
    trigger = decide(folders["reference"], tmp_path, policy(min_relabelled=20, min_new_clips=1))
    assert [r.kind for r in trigger.reasons if r.retrain] == ["relabelled"]
    assert trigger.num_new == 0


def test_what_was_trained_on_is_not_trained_on_again(folders: dict[str, Path]) -> None:
    first = decide(folders["reference"], folders["dry"], policy(min_new_clips=1))
    assert first.retrain and first.new_digest is not None
    again = decide(folders["reference"], folders["dry"], policy(min_new_clips=1, already_trained=[first.new_digest]))
    assert not again.retrain and reason(again, "already_trained")


# --- the document ---


def test_the_document_is_the_same_for_the_same_data(folders: dict[str, Path], tmp_path: Path) -> None:
    shuffled = list(np.random.default_rng(0).permutation(np.array(REFERENCE + WET, object)))
    write_version(tmp_path / "today", shuffled)
    write_version(tmp_path / "reference", REFERENCE[::-1])
    first = decide(folders["reference"], folders["wet"], policy())
    assert decide(tmp_path / "reference", tmp_path / "today", policy()) == first
    assert Trigger.parse(first.data(), "again") == first
    assert (
        isinstance(first, Document)
        and first.digest() == decide(folders["reference"], folders["wet"], policy()).digest()
    )


def test_the_samples_are_capped_and_stated(folders: dict[str, Path]) -> None:
    trigger = decide(folders["reference"], folders["wet"], policy(max_clips=100, max_vector_clips=50))
    old, new = trigger.sampled_reference, trigger.sampled_new
    assert old is not None and (old.num_clips, old.num_compared, old.num_compared_vectors) == (300, 100, 50)
    assert new is not None and (new.num_clips, new.num_compared, new.num_units) == (60, 60, 60)


def test_clips_of_one_recording_pair_or_channel_are_one_unit() -> None:
    free = {"source": "native", "recording_id": None, "pair_id": None, "channel_id": None}
    rows = [
        {**free, "recording_id": "1"},
        {**free, "recording_id": "1", "pair_id": "p"},
        {**free, "pair_id": "p", "channel_id": "c"},
        {**free, "channel_id": "c"},
        {**free, "source": "nexar", "recording_id": "1"},
        {**free, "source": "nexar", "channel_id": "c"},
        {**free, "source": "dota", "recording_id": "youtube:a"},
        {**free, "source": "ccd", "recording_id": "youtube:a"},
        free,
        {**free, "pair_id": "1"},
    ]
    groups = kept_together(rows)
    assert len({*groups[:4], groups[5]}) == 1 and groups[6] == groups[7]
    assert len(set(groups)) == 5


def test_recordings_on_both_sides_are_counted(tmp_path: Path) -> None:
    channel = [clip.with_scene(channel_id=f"y{k % 40}") for k, clip in enumerate(REFERENCE[:80] + DRY)]
    write_version(tmp_path / "reference", channel[:80])
    write_version(tmp_path / "today", channel)
    trigger = decide(tmp_path / "reference", tmp_path / "today", policy())
    assert trigger.num_units_on_both_sides == 40
    assert trigger.sampled_new is not None and trigger.sampled_new.num_units == 40


def test_images_have_no_bit_rate(folders: dict[str, Path], tmp_path: Path) -> None:
    stills = [clip.with_scene(duration_s=0.0, fps=0.0, num_frames=1) for clip in DRY]
    write_version(tmp_path, REFERENCE + stills)
    rows = {row.name: row for row in decide(folders["reference"], tmp_path, policy()).drift}
    assert rows["bit_rate"].verdict == "not_measured" and rows["bit_rate"].note == "60 clips have no such number"
    assert rows["duration_s"].verdict == "drift"


# --- the encoder's vectors ---


def write_vectors(path: Path, clips: list[Clip], shift: float, seed: int) -> Path:
    vectors = np.random.default_rng(seed).normal(shift, 1.0, (len(clips), 64))
    columns = {"clip_id": [clip.scene["clip_id"] for clip in clips], "vector": vectors.tolist()}
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_a_shift_of_an_encoders_vectors_is_found(folders: dict[str, Path], tmp_path: Path, shift: float) -> None:
    reference = write_vectors(tmp_path / "reference.parquet", REFERENCE, 0.0, seed=1)
    today = write_vectors(tmp_path / "today.parquet", DRY, shift, seed=2)
    embeddings = Embeddings(reference=reference, today=today)
    rows = [r for r in decide(folders["reference"], folders["dry"], policy(), embeddings).drift if r.name == "encoder"]
    expected = "drift" if shift else "no_drift"
    assert [(row.kind, row.verdict) for row in rows] == [("distance", expected), ("classifier", expected)]


def test_bad_vectors_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    good = write_vectors(tmp_path / "good.parquet", REFERENCE + DRY, 0.0, seed=1)

    def refusal(today: Path) -> str:
        with pytest.raises(UserError) as caught:
            decide(folders["reference"], folders["dry"], policy(), Embeddings(reference=good, today=today))
        return str(caught.value)

    assert "No such file" in refusal(tmp_path / "absent.parquet")
    few = write_vectors(tmp_path / "few.parquet", DRY[1:], 0.0, seed=1)
    assert f"1 of 60 clips are not in it, the first is {DRY[0].scene['clip_id']!r}" in refusal(few)
    twice = write_vectors(tmp_path / "twice.parquet", [*DRY, DRY[0]], 0.0, seed=1)
    assert "stands there twice" in refusal(twice)
    text = tmp_path / "text.parquet"
    text.write_text("clip_id,vector")
    assert "cannot be read as a" in refusal(text)
    ids = [clip.scene["clip_id"] for clip in DRY]
    odd = tmp_path / "odd.parquet"
    pq.write_table(pa.table({"clip_id": ids, "embedding": [[1.0]] * 60}), odd)
    assert "expected clip_id (string) and vector (list of floats)" in refusal(odd)
    bad: list[list[list[Any]]] = [[[1.0] * 64] * 59 + [[1.0] * 63], [[float("nan")] * 64] * 60, [[None] * 64] * 60]
    for values in bad:
        pq.write_table(pa.table({"clip_id": ids, "vector": values}), odd)
        assert "vector" in refusal(odd)
    pq.write_table(pa.table({"clip_id": ids, "vector": [["a"] * 64] * 60}), odd)
    assert "expected clip_id (string) and vector (list of floats)" in refusal(odd)


def test_a_features_table_that_lacks_clips_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    write_version(tmp_path, DRY)
    (tmp_path / "scenes.parquet").write_bytes((folders["dry"] / "scenes.parquet").read_bytes())
    assert decide(None, tmp_path, policy()).retrain, "nothing is compared"
    (tmp_path / "features.parquet").write_bytes((folders["reference"] / "features.parquet").read_bytes())
    with pytest.raises(UserError, match="60 of 60 clips are not in it"):
        decide(folders["reference"], tmp_path, policy())


# --- the policy's file ---


def test_a_policy_that_can_find_nothing_is_refused() -> None:
    with pytest.raises(UserError, match=r"num_permutations: 199 cannot reach alpha 0\.05 in 16 tests"):
        policy(num_permutations=199)
    with pytest.raises(UserError, match=r"drift_on\.0"):
        policy(drift_on=["wether"])


# --- the page and the command ---


def test_the_page_shows_the_decision_and_escapes_what_came_from_outside(tmp_path: Path) -> None:
    hostile = [clip.with_scene(scenario="<script>alert(1)</script>") for clip in WET]
    write_version(tmp_path / "reference", REFERENCE)
    write_version(tmp_path / "today", REFERENCE + hostile)
    trigger = decide(tmp_path / "reference", tmp_path / "today", policy())
    page = write_page(trigger)
    assert "<h1>New data: train again</h1>" in page and "<script>" not in page and "&lt;script&gt;" in page
    assert page.count('class="bar new"') == sum(len(row.shares) for row in trigger.drift if len(row.shares) > 1)
    assert write_page(trigger) == page


def run(*arguments: str | Path) -> tuple[int, str, BaseException | None]:
    done = CliRunner().invoke(app, ["newdata", *map(str, arguments)])
    return done.exit_code, done.output, done.exception


def test_the_command_answers_a_scheduler(folders: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    status, text, _ = run("--today", folders["wet"], "--reference", folders["reference"], "--out", out)
    assert status == 0 and "train again" in text and "weather" in text
    data = json.loads((out / "trigger.json").read_text())
    assert data["version"] == "trigger@1" and data["retrain"] is True
    assert (out / "trigger.html").read_text().startswith("<!DOCTYPE html>")

    (tmp_path / "policy.yaml").write_text("min_new_clips: 61\nmin_new_crashes: 100\ndrift_on: [fps]\n")
    common = ("--today", folders["wet"], "--reference", folders["reference"], "--policy", tmp_path / "policy.yaml")
    status, text, _ = run(*common, "--out", tmp_path / "no")
    assert status == 10 and "nothing to do" in text
    assert json.loads((tmp_path / "no" / "trigger.json").read_text())["retrain"] is False
    assert run(*common, "--min-new-clips", "60", "--out", tmp_path / "yes")[0] == 0
    known = ("--already-trained", data["new_digest"])
    assert run(*common, "--min-new-clips", "60", *known, "--out", tmp_path / "known")[0] == 10


def test_the_command_refuses_in_one_line(folders: dict[str, Path], tmp_path: Path) -> None:
    def refusal(*arguments: str | Path) -> str:
        _, _, error = run("--today", folders["wet"], *arguments)
        assert isinstance(error, UserError), error
        return str(error)

    out = ("--out", tmp_path / "out")
    assert "no such folder" in refusal("--reference", tmp_path / "absent", *out)
    assert "holds something already" in refusal("--out", folders["dry"])
    assert "belong together" in refusal("--embeddings", tmp_path / "v.parquet", *out)
    assert "min_new_clips" in refusal("--min-new-clips", "0", *out)
    (tmp_path / "policy.yaml").write_text("[1, 2]")
    assert "expected keys with values" in refusal("--policy", tmp_path / "policy.yaml", *out)
    assert not (tmp_path / "out").exists()

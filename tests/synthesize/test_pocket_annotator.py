"""A real vision-language model annotates simulated images over HTTP; the deterministic annotator is never refused."""

from collections import Counter

import pytest

from hazardline.bases.address import POCKETS
from hazardline.code_digest import PACKAGE_ROOT
from hazardline.hazardnet import TOPICS_PER_IMAGE
from hazardline.ingest.config import IngestConfig
from hazardline.ingest.stage import run as ingest
from hazardline.progress import SilentReporter
from hazardline.simulate.config import SimulateConfig
from hazardline.simulate.stage import run as simulate
from hazardline.synthesize.config import SynthesizeConfig
from hazardline.synthesize.document import Synthesis
from hazardline.synthesize.stage import run
from hazardline.tables import ASSIGNMENT, QA, REJECTED, SCENES, read_table, write_table
from tests.synthesize.chat_server import served
from tests.synthesize.pocket_server import PocketModel


def inputs_of(folder, **settings):
    """Inputs of the stage from simulated images, or clips."""
    inputs = {name: folder / name for name in ("simulate", "ingest", "split")}
    for path in inputs.values():
        path.mkdir()
    config = SimulateConfig(num_pairs=2, num_normal=1, images_per_scene=1, seed=5, num_workers=1, **settings)
    simulate(config, {}, inputs["simulate"], SilentReporter())
    ingest(IngestConfig(source="native", num_workers=1), inputs, inputs["ingest"], SilentReporter())
    rows = [row["clip_id"] for row in read_table(SCENES, inputs["ingest"])]
    assignment = [{"clip_id": clip_id, "group_id": clip_id, "split": "train"} for clip_id in rows]
    write_table(ASSIGNMENT, inputs["split"], assignment)
    return inputs


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return inputs_of(tmp_path_factory.mktemp("images"), media="image", width_px=288, height_px=192)


def written_and_refused(inputs, version, out):
    """Pairs of the deterministic annotator: those in the QA table, and those that the rules refuse."""
    run(SynthesizeConfig(prompt_version=version, max_rejected_share=0.0), inputs, out, SilentReporter())
    return read_table(QA, out), read_table(REJECTED, out)


def test_nothing_that_is_written_of_simulated_images_is_refused(images, tmp_path):
    written, refused = written_and_refused(images, "hazardnet-short@1", tmp_path)
    assert len(written) > 20 and refused == []


def test_nothing_that_is_written_of_simulated_clips_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    written, refused = written_and_refused(inputs_of(tmp_path), "crashchat@1", tmp_path / "out")
    assert len(written) > 20 and refused == []


def test_a_served_qwen2_vl_annotates_images(images, tmp_path, monkeypatch):
    monkeypatch.setenv("HAZARDLINE_HOME", str(tmp_path / "home"))
    model = PocketModel(PACKAGE_ROOT / "pocket" / POCKETS["pocket-image"], tmp_path)
    endpoint = {
        "model": "pocket-image",
        "temperature": None,
        "max_tokens": 900,
        "usd_per_million_input": 0.0,
        "usd_per_million_output": 0.0,
        "budget_usd": 0.0,
        "concurrency": 1,
        "timeout_s": 300.0,
        "max_failed_share": 0.0,
    }
    outs = [tmp_path / "first", tmp_path / "second"]
    with served(model) as (address, heard):
        for out in outs:
            out.mkdir()
            section = {
                "annotator": "endpoint",
                "prompt_version": "hazardnet-short@1",
                "endpoint": {**endpoint, "base_url": address},
                "max_rejected_share": 1.0,
            }
            run(SynthesizeConfig.parse(section, "test"), images, out, SilentReporter())
    num_images = len(read_table(SCENES, images["ingest"]))
    assert heard.whole == {"image": num_images}  # the second run asked nothing
    accepted, rejected = read_table(QA, outs[0]), read_table(REJECTED, outs[0])
    topics = Counter(row["clip_id"] for row in [*accepted, *rejected] if row["task"] != "scene_classification")
    assert set(topics.values()) == {TOPICS_PER_IMAGE} and len(topics) == num_images
    assert all(row["reason"] and row["detail"] for row in rejected)
    report = Synthesis.read(outs[0] / "synthesis.json")
    assert report.endpoint.attempts == {"answered": num_images} and report.failed == []
    assert sum(item.num_pairs for item in report.rejected) == len(rejected)
    for name in ("qa.parquet", "rejected.parquet", "synthesis.json"):
        assert (outs[0] / name).read_bytes() == (outs[1] / name).read_bytes()

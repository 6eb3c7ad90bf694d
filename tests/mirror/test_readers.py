"""Whoever reads a clip fetches it first: each reader on a disk where the clips are gone."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hazardline.device.stage import _test_clips
from hazardline.evaluate.answers import Answer
from hazardline.evaluate.report.filmstrips import filmstrip
from hazardline.evaluate.testset import read_splits
from hazardline.mirror.objects import Content, open_mirror
from hazardline.pocket.random_base import write_random_base
from hazardline.progress import SilentReporter
from hazardline.review.media import MediaPlan
from hazardline.review.project import write_project
from hazardline.synthesize.endpoint.config import EndpointConfig
from hazardline.synthesize.endpoint.frames import frame_jpegs
from hazardline.tables import ASSIGNMENT, SCENES, read_table, write_table
from hazardline.tasks import TASKS
from hazardline.train.encode import encode_clips
from hazardline.train.features import PLAIN, sources_of
from tests.mirror.conftest import Bucket, Pod
from tests.train.world import write_world


@dataclass
class World:
    """A small data set whose clips lie in an output of the store, and only in the mirror."""

    inputs: dict[str, Path]
    rows: list[dict[str, Any]]
    work: Path


@pytest.fixture
def world(bucket: Bucket, pod: Pod, tmp_path: Path) -> World:
    output = pod.store / "simulate" / ("0" * 64) / "output"
    inputs = write_world(output, num_train=1, num_validation=4, num_test=4)
    rows = read_table(SCENES, inputs["ingest"])
    mirror = open_mirror()
    assert mirror is not None
    mirror.put([Content(Path(row["video_uri"]), row["sha256"]) for row in rows], SilentReporter(), "clips")
    kept = {name: folder.rename(tmp_path / name) for name, folder in inputs.items()}
    (tmp_path / "split").mkdir()
    splits = [{"clip_id": row["clip_id"], "group_id": row["clip_id"], "split": "test"} for row in rows]
    write_table(ASSIGNMENT, tmp_path / "split", splits)
    pod.renew()
    return World({**kept, "split": tmp_path / "split"}, rows, tmp_path / "work")


def endpoint(world: World) -> int:
    config = EndpointConfig(model="x", budget_usd=1.0, usd_per_million_input=1.0, usd_per_million_output=1.0)
    return len(frame_jpegs(world.rows[-1], [0], config))


def device(world: World) -> int:
    (clip,) = _test_clips(world.inputs, 1).values()
    assert clip.is_file()
    return 1


def strip(world: World) -> int:
    clip = read_splits(world.inputs).test[0]
    assert filmstrip(clip, dict.fromkeys(TASKS, Answer("No", score=0.0))).image.startswith("data:")
    return 1


def review(world: World) -> int:
    write_project(world.inputs, world.work, 3, 0, MediaPlan(take="copy"))
    return len(list((world.work / "media").iterdir()))


def encode(world: World) -> int:
    base = world.work / "base"
    base.mkdir(parents=True)
    write_random_base(base)
    index = encode_clips(base, sources_of(world.rows[:1], set(), [PLAIN]), world.work / "features", 1, SilentReporter())
    return len(index.clips)


@pytest.mark.parametrize("reader", [endpoint, device, strip, review, encode], ids=lambda reader: reader.__name__)
def test_a_reader_fetches_what_it_reads_and_no_more(world: World, reader: Callable[[World], int], pod: Pod) -> None:
    assert not pod.home.exists()
    num_read = reader(world)
    assert 0 < num_read < len(world.rows) == 9
    assert len(list(pod.store.rglob("*.mp4"))) == num_read

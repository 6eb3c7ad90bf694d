from pathlib import Path

import pytest

from hazardline.pocket.random_base import write_random_base
from hazardline.progress import SilentReporter
from hazardline.tables import QA, SCENES, read_table
from hazardline.train.encode import encode_clips
from hazardline.train.features import FEATURES_FOLDER, all_variants, sources_of
from hazardline.vlm.layout import LAYOUT_NAME, Layout
from tests.train.world import write_world


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    write_random_base(folder)
    return folder


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_world(tmp_path_factory.mktemp("world"), num_train=12, num_validation=3, num_test=1)


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory, base: Path, inputs: dict[str, Path]) -> Path:
    folder = tmp_path_factory.mktemp("encoded") / FEATURES_FOLDER
    scenes = read_table(SCENES, inputs["ingest"])
    training = {row["clip_id"] for row in read_table(QA, inputs["synthesize"]) if row["split"] == "train"}
    variants = all_variants(Layout.read(base / LAYOUT_NAME), phase=True, mirror=True)
    encode_clips(base, sources_of(scenes, training, variants), folder, 1, SilentReporter())
    return folder

"""A version's metadata for other tools, and its card for people."""

import json
from pathlib import Path

import mlcroissant
import pytest
import yaml
from huggingface_hub import DatasetCard

from hazardline.datasets.document import Changes, DatasetVersion, SourceRoot
from hazardline.datasets.store import DatasetStore
from hazardline.files import sha256_file
from hazardline.ingest.card import CARD_NAME, as_cell, card_of
from hazardline.ingest.config import IngestConfig, SourceName
from hazardline.ingest.croissant import CROISSANT_NAME, croissant_of
from hazardline.ingest.features import FEATURES
from hazardline.ingest.licences import LICENCES, licence_addresses
from hazardline.ingest.report import Decoder, IngestReport
from hazardline.ingest.stage import run
from hazardline.progress import SilentReporter
from hazardline.store import StoredFile
from hazardline.tables import QUARANTINE, RECORDS, SCENES, read_table, write_table
from tests.ingest.datasets import clip, write_manifest
from tests.newdata.populations import population, write_version
from tests.video_files import moving_pictures, write_clip

CLIPS = population("a", 5, seed=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_version(tmp_path, CLIPS)
    problem = {"clip_id": "x", "video": "x.mp4", "reason": "unreadable", "detail": "no frames"}
    write_table(QUARANTINE, tmp_path, [problem])
    record = {"clip_id": "a-00000", "task": "crash_recognition", "question": "A crash?", "answer": "No."}
    write_table(RECORDS, tmp_path, [record, record])
    return tmp_path


BOTH = {"native": {"crash": 1, "normal": 2}, "nexar": {"crash": 1, "normal": 1}}
SOURCES = (SourceRoot(source="native", root="/data"), SourceRoot(source="nexar", root="/more"))


def version_of(folder: Path, **changes: object) -> DatasetVersion:
    files = {
        path.name: StoredFile(size_bytes=path.stat().st_size, sha256=sha256_file(path))
        for path in sorted(folder.glob("*.parquet"))
    }
    version = DatasetVersion(
        name="demo",
        version_id="0" * 64,
        parent=None,
        content_digest="1" * 64,
        sources=SOURCES,
        created_at="2026-01-02T03:04:05+00:00",
        num_clips=5,
        num_quarantined=1,
        by_label={"normal": 3, "crash": 2},
        by_source={"native": 3, "nexar": 2},
        by_reason={"unreadable": 1},
        changes=Changes(num_added=5, num_changed=0, num_removed=0, num_unchanged=0),
        files=files,
    )
    return version.model_copy(update=changes)


def report_of(**changes: object) -> IngestReport:
    report = IngestReport(
        sources=SOURCES,
        num_clips=5,
        num_quarantined=1,
        by_label={"normal": 3, "crash": 2},
        by_source={"native": 3, "nexar": 2},
        labels_by_source=BOTH,
        by_scenario={"rear_end": 5},
        by_reason={"unreadable": 1},
        total_s=40.0,
        decoder=Decoder(backend="pyav", reason="torchcodec is not installed"),
        dataset_digest="1" * 64,
    )
    return report.model_copy(update=changes)


# --- Croissant ---


@pytest.mark.filterwarnings("ignore::DeprecationWarning:rdflib")  # mlcroissant 1.1.1 with rdflib 7
@pytest.mark.filterwarnings(
    "ignore:The inplace keyword in DataFrame.reset_index:DeprecationWarning"
)  # and with pandas 3
def test_mlcroissant_finds_nothing_wrong_and_reads_every_table(folder: Path) -> None:
    document = croissant_of(version_of(folder), "A demo.", citation="@misc{demo}", address="https://example.org/demo")
    (folder / CROISSANT_NAME).write_text(json.dumps(document))
    dataset = mlcroissant.Dataset(jsonld=folder / CROISSANT_NAME)
    assert not dataset.metadata.issues.errors and not dataset.metadata.issues.warnings
    for table in (SCENES, QUARANTINE, FEATURES, RECORDS):
        name = table.file_name.removesuffix(".parquet")
        records = [
            {key.removeprefix(f"{name}/"): as_text(value) for key, value in record.items()}
            for record in dataset.records(name)
        ]
        assert records == read_table(table, folder)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:rdflib")
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index:DeprecationWarning")
def test_what_ingest_has_written_opens_in_mlcroissant_and_as_a_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of a version as they lie in the store: no errors, and as many records as the version counts."""
    monkeypatch.setenv("HAZARDLINE_DATASETS", str(tmp_path / "store"))
    root, out = tmp_path / "footage", tmp_path / "out"
    for number in range(3):
        write_clip(root / f"{number}.mp4", moving_pictures(number, 10))
    (root / "broken.mp4").write_bytes(b"no video")
    again = clip("c0", "1.mp4")  # a quarantined row has the id of a clip
    write_manifest(root, [*(clip(f"c{k}", f"{k}.mp4") for k in range(3)), again, clip("bad", "broken.mp4"), again])
    out.mkdir()
    run(IngestConfig(root=str(root), dataset="mine", max_quarantined_share=0.5), {}, out, SilentReporter())
    store = DatasetStore(tmp_path / "store")
    version = store.head("mine")
    assert version is not None and (version.num_clips, version.num_quarantined) == (3, 3)
    folder = store.version_folder(version.version_id)
    dataset = mlcroissant.Dataset(jsonld=folder / CROISSANT_NAME)
    assert not dataset.metadata.issues.errors
    assert all("citeAs" in warning for warning in dataset.metadata.issues.warnings), "footage of one's own has no paper"
    assert dataset.metadata.name == "mine" and version.version_id in dataset.metadata.description
    ids = {
        name: [as_text(row[f"{name}/clip_id"]) for row in dataset.records(name)] for name in ("scenes", "quarantine")
    }
    assert ids == {"scenes": ["c0", "c1", "c2"], "quarantine": ["c0", "c0", "bad"]}
    keys = {record_set.name: record_set.key for record_set in dataset.metadata.record_sets}
    assert keys["scenes"] and keys["quarantine"] is None, "an id may stand in quarantine several times"
    card = DatasetCard.load(folder / CARD_NAME)
    assert card.data.to_dict()["pretty_name"] == "mine"
    for row in ("| normal | 3 |", "| duplicate\\_id | 2 |", "| unreadable | 1 |"):
        assert row in card.text


def as_text(value: object) -> object:
    """Mlcroissant gives texts as bytes."""
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


def test_the_metadata_name_every_file_by_its_digest(folder: Path) -> None:
    version = version_of(folder)
    document = croissant_of(version, "A demo.")
    assert {item["@id"]: item["sha256"] for item in document["distribution"]} == {
        name: file.sha256 for name, file in version.files.items()
    }
    assert document["license"] == licence_addresses(["native", "nexar"])
    assert croissant_of(version, "A demo.") == document
    (folder / RECORDS.file_name).unlink()
    fewer = croissant_of(version_of(folder), "A demo.")
    assert [found["name"] for found in fewer["recordSet"]] == ["features", "quarantine", "scenes"]


# --- the card ---


def test_the_card_tells_counts_reasons_and_licences(folder: Path) -> None:
    text = card_of(version_of(folder), report_of(), "A demo.", {"train": 4, "test": 1})
    card = DatasetCard(text)
    head = yaml.safe_load(text.split("---")[1])
    assert (head["license"], head["pretty_name"], head["size_categories"]) == ("other", "demo", "n<1K")
    for row in ("| normal | 3 |", "| rear\\_end | 5 |", "| train | 4 |", "| unreadable | 1 |", "| nexar | 2 |"):
        assert row in card.text
    assert LICENCES["nexar"].terms in card.text and "one label only" not in card.text
    assert card_of(version_of(folder), report_of(), "A demo.", {"train": 4, "test": 1}) == text


def test_the_card_warns_of_sources_with_one_label(folder: Path) -> None:
    by_source = {"native": {"crash": 2, "normal": 0}, "nexar": {"normal": 3}}
    text = card_of(version_of(folder), report_of(labels_by_source=by_source), "A demo.")
    assert "one label only: native, nexar" in text and "| split | clips |" not in text


def test_one_licence_is_named_in_the_head(folder: Path) -> None:
    only = {"sources": (SourceRoot(source="dota", root="/data"),)}
    text = card_of(version_of(folder, **only), report_of(**only), "A demo.")
    assert yaml.safe_load(text.split("---")[1])["license"] == "mit"


def test_texts_from_outside_break_no_table(folder: Path) -> None:
    hostile = report_of(by_scenario={"a | b\n# c <script>": 5}, by_source={"unheard|of": 5})
    unknown = version_of(folder, sources=(SourceRoot(source="unheard|of", root="/data"),))
    text = card_of(unknown, hostile, "A demo.")
    assert "| a \\| b \\# c \\<script\\> | 5 |" in text
    assert "unknown: ask whoever provided it" in text
    assert as_cell("plain words") == "plain words"


# --- licences ---


def test_every_layout_has_a_licence() -> None:
    assert set(LICENCES) == set(SourceName.__args__)  # type: ignore[attr-defined]
    assert all(licence.address or name == "native" for name, licence in LICENCES.items())
    assert licence_addresses(["dota", "ccd", "unheard-of"]) == [
        "https://spdx.org/licenses/MIT.html",
        "unheard-of: unknown, ask whoever provided it",
    ]

"""What is new between two versions, clip by clip."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hazardline.errors import UserError
from hazardline.ingest.features import FEATURES
from hazardline.newdata.fingerprint import ANNOTATION_COLUMNS, annotation_digests, compared
from hazardline.tables import SCENES
from tests.newdata.populations import Clip, population, write_version

BASE = population("a", 12, seed=1)


def statuses(reference: list[Clip], today: list[Clip], folder: Path) -> dict[str, int]:
    write_version(folder / "reference", reference)
    write_version(folder / "today", today)
    with compared(folder / "reference", folder / "today", 0) as comparison:
        return {status: found.num_clips for status, found in comparison.counts().items() if found.num_clips}


def digest_of_new(reference: list[Clip] | None, today: list[Clip], folder: Path) -> str | None:
    write_version(folder / "today", today)
    if reference is not None:
        write_version(folder / "reference", reference)
    with compared(None if reference is None else folder / "reference", folder / "today", 0) as comparison:
        return comparison.new_digest()


def test_every_way_a_clip_can_differ(tmp_path: Path) -> None:
    changed = BASE[0].with_scene(sha256="f" * 64)
    relabelled = BASE[1].with_scene(label="normal" if BASE[1].scene["label"] == "crash" else "crash")
    renamed = BASE[2].with_scene(clip_id="z-renamed")
    renamed_and_relabelled = BASE[3].with_scene(clip_id="z-other", description="now described")
    moved = BASE[4].with_scene(video_uri="s3://bucket/a.mp4")
    another_decoder = BASE[5].with_scene(fps=29.97)
    new = population("b", 2, seed=2)
    today = [changed, relabelled, renamed, renamed_and_relabelled, moved, another_decoder, *BASE[6:11], *new]
    assert statuses(BASE, today, tmp_path) == {
        "new": 2,
        "changed": 1,
        "relabelled": 2,
        "renamed": 1,
        "unchanged": 7,
        "removed": 1,
    }


def test_counts_are_by_source_label_and_scenario(tmp_path: Path) -> None:
    new = [clip.with_scene(source="nexar", label="crash", scenario="cut_in") for clip in population("b", 3, seed=2)]
    write_version(tmp_path / "reference", BASE)
    write_version(tmp_path / "today", BASE + new)
    with compared(tmp_path / "reference", tmp_path / "today", 0) as comparison:
        found = comparison.counts()["new"]
        assert (found.by_source, found.by_label, found.by_scenario) == ({"nexar": 3}, {"crash": 3}, {"cut_in": 3})
        assert comparison.num_new_crashes() == 3
        assert comparison.version("today").num_clips == 15


def test_many_categories_are_counted_together(tmp_path: Path) -> None:
    many = [clip.with_scene(scenario=f"s{k:03}") for k, clip in enumerate(population("b", 60, seed=2))]
    write_version(tmp_path, many)
    with compared(None, tmp_path, 0) as comparison:
        by_scenario = comparison.counts()["new"].by_scenario
    assert len(by_scenario) == 51 and by_scenario["(others)"] == 10 and sum(by_scenario.values()) == 60


def test_the_digest_names_a_set_whatever_its_order_and_place(tmp_path: Path) -> None:
    new = population("b", 5, seed=2)
    first = digest_of_new(BASE, BASE + new, tmp_path / "1")
    assert first == digest_of_new(BASE[::-1], new[::-1] + BASE, tmp_path / "2")
    moved = [clip.with_scene(video_uri="/elsewhere.mp4") for clip in new]
    assert first == digest_of_new(BASE, moved + BASE, tmp_path / "3")
    assert first == digest_of_new(None, new, tmp_path / "4"), "the same clips are as new without a reference"
    assert first != digest_of_new(BASE, BASE + new[1:], tmp_path / "5")


def test_nothing_new_has_no_digest(tmp_path: Path) -> None:
    assert digest_of_new(BASE, BASE[2:], tmp_path) is None


def test_one_changed_byte_and_one_changed_annotation_are_seen(tmp_path: Path) -> None:
    sha = BASE[0].scene["sha256"]
    other = sha[:-1] + ("0" if sha[-1] != "0" else "1")
    assert statuses(BASE, [BASE[0].with_scene(sha256=other), *BASE[1:]], tmp_path / "bytes")["changed"] == 1
    for k, column in enumerate(ANNOTATION_COLUMNS):
        kind = SCENES.schema.field(column).type
        values = {pa.string(): "other", pa.float64(): 0.125, pa.bool_(): True}
        value = ["bus"] if pa.types.is_nested(kind) else values[kind]
        changed = [BASE[0].with_scene(**{column: value}), *BASE[1:]]
        assert statuses(BASE, changed, tmp_path / str(k)).get("relabelled") == 1, column


def test_texts_cannot_pass_from_one_column_into_the_next() -> None:
    schema = pa.schema([SCENES.schema.field(name) for name in ANNOTATION_COLUMNS])
    row = {name: BASE[0].scene[name] for name in ANNOTATION_COLUMNS}
    shifts: list[dict[str, str | None]] = [
        {"cause": "ab", "prevention": "c"},
        {"cause": "a", "prevention": "bc"},
        {"cause": "ab:1:c", "prevention": None},
        {"cause": None, "prevention": "ab:1:c"},
        {"cause": "", "prevention": "ab:1:c"},
    ]
    batch = pa.RecordBatch.from_pylist([{**row, **shift} for shift in shifts], schema=schema)
    assert len(set(annotation_digests(batch))) == len(shifts)


def test_samples_are_by_chance_the_same_in_any_order_and_all_where_few(tmp_path: Path) -> None:
    clips = population("a", 400, seed=1)
    write_version(tmp_path / "1", clips)
    write_version(tmp_path / "2", clips[::-1])
    with compared(None, tmp_path / "1", 0) as one, compared(None, tmp_path / "2", 0) as two:
        sample = one.sample_new(100)
        assert sample == two.sample_new(100)
        assert len(set(sample)) == 100 and sample != sorted(sample)
        assert set(sample[:50]) == set(one.sample_new(50))
        assert len(one.sample_new(5_000)) == 400
        assert one.sample_reference(10) == []
    with compared(None, tmp_path / "1", 1) as other:
        assert other.sample_new(100) != sample


# --- bad inputs ---


def refusal(reference: Path, today: Path) -> str:
    with pytest.raises(UserError) as caught, compared(reference, today, 0):
        pass
    return str(caught.value)


def test_a_clip_twice_is_refused_by_name(tmp_path: Path) -> None:
    good = write_version(tmp_path / "good", BASE)
    twice = write_version(tmp_path / "twice", [*BASE, BASE[7]])
    assert f"clip {BASE[7].scene['clip_id']!r} stands there twice" in refusal(good, twice)
    many = population("a", 9_000, seed=1)
    far = write_version(tmp_path / "far", [*many, many[3]])
    assert f"clip {many[3].scene['clip_id']!r} stands there twice" in refusal(good, far)


def test_bad_tables_are_refused_in_one_line(tmp_path: Path) -> None:
    good = write_version(tmp_path / "good", BASE)
    assert "No such file" in refusal(good, tmp_path / "absent")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "scenes.parquet").write_bytes(b"PAR1 not at all PAR1")
    assert "cannot be read as a" in refusal(good, broken)
    whole = (good / "scenes.parquet").read_bytes()
    (broken / "scenes.parquet").write_bytes(whole[: len(whole) // 2])
    assert "cannot be read as a" in refusal(broken, good)
    (broken / "scenes.parquet").write_bytes((good / "features.parquet").read_bytes())
    assert f"holds {FEATURES.name}, expected {SCENES.name}" in refusal(good, broken)
    pq.write_table(pa.table({"clip_id": ["a"]}), broken / "scenes.parquet")
    assert "holds no hazardline table" in refusal(good, broken)
    (broken / "scenes.parquet").unlink()
    (broken / "scenes.parquet").mkdir()
    assert "is a directory" in refusal(good, broken)


def test_damaged_bytes_are_the_files_fault_and_no_crash(tmp_path: Path) -> None:
    """Bytes of pages and footer overwritten, one place at a time: refused, or read as some other text."""
    good = write_version(tmp_path / "good", population("a", 200, seed=1))
    bad = tmp_path / "bad"
    bad.mkdir()
    whole = bytearray((good / "scenes.parquet").read_bytes())
    refused = 0
    for at in range(4, len(whole), 331):
        damaged = bytearray(whole)
        damaged[at : at + 8] = b"\xff" * 8
        (bad / "scenes.parquet").write_bytes(damaged)
        try:
            with compared(good, bad, 0) as comparison:
                comparison.counts()
        except UserError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 0

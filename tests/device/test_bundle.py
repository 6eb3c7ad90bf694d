"""A bundle's folder: every deviation from its manifest is named."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hazardline.device.bundle import BundleError, verify_bundle
from hazardline.files import sha256_bytes
from tests.release.world import flip_bit, noise, write_bundle, write_manifest


def edit_manifest(folder: Path, change: Callable[[dict[str, object]], None]) -> None:
    path = folder / "manifest.json"
    value = json.loads(path.read_bytes())
    change(value)
    path.write_text(json.dumps(value))


def test_a_good_bundle(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    info = verify_bundle(folder)
    assert (info.name, info.version, len(info.files)) == ("tiny", "1", 7)
    assert info.manifest_sha256 == sha256_bytes((folder / "manifest.json").read_bytes())
    assert info.size_bytes == sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def test_a_flipped_bit_in_any_file_is_found(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    for file in verify_bundle(folder).files:
        before = flip_bit(folder / file.path)
        with pytest.raises(BundleError, match="SHA-256 differs"):
            verify_bundle(folder)
        (folder / file.path).write_bytes(before)
    verify_bundle(folder)


def test_missing_longer_and_unlisted_files(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    (folder / "extra.bin").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"extra\.bin: is not listed"):
        verify_bundle(folder)
    (folder / "extra.bin").unlink()
    (folder / "vision.onnx").write_bytes(noise("vision", 40_001))
    with pytest.raises(BundleError, match="has 40001 bytes, expected 40000"):
        verify_bundle(folder)
    (folder / "vision.onnx").unlink()
    with pytest.raises(BundleError, match=r"vision\.onnx: is missing"):
        verify_bundle(folder)


def test_links_and_pipes_are_refused(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    outside = tmp_path / "outside"
    (folder / "vision.onnx").rename(outside)
    (folder / "vision.onnx").symlink_to(outside)
    with pytest.raises(BundleError, match="neither a plain file nor a folder"):
        verify_bundle(folder)
    (folder / "vision.onnx").unlink()
    outside.rename(folder / "vision.onnx")
    os.mkfifo(folder / "pipe")
    with pytest.raises(BundleError, match="neither a plain file nor a folder"):
        verify_bundle(folder)
    (folder / "pipe").unlink()
    (folder / "golden").rename(tmp_path / "golden")
    (folder / "golden").symlink_to(tmp_path / "golden")
    with pytest.raises(BundleError, match="neither a plain file nor a folder"):
        verify_bundle(folder)


@pytest.mark.parametrize(
    "path", ["../outside", "/etc/passwd", "a/../../b", "..", ".", "a\\b", "a//b", "a/", ".hidden", "", "a b", "x" * 201]
)
def test_paths_that_lead_elsewhere_are_refused(tmp_path: Path, path: str) -> None:
    folder = write_bundle(tmp_path / "bundle")
    edit_manifest(folder, lambda value: value["files"][0].update(path=path))  # type: ignore[index]
    with pytest.raises(BundleError, match=r"files\.0\.path"):
        verify_bundle(folder)


def test_manifests_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"it has no manifest\.json"):
        verify_bundle(tmp_path)
    folder = write_bundle(tmp_path / "bundle")
    edit_manifest(folder, lambda value: value["files"].append(value["files"][0]))  # type: ignore[attr-defined]
    with pytest.raises(BundleError, match="listed twice"):
        verify_bundle(folder)
    for text, word in [("{", "not valid JSON"), ("{}", "files: missing"), ("[]", "should be an object")]:
        (folder / "manifest.json").write_text(text)
        with pytest.raises(BundleError, match=word):
            verify_bundle(folder)
    write_manifest(folder)
    (folder / "manifest.json").rename(tmp_path / "manifest.json")
    (folder / "manifest.json").symlink_to(tmp_path / "manifest.json")
    with pytest.raises(BundleError, match=r"it has no manifest\.json"):
        verify_bundle(folder)

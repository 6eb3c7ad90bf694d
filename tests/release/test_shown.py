"""What a pipeline's user interface shows of a release."""

from pathlib import Path

from hazardline.release.document import RELEASE_NAME, ReleaseReport
from hazardline.release.shown import show


def test_a_release_names_version_and_place(tmp_path: Path) -> None:
    ReleaseReport(
        released=True,
        reason="released as version 3",
        model="crashchat",
        channel="stable",
        version=3,
        manifest_sha256="a" * 64,
        repository="s3://bucket/a_b",
        num_files=9,
        num_files_uploaded=2,
        size_bytes=12_300_000,
    ).write(tmp_path / RELEASE_NAME)
    show(tmp_path, tmp_path / "summary")
    text = (tmp_path / "summary").read_text()
    assert text.startswith("# Released\n\nreleased as version 3\n")
    assert "| version | 3 |" in text and "| repository | s3://bucket/a\\_b |" in text
    assert "| files | 9, of which 2 were uploaded |" in text and "| size | 12.3 MB |" in text


def test_what_was_not_released_says_why(tmp_path: Path) -> None:
    reason = "not released: the gate was closed"
    ReleaseReport(released=False, reason=reason, model="m", channel="stable").write(tmp_path / RELEASE_NAME)
    show(tmp_path, tmp_path / "summary")
    text = (tmp_path / "summary").read_text()
    assert text.startswith(f"# Not released\n\n{reason}\n") and "| version | none |" in text

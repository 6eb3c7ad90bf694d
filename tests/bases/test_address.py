"""What a recipe may name as its base."""

import pytest

from hazardline.bases.address import Base, parse_base

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("pocket", Base("package", "checkpoint")),
        ("pocket-image", Base("package", "image_checkpoint")),
        ("some/folder", Base("folder", "some/folder")),
        ("/abs:olute", Base("folder", "/abs:olute")),
        ("s3://bucket/a/b/", Base("s3", "bucket", "a/b")),
        (f"hub:Qwen/Qwen2-VL-2B-Instruct@{COMMIT}", Base("hub", "Qwen/Qwen2-VL-2B-Instruct", COMMIT)),
    ],
)
def test_every_form_is_taken_apart(text: str, base: Base) -> None:
    assert parse_base(text) == base


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hub:owner/name", "pinned by a commit of 40 hexadecimal digits, got 'none'"),
        ("hub:owner/name@main", "got 'main'; find it with `git ls-remote https://huggingface.co/owner/name`"),
        (f"hub:owner/name@{COMMIT[:12]}", "40 hexadecimal digits"),
        (f"hub:owner/name@{COMMIT.upper()}", "40 hexadecimal digits"),
        (f"hub:name@{COMMIT}", "no repository of a hub"),
        (f"hub:../name@{COMMIT}", "no repository of a hub"),
        ("s3://bucket", "expected s3://bucket/prefix"),
        ("s3:///prefix", "expected s3://bucket/prefix"),
        ("https://example.org/weights", "no base; expected pocket"),
        (" ", "no base; expected pocket"),
    ],
)
def test_what_is_no_base_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        parse_base(text)

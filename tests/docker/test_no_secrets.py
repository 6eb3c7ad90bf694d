"""What lies in a checkout beside its code, and in a build's environment, gets into no image: each is read whole."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.docker import image_search
from tests.docker.checkout import BUILT
from tests.docker.daemon import Daemon
from tests.docker.image_search import canaries_in, search_archive, search_image
from tests.docker.planted import CANARY_BYTES, FILES, VARIABLES, canary

ALL_THAT_IS_SENT = "FROM scratch\nCOPY . /\n"
CARELESS = "FROM scratch\nARG {name}\nENV KEPT=${name}\nLABEL kept=${name}\nCOPY . /\n"
"""A Dockerfile that keeps a variable of the build."""


def holders(found: dict[str, set[bytes]]) -> dict[str, set[bytes]]:
    return {place: canaries for place, canaries in found.items() if canaries}


def search_context(docker: Daemon, checkout: Path, dockerfile: Path, *arguments: str) -> dict[str, set[bytes]]:
    """Build an image of a checkout by another Dockerfile, read it, and remove it."""
    docker.ask("build", "--tag", "context", "--file", str(dockerfile), *arguments, str(checkout))
    found = search_image(docker, "context")
    docker.ask("image", "rm", "context")
    return found


@pytest.mark.parametrize("image", BUILT)
def test_no_planted_secret_is_in_an_image(docker: Daemon, image: str) -> None:
    found = search_image(docker, f"{image}:latest")
    for part in ("opt/hazardline/sbom.json", "usr/bin/python3.11", "usr/share/doc/bash/copyright"):
        assert [place for place in found if place.endswith(f": {part}")], "layers, and those of the base, were read"
    assert holders(found) == {}


def test_no_planted_secret_is_sent_to_a_build(bare_docker: Daemon, planted: Path, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(ALL_THAT_IS_SENT)
    found = search_context(bare_docker, planted, tmp_path / "Dockerfile")
    for name in ("src/hazardline/environment.py", "pyproject.toml", "docker/device.lock.txt"):
        assert [place for place in found if place.endswith(f": {name}")]
    assert holders(found) == {}


def test_every_planted_secret_would_be_found(
    bare_docker: Daemon, planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same build without `.dockerignore`, and with a Dockerfile that keeps a variable."""
    name = VARIABLES[0]
    monkeypatch.setenv(name, canary(name))
    (tmp_path / "Dockerfile").write_text(CARELESS.format(name=name))
    (tmp_path / "Dockerfile.dockerignore").write_text("# Goes before the checkout's own.\n")
    found = holders(search_context(bare_docker, planted, tmp_path / "Dockerfile", "--build-arg", name))
    for file in FILES:
        (canaries,) = (canaries for place, canaries in found.items() if place.endswith(f": {file}"))
        assert canaries == {canary(file).encode()}
    said = {place for place, canaries in found.items() if canaries == {canary(name).encode()}}
    assert {"docker history", "docker inspect"} < said and len(said) >= 3, "and the configuration in the archive"


def archive(files: dict[str, bytes], mode: str = "w", **headers: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode, format=tarfile.PAX_FORMAT) as made:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.pax_headers = len(content), headers
            made.addfile(member, io.BytesIO(content))
    return stream.getvalue()


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("offset", range(-CANARY_BYTES, 2))
def test_a_secret_is_found_wherever_a_border_falls(monkeypatch: pytest.MonkeyPatch, mode: str, offset: int) -> None:
    monkeypatch.setattr(image_search, "CHUNK_BYTES", 4096)
    secret = canary(FILES[0]).encode()
    before = b"x" * (3 * 4096 + offset)
    layer = archive({"etc/other": b"nothing", "etc/file": before + secret + b"y" * 9999}, mode)
    image = archive({"0/layer.tar": layer, "manifest.json": json.dumps([{"Layers": ["0/layer.tar"]}]).encode()})
    found = search_archive(io.BytesIO(image))
    assert holders(found) == {"0/layer.tar: etc/file": {secret}}
    assert {"0/layer.tar: etc/other", "manifest.json"} < set(found)


def test_a_secret_is_found_in_names_and_headers_and_json() -> None:
    secrets = [canary(name).encode() for name in FILES[:3]]
    layer = archive({f"home/{secrets[0].decode()}": b""}, comment=secrets[1].decode())
    found = holders(search_archive(io.BytesIO(archive({"layer": layer, "config": b'{"Env": "' + secrets[2] + b'"}'}))))
    assert set().union(*found.values()) == set(secrets)


def test_a_layer_that_cannot_be_unpacked_is_no_clean_one() -> None:
    with pytest.raises(AssertionError, match="cannot unpack"):
        search_archive(io.BytesIO(archive({"layer": b"\x28\xb5\x2f\xfd and more"})))


def test_half_a_secret_is_none() -> None:
    secret = canary(FILES[0]).encode()
    assert canaries_in(io.BytesIO(secret[:-1])) == set()
    assert canaries_in(io.BytesIO(secret * 2)) == {secret}

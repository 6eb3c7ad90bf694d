"""`python -m pipelines images`, with a program in the place of Docker's client that keeps what it was asked."""

import json
import stat
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from hazardline.errors import UserError

from components.image_lock import LOCK_PATH, read_lock
from pipelines.images import app, with_digests

REGISTRY = "registry.example:5000/vision"
ONE, TWO = (f"sha256:{digit * 64}" for digit in "12")
CLIENT = """#!{python}
import json, os, pathlib, sys
folder = pathlib.Path({folder!r})
with (folder / "asked").open("a") as asked:
    asked.write(json.dumps([*sys.argv[1:], "BUILDKIT=" + os.environ["DOCKER_BUILDKIT"]]) + "\\n")
if sys.argv[1] == "image":
    name = sys.argv[-1].partition(":")[0]
    digests = ["elsewhere/" + name + "@{two}"]
    if (folder / "pushed").exists():
        digests.append("{registry}/" + name + "@{one}")
    print(json.dumps([{{"Size": 5_000_000, "RepoDigests": digests}}]))
if sys.argv[1] == "push":
    (folder / "pushed").touch()
if sys.argv[1] == "tag" and "missing" in sys.argv[2]:
    sys.exit("no such image")
"""


class Client:
    """The program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "docker"
        self.path.write_text(
            CLIENT.format(python=sys.executable, folder=str(folder), one=ONE, two=TWO, registry=REGISTRY)
        )
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)

    def asked(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "asked").read_text().splitlines()]


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "images.lock.yaml"
    path.write_text(LOCK_PATH.read_text())
    return path


def run(*arguments: str) -> str:
    """What a command printed. An error that a user can mend is raised as it is."""
    done = CliRunner().invoke(app, arguments)
    if done.exception is not None:
        raise done.exception
    return done.output


def test_build_gives_base_labels_and_arguments(client: Client, lock: Path) -> None:
    said = run("build", "--image", "hazardline-device", "--base-image", "base@sha256:0", "--build-arg", "A=b=c",
               "--source", "https://example.org/x", "--lock", str(lock), "--docker", str(client.path))  # fmt: skip
    build = client.asked()[0]
    given = [build[index + 1] for index, word in enumerate(build) if word == "--build-arg"]
    assert given[0] == "BASE_IMAGE=base@sha256:0" and given[3:] == ["SOURCE=https://example.org/x", "A=b=c"]
    assert given[1].startswith("VERSION=") and len(given[2].removeprefix("REVISION=").removesuffix("-dirty")) == 40
    assert build[build.index("--tag") + 1] == "hazardline-device:latest" and build[-1] == "BUILDKIT=1"
    assert "built hazardline-device: 5 MB" in said


def test_build_takes_the_locked_base(client: Client, lock: Path) -> None:
    name, base = next(iter(read_lock(lock).bases.items()))
    data = yaml.safe_load(lock.read_text())
    data["bases"][name]["digest"] = TWO
    lock.write_text(yaml.safe_dump(data))
    run("build", "--lock", str(lock), "--docker", str(client.path))
    built = [words for words in client.asked() if words[0] == "build"]
    assert len(built) == len(read_lock(lock).images)
    assert all(f"BASE_IMAGE={base.image}@{TWO}" in words for words in built)


def test_push_writes_registry_and_digest_and_keeps_the_rest(client: Client, lock: Path) -> None:
    said = run("push", "--registry", REGISTRY, "--image", "hazardline-device", "--lock", str(lock),
               "--docker", str(client.path))  # fmt: skip
    assert f"{REGISTRY}/hazardline-device@{ONE}" in said
    locked = read_lock(lock)
    assert locked.registry == REGISTRY
    assert {name: image.pushed for name, image in locked.images.items() if image.pushed} == {"hazardline-device": ONE}
    head = LOCK_PATH.read_text().partition("registry:")[0]
    assert head.startswith("# Digests") and lock.read_text().startswith(head)


def test_what_was_never_pushed_is_not_locked(client: Client, lock: Path) -> None:
    before = lock.read_bytes()
    with pytest.raises(UserError, match="was not pushed to registry\\.example:5000/vision"):
        run("lock", "--registry", REGISTRY, "--lock", str(lock), "--docker", str(client.path))
    assert lock.read_bytes() == before


def test_lock_writes_bases(client: Client, lock: Path) -> None:
    (client.folder / "pushed").touch()
    run("lock", "--registry", REGISTRY, "--base", f"python-3.11-slim={TWO}", "--lock", str(lock),
        "--docker", str(client.path))  # fmt: skip
    assert read_lock(lock).bases["python-3.11-slim"].pinned == TWO
    assert {image.pushed for image in read_lock(lock).images.values()} == {ONE}


def test_a_base_is_locked_before_anything_was_built(lock: Path) -> None:
    assert f"python-3.11-slim@{TWO}" in run("lock", "--base", f"python-3.11-slim={TWO}", "--lock", str(lock))
    locked = read_lock(lock)
    assert locked.bases["python-3.11-slim"].pinned == TWO
    assert locked.registry is None and {image.pushed for image in locked.images.values()} == {None}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build"], "no base image has a digest; give one with --base-image"),
        (["build", "--image", "x", "--base-image", "b"], "has no image x; it has hazardline-pipeline-python"),
        (["build", "--base-image", "b", "--build-arg", "A"], "--build-arg A: expected NAME=VALUE"),
        (["build", "--base-image", "b", "--docker", "/no/docker"], "/no/docker: no such program; install Docker"),
        (["lock", "--registry", REGISTRY, "--base", "x=latest"], "--base x=latest: expected NAME=sha256:"),
        (["lock"], "nothing to lock: give --registry"),
        (["lock", "--base", f"python-3.11-slim={TWO}", "--image", "hazardline-device"], "nothing to lock"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(arguments: list[str], message: str, lock: Path) -> None:
    with pytest.raises(UserError, match=message):
        run(*arguments, "--lock", str(lock))


def test_a_client_that_fails_is_quoted(tmp_path: Path, lock: Path) -> None:
    client = tmp_path / "failing"
    client.write_text("#!/bin/sh\necho >&2 denied: go away\nexit 1\n")
    client.chmod(0o755)
    with pytest.raises(UserError, match="docker tag ended with status 1: denied: go away"):
        run("push", "--registry", REGISTRY, "--lock", str(lock), "--docker", str(client))


def test_a_lock_has_one_registry() -> None:
    text = with_digests(LOCK_PATH.read_text(), "a.example", {"hazardline-device": ONE}, {}, "lock")
    with pytest.raises(UserError, match="hazardline-device is in a\\.example; a lock file has one registry"):
        with_digests(text, "b.example", {"hazardline-train-python": ONE}, {}, "lock")
    moved = with_digests(text, "b.example", {"hazardline-device": TWO}, {}, "lock")
    assert yaml.safe_load(moved)["registry"] == "b.example"


def test_an_unknown_base_and_a_registry_that_is_none_are_refused() -> None:
    with pytest.raises(UserError, match="has no base x"):
        with_digests(LOCK_PATH.read_text(), "a.example", {}, {"x": ONE}, "lock")
    with pytest.raises(UserError, match="registry"):
        with_digests(LOCK_PATH.read_text(), "https://a.example", {}, {}, "lock")

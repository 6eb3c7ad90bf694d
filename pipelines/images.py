"""`python -m pipelines images`: build the images, push them, and write their digests into the lock file.

Docker's own client does the work. A tag is what an image is called on this machine and what it is pushed under; nothing
that is compiled names one (`components/image_lock.py`).
"""

import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from hazardline.errors import UserError
from hazardline.files import write_atomic

from components.image_lock import LOCK_PATH, ImageLock, parse_digests, read_lock

ROOT = Path(__file__).parents[1]
LOCAL_TAG = "latest"
"""What KFP's Docker runner looks for where an image has no tag."""

app = typer.Typer(help="The container images: build, push, lock.", no_args_is_help=True)
NamesOption = Annotated[
    list[str] | None,
    typer.Option("--image", help="Name in the lock file, for example hazardline-device; may be repeated."),
]
LockOption = Annotated[
    Path, typer.Option("--lock", help="Lock file of images.", show_default="docker/images.lock.yaml")
]
DockerOption = Annotated[str, typer.Option("--docker", help="Docker's client.")]
_REGISTRY = typer.Option("--registry", help="HOST or HOST/PATH, for example registry.example/vision.")


@app.command("build")
def build(
    image: NamesOption = None,
    base_image: Annotated[
        str | None, typer.Option(help="Image that all are built from (default: the lock file's, by digest).")
    ] = None,
    build_arg: Annotated[
        list[str] | None, typer.Option("--build-arg", help="NAME=VALUE for the Dockerfiles; may be repeated.")
    ] = None,
    source: Annotated[str, typer.Option(help="Address of the source code, for the images' labels.")] = "",
    platform: Annotated[str | None, typer.Option(help="For another architecture, for example linux/arm64.")] = None,
    lock: LockOption = LOCK_PATH,
    docker: DockerOption = "docker",
) -> None:
    """Build images from this checkout; each is called NAME:latest here."""
    locked = read_lock(lock)
    arguments = {
        "BASE_IMAGE": base_image or _locked_base(locked, lock),
        "VERSION": metadata.version("hazardline"),
        "REVISION": revision(),
        "SOURCE": source,
        **_build_arguments(build_arg or []),
    }
    for name in chosen(image, locked, lock):
        command = [
            docker,
            "build",
            "--file",
            str(ROOT / locked.images[name].dockerfile),
            "--tag",
            f"{name}:{LOCAL_TAG}",
        ]
        command += ["--platform", platform] if platform else []
        for argument, value in arguments.items():
            command += ["--build-arg", f"{argument}={value}"]
        typer.echo(f"building {name} ...")
        _docker([*command, str(ROOT)], shown=True)
        size_mb = json.loads(_docker([docker, "image", "inspect", f"{name}:{LOCAL_TAG}"]))[0]["Size"] / 1e6
        typer.echo(f"built {name}: {size_mb:.0f} MB")


@app.command("push")
def push(
    registry: Annotated[str, _REGISTRY],
    image: NamesOption = None,
    lock: LockOption = LOCK_PATH,
    docker: DockerOption = "docker",
) -> None:
    """Push images that were built here, and write their digests and the registry into the lock file."""
    names = chosen(image, read_lock(lock), lock)
    for name in names:
        there = f"{registry}/{name}:{metadata.version('hazardline')}-{revision()[:12]}"
        _docker([docker, "tag", f"{name}:{LOCAL_TAG}", there])
        _docker([docker, "push", there], shown=True)
    _lock(names, registry, {}, lock, docker)


@app.command("lock")
def write_lock(
    registry: Annotated[str | None, _REGISTRY] = None,
    image: NamesOption = None,
    base: Annotated[
        list[str] | None, typer.Option("--base", help="NAME=sha256:... of a base image; may be repeated.")
    ] = None,
    lock: LockOption = LOCK_PATH,
    docker: DockerOption = "docker",
) -> None:
    """Write digests: of bases, and with --registry of images that were pushed there, as Docker remembers them."""
    bases = parse_digests(base or [], "--base")
    if registry is None and (image or not bases):
        raise UserError("nothing to lock: give --registry of images that were pushed, or --base, or both")
    _lock(chosen(image, read_lock(lock), lock) if registry else [], registry, bases, lock, docker)


def chosen(names: Iterable[str] | None, locked: ImageLock, origin: Path) -> list[str]:
    """The images asked for, or all.

    Raises:
        UserError: the lock file has no image of a name.
    """
    wanted = list(names or locked.images)
    unknown = [name for name in wanted if name not in locked.images]
    if unknown:
        raise UserError(f"{origin}: has no image {unknown[0]}; it has {', '.join(locked.images)}")
    return wanted


def revision() -> str:
    """Commit of the checkout, with `-dirty` where it was changed; `unknown` outside of git."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--match", "no-tag-matches"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def with_digests(
    text: str, registry: str | None, images: Mapping[str, str], bases: Mapping[str, str], origin: str
) -> str:
    """The text of a lock file with new digests. Comments above the first key are kept.

    Args:
        text: the file as it is.
        registry: where the images are; None: it stays.
        images: digests by name of the image.
        bases: digests by name of the base.
        origin: name of the file, for messages.

    Raises:
        UserError: an unknown base, a registry that is none, or images that would stay behind in another registry.
    """
    data: dict[str, Any] = yaml.safe_load(text)
    registry = registry or data["registry"]
    moved = data["registry"] not in (None, registry)
    left = [name for name, found in data["images"].items() if found["digest"] and name not in images]
    if moved and left:
        raise UserError(f"{origin}: {left[0]} is in {data['registry']}; a lock file has one registry, push all of them")
    unknown = sorted(set(bases) - set(data["bases"]))
    if unknown:
        raise UserError(f"{origin}: has no base {unknown[0]}; it has {', '.join(data['bases'])}")
    data["registry"] = registry
    for name, digest in images.items():
        data["images"][name]["digest"] = digest
    for name, digest in bases.items():
        data["bases"][name]["digest"] = digest
    ImageLock.parse(data, origin)
    head = re.match(r"(?:#[^\n]*\n)*", text)
    return (head.group() if head else "") + yaml.safe_dump(data, sort_keys=False)


def _lock(names: list[str], registry: str | None, bases: Mapping[str, str], lock: Path, docker: str) -> None:
    digests = {name: _pushed_digest(name, registry, docker) for name in names}
    write_atomic(lock, with_digests(lock.read_text(), registry, digests, bases, str(lock)).encode())
    for name, digest in digests.items():
        typer.echo(f"{registry}/{name}@{digest}")
    for name, digest in bases.items():
        typer.echo(f"{name}@{digest}")


def _pushed_digest(name: str, registry: str | None, docker: str) -> str:
    """Digest under which Docker knows an image in a registry."""
    known = json.loads(_docker([docker, "image", "inspect", f"{name}:{LOCAL_TAG}"]))[0]["RepoDigests"]
    found = [digest.rpartition("@")[2] for digest in known if digest.rpartition("@")[0] == f"{registry}/{name}"]
    if not found:
        raise UserError(f"{name}: was not pushed to {registry} from here; run `python -m pipelines images push`")
    return str(found[0])


def _locked_base(locked: ImageLock, origin: Path) -> str:
    for base in locked.bases.values():
        if base.argument == "BASE_IMAGE" and base.pinned:
            return f"{base.image}@{base.pinned}"
    raise UserError(
        f"{origin}: no base image has a digest; give one with --base-image (Debian with python3.11 and its venv module)"
    )


def _build_arguments(given: Iterable[str]) -> dict[str, str]:
    found = dict(item.partition("=")[::2] for item in given if "=" in item)
    wrong = [item for item in given if "=" not in item]
    if wrong:
        raise UserError(f"--build-arg {wrong[0]}: expected NAME=VALUE")
    return found


def _docker(command: list[str], shown: bool = False) -> str:
    """Run Docker's client; what it printed, unless that was shown.

    Raises:
        UserError: there is none, or it failed.
    """
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    pipe = None if shown else subprocess.PIPE
    try:
        done = subprocess.run(command, env=environment, stdout=pipe, stderr=pipe, text=True, check=False)  # noqa: S603
    except FileNotFoundError:
        raise UserError(f"{command[0]}: no such program; install Docker, or name its client with --docker") from None
    if done.returncode:
        said = "" if shown else f": {' '.join(done.stderr.split())}"
        raise UserError(f"docker {command[1]} ended with status {done.returncode}{said}")
    return "" if shown else done.stdout

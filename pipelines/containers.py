"""Where tasks of a local run in containers run: one container a task, on this machine's Docker, by KFP's runner.

A container sees the home folder under its own path, so that records and the store mean the same inside and outside; it
uses this machine's network, so that a server on 127.0.0.1 is the same server. It runs as whoever owns the home folder,
never as root, on a read-only root file system.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp import dsl, local

from hazardline import environment
from hazardline.errors import UserError

RUN_LABEL = "hazardline.run"
VARIABLES = (
    environment.S3_ENDPOINT,
    environment.ANNOTATOR_URL,
    environment.ANNOTATOR_KEY,
    environment.REPOSITORY,
    environment.STORE_MIRROR,
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_RUN_ID",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "OMP_NUM_THREADS",
)
"""What a container gets of this process's environment, where it is set: addresses and secrets of stages."""
_SHM = "2g"
_TMP = "rw,exec,nosuid,nodev,mode=1777"
"""Compiled kernels are loaded from there, so it may not be `noexec`, which is Docker's own choice."""


@dataclass(frozen=True)
class Containers:
    """Tasks run in containers of one image."""

    image: str
    """As Docker on this machine knows it."""
    volumes: tuple[Path, ...] = ()
    """Folders outside of the home that stages read or write, each under its own path."""

    def __call__(self, task: dsl.PipelineTask) -> dsl.PipelineTask:
        """The place of a task: this image, whatever its component names."""
        return task.set_container_image(self.image)

    @contextlib.contextmanager
    def runner(self, run_id: str, run_folder: Path, variables: Mapping[str, str]) -> Iterator[local.DockerRunner]:
        """KFP's runner. Containers that are left when the block is left, however it is, are ended.

        Args:
            run_id: labels the containers.
            run_folder: folder of the run, which the containers write to.
            variables: further environment of the stages.

        Raises:
            UserError: no Docker, no such image, a folder that is not there, or a home folder of root.
            RuntimeError: what Docker said inside the block, for example that a container cannot be started.
        """
        import docker
        import requests  # type: ignore[import-untyped]

        folders = [environment.home(), environment.store_root(), environment.datasets_root()]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        user = _owner(folders[0])
        _give([run_folder, *run_folder.rglob("*"), run_folder.parent, *folders], user)
        missing = [folder for folder in self.volumes if not folder.is_dir()]
        if missing:
            raise UserError(f"--volume {missing[0]}: no such folder")
        given = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
        client = _client(self.image)
        try:
            yield local.DockerRunner(
                user=f"{user[0]}:{user[1]}",
                environment={**given, **variables},
                mounts=[
                    docker.types.Mount(str(folder), str(folder), type="bind")
                    for folder in dict.fromkeys([*folders, *(volume.absolute() for volume in self.volumes)])
                ],
                network_mode="host",
                read_only=True,
                tmpfs={"/tmp": _TMP},  # noqa: S108
                shm_size=_SHM,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                init=True,
                labels={RUN_LABEL: run_id},
            )
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise RuntimeError(f"Docker: {error}") from error
        finally:
            with contextlib.suppress(docker.errors.DockerException, requests.RequestException):
                for container in client.containers.list(filters={"label": f"{RUN_LABEL}={run_id}"}):
                    container.kill()
            client.close()


def _client(image: str) -> Any:
    """A client of this machine's Docker, which has the image. KFP would look for a missing one in a public registry."""
    import docker

    try:
        client = docker.from_env()
        client.images.get(image)
    except docker.errors.ImageNotFound:
        raise UserError(f"--image {image}: Docker has no such image; build it with `make images`") from None
    except docker.errors.DockerException as error:
        raise UserError(f"Docker cannot be reached ({error}); expected its daemon at DOCKER_HOST") from None
    return client


def _owner(home: Path) -> tuple[int, int]:
    found = home.stat()
    if found.st_uid == 0:
        raise UserError(
            f"{home} belongs to root, and containers do not run as root; name another folder with "
            f"{environment.HOME}, or give this one away: chown -R 10001:10001 {home}"
        )
    return found.st_uid, found.st_gid


def _give(paths: list[Path], user: tuple[int, int]) -> None:
    """Let the containers' user have what root has made for them. Others are that user already."""
    if os.getuid() == 0:
        for path in paths:
            os.chown(path, *user)

"""What every task gets on a cluster: `components/resources.yaml`, read strictly.

Quantities are Kubernetes' own (`500m`, `8Gi`). One file is complete: no inheritance, and a task that it does not name
cannot be compiled.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hazardline.documents import Document, read_yaml
from hazardline.errors import UserError
from hazardline.rayjob.config import RayJobConfig, Toleration
from hazardline.stages import STAGES

RESOURCES_PATH = Path(__file__).parent / "resources.yaml"
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}

Cpu = Annotated[str, Field(pattern=r"^([0-9]*\.)?[0-9]+m?$")]
"""Cores, or thousandths of one: `2`, `0.5`, `500m`."""
Bytes = Annotated[str, Field(pattern=r"^[0-9]+(K|M|G|T|Ki|Mi|Gi|Ti)?$")]
"""As KFP takes it: a whole number and a unit."""
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
Variable = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
Folder = Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._-]+)+$")]
Seconds = Annotated[int, Field(ge=1, le=30 * 24 * 3600)]


class Pool(Document):
    """Machines with one kind of GPU."""

    resource: str
    """What a pod asks for: `nvidia.com/gpu`."""
    node_selector: Annotated[dict[str, str], Field(min_length=1)]
    tolerations: list[Toleration]


class Settings(Document):
    """A ConfigMap whose keys become environment variables of the same names."""

    name: Name
    required: list[Variable]
    optional: list[Variable]


class SecretVariables(Document):
    """A Secret whose keys become environment variables of the same names."""

    kind: Literal["variables"]
    name: Name
    keys: Annotated[list[Variable], Field(min_length=1)]
    optional: bool
    """Whether a pod starts where the Secret, or a key of it, is not there; without it the variable is not set."""


class SecretFiles(Document):
    """A Secret whose keys become files in a folder."""

    kind: Literal["files"]
    name: Name
    folder: Folder
    variable: Variable
    """Environment variable that names the folder."""


class Retries(Document):
    """How often a failed pod is started again, and after how long: `wait_s`, then `factor` times as long each time."""

    count: Annotated[int, Field(ge=0, le=10)]
    wait_s: Seconds
    factor: Annotated[float, Field(ge=1, le=10)]
    longest_wait_s: Seconds


class Identity(Document):
    """Whom a container runs as."""

    user: Annotated[int, Field(ge=1)]
    group: Annotated[int, Field(ge=1)]


class TaskResources(Document):
    """One task's pod."""

    image: str
    """Its name in `docker/images.lock.yaml`."""
    cpu: Cpu
    cpu_limit: Cpu
    memory: Bytes
    memory_limit: Bytes
    gpus: Annotated[int, Field(ge=0, le=16)]
    pool: str | None
    """The pool that its GPUs are of; null without GPUs."""
    home: Bytes
    """Most that the pod may write below the home folder: its store, a cache of the mirror."""
    tmp: Bytes
    shm: Bytes | None
    """Shared memory; it counts as the pod's memory. Null: the node's default (64 MB)."""
    timeout_s: Seconds
    """Of one try; the pod is ended after it."""
    retries: Retries
    secrets: list[str]
    """By their names in this file."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if _cores(self.cpu) > _cores(self.cpu_limit):
            raise ValueError(f"cpu {self.cpu} is more than cpu_limit {self.cpu_limit}")
        if size_bytes(self.memory) > size_bytes(self.memory_limit):
            raise ValueError(f"memory {self.memory} is more than memory_limit {self.memory_limit}")
        if self.shm is not None and size_bytes(self.shm) > size_bytes(self.memory_limit):
            raise ValueError(f"shm {self.shm} is more than memory_limit {self.memory_limit}, of which it is a part")
        if (self.gpus > 0) != (self.pool is not None):
            raise ValueError("a task with gpus names their pool, and one without names none")
        return self


class RayWork(Document):
    """A task whose work is done by a RayJob."""

    image: str
    """Of Ray's pods: its name in `docker/images.lock.yaml`."""
    pool: str
    """The pool that its GPUs are of."""
    settings: dict[str, Any]
    """Fields of `hazardline.rayjob.config.RayJobConfig`."""


class ClusterResources(Document):
    """`components/resources.yaml`."""

    version: Literal["cluster-resources@1"]
    namespace: Name
    service_account: Name
    """Of the tasks' pods."""
    home: Folder
    """What `HAZARDLINE_HOME` is in the pods: an empty folder of each."""
    labels: dict[str, str]
    identity: Identity
    settings: Settings
    secrets: dict[str, Annotated[SecretVariables | SecretFiles, Field(discriminator="kind")]]
    pools: dict[str, Pool]
    rayjobs: dict[str, RayWork]
    tasks: dict[str, TaskResources]

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        missing = [stage.name for stage in STAGES if stage.name not in self.tasks]
        if missing:
            raise ValueError(f"tasks: {missing[0]} is missing; every stage has an entry")
        for name, task in self.tasks.items():
            unknown = sorted(set(task.secrets) - set(self.secrets))
            if unknown:
                raise ValueError(f"tasks.{name}.secrets: {unknown[0]} is unknown; known: {', '.join(self.secrets)}")
            if task.pool is not None and task.pool not in self.pools:
                raise ValueError(f"tasks.{name}.pool: {task.pool} is unknown; known: {', '.join(self.pools)}")
        for name, work in self.rayjobs.items():
            if name not in self.tasks:
                raise ValueError(f"rayjobs: no task is named {name}; known: {', '.join(self.tasks)}")
            if work.pool not in self.pools:
                raise ValueError(f"rayjobs.{name}.pool: {work.pool} is unknown; known: {', '.join(self.pools)}")
            try:
                self.rayjob(name, f"{work.image}@sha256:{64 * '0'}")
            except UserError as error:
                raise ValueError(str(error)) from None
        return self

    def rayjob(self, task: str, image: str) -> RayJobConfig:
        """What `HAZARDLINE_RAYJOB` is for a task.

        Args:
            task: one of `rayjobs`.
            image: what the cluster pulls for Ray's pods, by digest.

        Raises:
            UserError: a setting is misspelt, or is said elsewhere in the table.
        """
        work = self.rayjobs[task]
        pool = self.pools[work.pool]
        placed = {
            "namespace": self.namespace,
            "home": self.home,
            "image": image,
            "node_selector": pool.node_selector,
            "tolerations": [toleration.data() for toleration in pool.tolerations],
        }
        where = f"rayjobs.{task}.settings"
        twice = sorted(set(placed) & set(work.settings))
        if twice:
            raise UserError(f"{where}: {twice[0]} follows from the rest of the table; remove it there")
        return RayJobConfig.parse({**work.settings, **placed}, where)

    def image_names(self) -> set[str]:
        """Names of all images that pods are started from."""
        return {task.image for task in self.tasks.values()} | {work.image for work in self.rayjobs.values()}


def read_resources(path: Path = RESOURCES_PATH) -> ClusterResources:
    """Read a table of resources.

    Raises:
        UserError: one line a problem, naming the field and what is allowed there.
    """
    return ClusterResources.parse(read_yaml(path), str(path))


def size_bytes(quantity: str) -> int:
    """A quantity of memory or disk in bytes."""
    number, unit = re.fullmatch(r"([0-9]+)([A-Za-z]*)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * _UNITS[unit]


def _cores(quantity: str) -> float:
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)

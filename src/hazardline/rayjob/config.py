"""Where and with what a stage's work is done as a RayJob.

The settings come from the environment variable `HAZARDLINE_RAYJOB` and not from a recipe, which says what is trained
and is the same on one machine and on a cluster. Names of secrets and config maps stand here, never their values.
"""

import os
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hazardline import environment
from hazardline.documents import Document

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""KubeRay counts seconds in 32 bits."""
ShortS = Annotated[float, Field(gt=0)]
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")]
"""An amount as Kubernetes writes it: `8`, `500m`, `64Gi`."""
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
LabelName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
ImageDigest = Annotated[str, Field(pattern=r"^[^\s@]+@sha256:[0-9a-f]{64}$")]
"""An image named by its digest; a tag alone is refused."""


class Resources(Document):
    """What one pod asks for, and is limited to."""

    cpu: Quantity
    memory: Quantity
    gpus: Annotated[int, Field(ge=0)] = 0


class KeyRef(Document):
    """One key of a Secret or a ConfigMap of the namespace."""

    name: ObjectName
    key: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$")]
    optional: bool = False
    """Whether the variable may be absent."""


class Toleration(Document):
    """A taint that a pod bears."""

    key: str
    operator: Literal["Exists", "Equal"]
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]

    @model_validator(mode="after")
    def _value_fits_the_operator(self) -> Self:
        if (self.value is None) == (self.operator == "Equal"):
            raise ValueError("value goes with operator Equal, and with it alone")
        return self


def _refs(name: str, *keys: str) -> dict[str, KeyRef]:
    return {key: KeyRef(name=name, key=key) for key in keys}


class RayJobConfig(Document):
    """A Ray cluster for the length of one stage, and how long to wait for what."""

    namespace: LabelName = "hazardline"
    image: ImageDigest
    ray_version: str = "2.60.0"
    head: Resources = Resources(cpu="8", memory="64Gi")
    """The pod of the driver, which also encodes the clips. Without workers it trains too, on its own GPUs."""
    worker: Resources = Resources(cpu="8", memory="64Gi", gpus=1)
    num_workers: Annotated[int, Field(ge=0)] = 0
    """Worker pods. They need a mirror of the store (`HAZARDLINE_STORE_MIRROR`), or the head's folders
    (`storage_claim`)."""
    storage_claim: ObjectName | None = None
    """A PersistentVolumeClaim (ReadWriteMany) below `home`, seen by all pods; null for a folder of each pod's own."""
    home: Annotated[str, Field(pattern=r"^/[^\s:]+$")] = "/var/lib/hazardline"
    """Where pods may write, beside `/tmp`: `HAZARDLINE_HOME`."""
    gpu_product: str | None = None
    """Value of the node label `nvidia.com/gpu.product`, on pods that ask for a GPU."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """On pods that ask for a GPU."""
    tolerations: list[Toleration] = Field(
        default=[Toleration(key="nvidia.com/gpu", operator="Exists", effect="NoSchedule")]
    )
    """On pods that ask for a GPU."""
    queue: LabelName | None = "hazardline-training"
    """Kueue's LocalQueue, which admits the job; null where there is no Kueue."""
    shm_size: Quantity = "16Gi"
    scratch_size: Quantity = "200Gi"
    service_account: ObjectName = "hazardline-ray"
    image_pull_secrets: list[ObjectName] = Field(default_factory=list)
    secret_env: dict[VariableName, KeyRef] = Field(
        default={
            **_refs("hazardline-s3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
            **_refs("hazardline-mlflow", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
        }
    )
    """Variables of the pods that come out of Secrets."""
    config_map_env: dict[VariableName, KeyRef] = Field(
        default={
            **_refs("hazardline-settings", "HAZARDLINE_HOME", "HAZARDLINE_STORE_MIRROR", "MLFLOW_TRACKING_URI"),
            "HAZARDLINE_S3_ENDPOINT": KeyRef(name="hazardline-settings", key="HAZARDLINE_S3_ENDPOINT", optional=True),
        }
    )
    """Variables of the pods that come out of ConfigMaps, unless the component has its own value."""
    env: dict[VariableName, str] = Field(default_factory=dict)
    """Further plain variables (`AWS_DEFAULT_REGION`, `NCCL_DEBUG`)."""
    exchange: str | None = None
    """Folder or `s3://bucket/prefix` for request and result; null for the store's mirror, or the store itself."""
    authentication: Literal["token", "disabled"] = "token"
    """Whether Ray's own ports ask for a token, which KubeRay makes (KubeRay 1.5 or later)."""
    submission_mode: Literal["K8sJobMode", "HTTPMode"] = "K8sJobMode"
    queue_timeout_s: Seconds = 24 * 3600
    """Longest wait for admission, counted anew after a preemption."""
    start_timeout_s: Seconds = 1800
    """Longest way from admission to a running job: nodes, images, Ray."""
    run_deadline_s: Seconds = 3 * 24 * 3600
    """Longest run since the last start."""
    ttl_s: Seconds = 600
    """How long KubeRay keeps the pods of a job that ended, where nobody has removed it before."""
    backoff_limit: Annotated[int, Field(ge=0)] = 2
    """Times that KubeRay starts a new cluster after a loss; the stage goes on from its checkpoint."""
    stop_grace_s: Seconds = 120
    """Time for a checkpoint between SIGTERM and SIGKILL."""
    pod_trouble_s: ShortS = 120.0
    """How long a pod may be in a state that seldom mends itself (its image cannot be pulled) before the run ends."""
    poll_s: ShortS = 10.0
    """Length of a watch request, and how often progress is looked for."""
    backoff_s: ShortS = 0.5
    """First pause after an error of the Kubernetes API; it doubles up to `poll_s`."""
    api_patience_s: ShortS = 600.0
    """How long the Kubernetes API may be away."""
    cleanup_patience_s: ShortS = 15.0
    """The same at the end, when the job is removed: a pod that is told to end has about 30 s."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        twice = sorted(set(self.secret_env) & ({*self.config_map_env, *self.env}))
        if twice:
            raise ValueError(f"{twice[0]} is given by a Secret and once more; keep one")
        placed = "gpu_product" if self.gpu_product else "node_selector" if self.node_selector else None
        if placed and self.num_workers and not self.worker.gpus:
            raise ValueError(f"{placed} is given, but worker.gpus is 0; set it to the GPUs of a worker pod")
        if placed and not self.num_workers and not self.head.gpus:
            raise ValueError(f"{placed} is given, but no pod asks for a GPU; set head.gpus, or num_workers")
        if self.start_timeout_s + self.run_deadline_s >= 2**31:
            raise ValueError("start_timeout_s and run_deadline_s together are more seconds than KubeRay counts")
        return self

    @property
    def active_deadline_s(self) -> int:
        """KubeRay's own deadline, which counts from the start of the cluster: for jobs that nobody watches."""
        return self.start_timeout_s + self.run_deadline_s


def rayjob_config() -> RayJobConfig | None:
    """The settings in the environment; None where there are none, and all work is done in this process.

    Raises:
        UserError: they are not what they should be.
    """
    text = os.environ.get(environment.RAYJOB)
    return RayJobConfig.parse_json(text, environment.RAYJOB) if text else None

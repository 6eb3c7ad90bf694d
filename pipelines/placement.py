"""Puts a pipeline's tasks into pods, as the table of resources and the images' digests say."""

from collections.abc import Mapping
from dataclasses import dataclass

from kfp import dsl, kubernetes

from hazardline import environment
from hazardline.errors import UserError
from hazardline.files import canonical_json

from components.cluster import ClusterResources, SecretVariables, TaskResources

COMPONENT_LABEL = "app.kubernetes.io/component"


@dataclass(frozen=True)
class OnCluster:
    """The place of a compiled pipeline's tasks.

    Of the pods' security KFP lets a task say only whom it runs as; that privileges do not grow, that all capabilities
    are dropped and which system calls are let through is KFP's own doing.
    """

    resources: ClusterResources
    images: Mapping[str, str]
    """Image name to what the cluster pulls."""

    def __call__(self, task: dsl.PipelineTask) -> dsl.PipelineTask:
        """Say everything of a task that its pod needs.

        Raises:
            UserError: the table does not have the task.
        """
        name = task.component_spec.name
        found = self.resources.tasks.get(name)
        if found is None:
            raise UserError(f"the table of resources has no task {name}; it has {', '.join(self.resources.tasks)}")
        task.set_container_image(self.images[found.image])
        self._ask(task, found)
        self._mount(task, found)
        self._give_variables(task, found)
        work = self.resources.rayjobs.get(name)
        if work is not None:
            rayjob = self.resources.rayjob(name, self.images[work.image])
            task.set_env_variable(environment.RAYJOB, canonical_json(rayjob.data()).decode())
        for label, value in {**self.resources.labels, COMPONENT_LABEL: name}.items():
            kubernetes.add_pod_label(task, label, value)
        identity = self.resources.identity
        kubernetes.set_security_context(
            task, run_as_user=identity.user, run_as_group=identity.group, run_as_non_root=True
        )
        kubernetes.set_timeout(task, found.timeout_s)
        task.set_retry(
            num_retries=found.retries.count,
            backoff_duration=f"{found.retries.wait_s}s",
            backoff_factor=found.retries.factor,
            backoff_max_duration=f"{found.retries.longest_wait_s}s",
        )
        return task

    def _ask(self, task: dsl.PipelineTask, found: TaskResources) -> None:
        """Processors, memory and GPUs; a task without GPUs keeps away from their machines, which are tainted."""
        task.set_cpu_request(found.cpu).set_cpu_limit(found.cpu_limit)
        task.set_memory_request(found.memory).set_memory_limit(found.memory_limit)
        if found.pool is None:
            return
        pool = self.resources.pools[found.pool]
        task.set_accelerator_type(pool.resource).set_accelerator_limit(found.gpus)
        for key, value in pool.node_selector.items():
            kubernetes.add_node_selector(task, key, value)
        for toleration in pool.tolerations:
            kubernetes.add_toleration(
                task,
                key=toleration.key,
                operator=toleration.operator,
                value=toleration.value,
                effect=toleration.effect,
            )

    def _mount(self, task: dsl.PipelineTask, found: TaskResources) -> None:
        """The folders that a task may write to."""
        kubernetes.empty_dir_mount(task, volume_name="home", mount_path=self.resources.home, size_limit=found.home)
        kubernetes.empty_dir_mount(task, volume_name="tmp", mount_path="/tmp", size_limit=found.tmp)  # noqa: S108
        if found.shm is not None:
            kubernetes.empty_dir_mount(
                task,
                volume_name="shm",
                mount_path="/dev/shm",  # noqa: S108
                medium="Memory",
                size_limit=found.shm,
            )

    def _give_variables(self, task: dsl.PipelineTask, found: TaskResources) -> None:
        """Addresses from the ConfigMap, secrets by reference: no value stands in what is compiled."""
        settings = self.resources.settings
        kubernetes.use_config_map_as_env(task, settings.name, {key: key for key in settings.required})
        if settings.optional:
            kubernetes.use_config_map_as_env(
                task, settings.name, {key: key for key in settings.optional}, optional=True
            )
        for wanted in found.secrets:
            secret = self.resources.secrets[wanted]
            if isinstance(secret, SecretVariables):
                kubernetes.use_secret_as_env(
                    task, secret.name, {key: key for key in secret.keys}, optional=secret.optional
                )
            else:
                kubernetes.use_secret_as_volume(task, secret.name, secret.folder)
                task.set_env_variable(secret.variable, secret.folder)

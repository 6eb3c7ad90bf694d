"""The Kubernetes API as a RayJob's watcher needs it: few calls, each patient with an API that is away for a while.

Inside a cluster the service account's token is read from its file, elsewhere a kubeconfig is used. A token that has
expired (401) is read anew once: the kubelet puts a new one into the file before the old one ends.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from hazardline.errors import UserError

GROUP, VERSION, PLURAL = "ray.io", "v1", "rayjobs"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CONNECT_S, READ_S = 10.0, 30.0
"""How long one request may take to connect, and between two pieces of its answer."""
_GONE, _CONFLICT, _NOT_FOUND, _UNAUTHORIZED, _FORBIDDEN, _TOO_MANY = 410, 409, 404, 401, 403, 429
_logger = logging.getLogger(__name__)

Job = dict[str, Any]
"""A RayJob as plain data."""
T = TypeVar("T")


class ConflictError(Exception):
    """409: the name is taken, or the object has changed since it was read."""


class DroppedError(Exception):
    """A watch ended before its time: the state must be read again."""


def connect() -> Any:
    """An `ApiClient` with a token that is read now.

    Raises:
        UserError: neither a service account nor a kubeconfig is there.
    """
    from kubernetes import client, config

    settings = client.Configuration()
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            config.incluster_config.InClusterConfigLoader(
                token_filename=str(SERVICE_ACCOUNT / "token"),
                cert_filename=str(SERVICE_ACCOUNT / "ca.crt"),
                try_refresh_token=False,
            ).load_and_set(settings)
        else:
            # named here, for the library reads KUBECONFIG when it is imported and never again
            config.load_kube_config(os.environ.get("KUBECONFIG") or None, client_configuration=settings)
    except (config.ConfigException, OSError) as error:
        raise UserError(
            f"no way to the Kubernetes API ({error}); expected a pod with a service account's token, or a kubeconfig "
            "(KUBECONFIG). To train on this machine instead, unset HAZARDLINE_RAYJOB"
        ) from None
    settings.retries = False  # this module waits and says so; urllib3 would do it in silence
    return client.ApiClient(settings)


class RayJobsApi:
    """RayJobs of a namespace, and the pods and events that belong to them."""

    def __init__(
        self,
        namespace: str,
        *,
        patience_s: float,
        backoff_s: float,
        max_backoff_s: float,
        connect: Callable[[], Any] = connect,
        note: Callable[[str], None] = _logger.warning,
    ) -> None:
        """Connect.

        Args:
            namespace: where the jobs are.
            patience_s: how long the API may be away.
            backoff_s: first pause after an error; it doubles.
            max_backoff_s: longest pause.
            connect: makes an `ApiClient`; called again where a token has expired.
            note: told when the API is away, and when it is back.
        """
        self.namespace = namespace
        self.patience_s = patience_s
        self._backoff_s, self._max_backoff_s = backoff_s, max_backoff_s
        self._connect, self._note = connect, note
        self._client = connect()

    def create(self, job: Job) -> Job:
        """Create a job.

        Raises:
            ConflictError: the name is taken. After a lost answer that may be by this very call.
            UserError: the API refuses the manifest or the service account, or stays away.
        """
        created: Job | None = self._call(
            "create", lambda api: api.create_namespaced_custom_object(*self._place(), job, **_limits())
        )
        assert created is not None
        return created

    def read(self, name: str) -> Job | None:
        """A job as it is now; None where there is none."""
        found: Job | None = self._call(
            "get", lambda api: api.get_namespaced_custom_object(*self._place(), name, **_limits())
        )
        return found

    def annotate(self, job: Job, annotations: dict[str, str]) -> Job | None:
        """Set annotations of a job, if it has not changed since it was read; None where it is gone.

        Raises:
            ConflictError: it has changed.
        """
        metadata = job["metadata"]
        body = {"metadata": {"annotations": annotations, "resourceVersion": metadata["resourceVersion"]}}
        changed: Job | None = self._call(
            "patch", lambda api: api.patch_namespaced_custom_object(*self._place(), metadata["name"], body, **_limits())
        )
        return changed

    def delete(self, job: Job) -> None:
        """Delete a job, if it has not changed since it was read. One that is gone already is well.

        Raises:
            ConflictError: it has changed.
        """
        metadata = job["metadata"]
        body = {"preconditions": {name: metadata[name] for name in ("uid", "resourceVersion")}}
        self._call(
            "delete",
            lambda api: api.delete_namespaced_custom_object(*self._place(), metadata["name"], body=body, **_limits()),
        )

    def changes(self, name: str, version: str, timeout_s: float) -> Iterator[Job | None]:
        """States of a job after a resource version, for a while; None when it is gone.

        A bookmark is a job of nothing but metadata.

        Raises:
            DroppedError: the connection broke, the API refused, or the version is too old (410).
        """
        from kubernetes import client
        from urllib3.exceptions import HTTPError

        options = {
            "watch": True,
            "allow_watch_bookmarks": True,
            "field_selector": f"metadata.name={name}",
            "resource_version": version,
            "timeout_seconds": max(1, round(timeout_s)),
            "_preload_content": False,
            "_request_timeout": (CONNECT_S, timeout_s + READ_S),
        }
        try:
            answer = client.CustomObjectsApi(self._client).list_namespaced_custom_object(*self._place(), **options)
            with answer:
                for line in _lines(answer):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise DroppedError(event["object"].get("message", "the watch ended"))
                    yield None if event["type"] == "DELETED" else event["object"]
        except (client.ApiException, HTTPError, ValueError, KeyError) as error:
            raise DroppedError(_said(error)) from None

    def pods(self, selector: str) -> list[dict[str, Any]]:
        """Pods of the namespace with labels."""
        return self._core("list_namespaced_pod", label_selector=selector)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Events about an object of a name."""
        return self._core("list_namespaced_event", field_selector=f"involvedObject.name={name}")

    def _core(self, method: str, **options: Any) -> list[dict[str, Any]]:
        from kubernetes import client

        def call(api: Any) -> list[dict[str, Any]]:
            listed = getattr(client.CoreV1Api(api.api_client), method)
            answer = listed(self.namespace, _preload_content=False, **_limits(), **options)
            found: list[dict[str, Any]] = json.loads(answer.data)["items"]
            return found

        return self._call(f"list {method.rpartition('_')[2]}s", call) or []

    def _place(self) -> tuple[str, str, str, str]:
        return GROUP, VERSION, self.namespace, PLURAL

    def _call(self, verb: str, call: Callable[[Any], T]) -> T | None:
        """Make a call; wait and repeat while the API is away. None for what is not found."""
        from kubernetes import client
        from urllib3.exceptions import HTTPError

        give_up_at, pause_s, is_renewed, was_away = time.monotonic() + self.patience_s, self._backoff_s, False, False
        while True:
            try:
                result = call(client.CustomObjectsApi(self._client))
            except client.ApiException as error:
                if error.status == _UNAUTHORIZED and not is_renewed:
                    self._client, is_renewed = self._connect(), True
                    continue
                if error.status < 500 and error.status != _TOO_MANY:
                    if was_away:
                        self._note("the Kubernetes API answers again")
                    if error.status == _NOT_FOUND and verb != "create":
                        return None
                    raise self._refusal(verb, error) from None
                said = f"{error.status} {_said(error)}"
            except HTTPError as error:
                said = _said(error)
            else:
                if was_away:
                    self._note("the Kubernetes API answers again")
                return result
            if time.monotonic() + pause_s > give_up_at:
                raise UserError(
                    f"the Kubernetes API has not answered for {self.patience_s:g} s ({said}); run again when it does"
                )
            if not was_away:
                self._note(f"the Kubernetes API does not answer ({said}); it is asked again")
            was_away, is_renewed = True, False
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, self._max_backoff_s)

    def _refusal(self, verb: str, error: Any) -> Exception:
        said = _said(error)
        if error.status == _CONFLICT:
            return ConflictError(said)
        if error.status == _UNAUTHORIZED:
            return UserError(
                f"the Kubernetes API refuses the token ({said}), also when it is read anew; see that the pod's service "
                "account exists, or renew the kubeconfig's credentials"
            )
        if error.status == _FORBIDDEN:
            return UserError(
                f"the Kubernetes API does not allow to {verb} in the namespace {self.namespace} ({said}); give the "
                "service account the role hazardline-pipeline (k8s/base), or raise the quota that is named"
            )
        if error.status == _NOT_FOUND:
            return UserError(
                f"the Kubernetes API knows no RayJobs in the namespace {self.namespace} ({said}); install KubeRay, and "
                "see rayjob.namespace"
            )
        return UserError(f"the Kubernetes API refuses to {verb} the RayJob: {said}; mend HAZARDLINE_RAYJOB")


def _limits() -> dict[str, Any]:
    return {"_request_timeout": (CONNECT_S, READ_S)}


def _lines(answer: Any) -> Iterator[bytes]:
    """Lines as they come. An answer that ends within a line was cut off."""
    rest = b""
    for piece in answer.stream(amt=None, decode_content=False):
        *whole, rest = (rest + piece).split(b"\n")
        yield from filter(None, whole)
    if rest:
        raise DroppedError("the connection broke within an event")


def _said(error: Any) -> str:
    """One line of what an error says: the API's message, or the connection's."""
    try:
        text = json.loads(error.body)["message"]
    except (AttributeError, TypeError, ValueError, KeyError):
        text = getattr(error, "reason", None) or error
    return " ".join(str(text).split())[:400] or type(error).__name__

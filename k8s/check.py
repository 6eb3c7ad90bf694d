"""Renders an overlay and refuses what must not reach a cluster: `python k8s/check.py production > production.yaml`.

Refused are Secrets with content, images that are not named by digest, places that nobody has filled in (rows of zeros,
names below `.example`, addresses of 192.0.2.0/24), containers that are not `restricted`, and a namespace without its
default deny. It knows nothing of a cluster, and does not validate fields: `kubectl apply --dry-run=server` does.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

NAMESPACE = "hazardline"
OVERLAYS = Path(__file__).parent / "overlays"
CLUSTER_WIDE = {"Namespace", "ResourceFlavor", "ClusterQueue", "WorkloadPriorityClass"}
_PLACEHOLDER = re.compile(r"sha256:0{64}|(?<![\w-])[\w.-]*\.example(?![\w.-])|(?<![\d.])192\.0\.2\.\d+(?:/\d+)?")
_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
"""Kinds of volume that the level `restricted` allows."""

Object = dict[str, Any]


def render(overlay: Path) -> list[Object]:
    """Objects of an overlay, as `kubectl kustomize` puts them together.

    Raises:
        SystemExit: kubectl is not there, or cannot put them together.
    """
    try:
        command = ["kubectl", "kustomize", str(overlay)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the user's own folder
    except FileNotFoundError:
        raise SystemExit("kubectl was not found; install 1.30 or later (https://kubernetes.io)") from None
    if done.returncode:
        raise SystemExit(f"kubectl kustomize {overlay}: {done.stderr.strip()}")
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def findings(objects: list[Object]) -> list[str]:
    """All that is wrong, one line each."""
    rules = (secrets, placeholders, images, unrestricted, misplaced, without_default_deny)
    return [finding for rule in rules for finding in rule(objects)]


def secrets(objects: list[Object]) -> Iterator[str]:
    """Secrets that bring their content."""
    for found in objects:
        if found["kind"] == "Secret" and (found.get("data") or found.get("stringData")):
            yield f"{name(found)} has content: make it with `kubectl create secret` (k8s/README.md)"


def placeholders(objects: list[Object]) -> Iterator[str]:
    """Places that are still to be filled in."""
    for found in objects:
        held = sorted({match for text in _texts(found) for match in _PLACEHOLDER.findall(text)})
        if held:
            yield f"{name(found)} holds the place of: {', '.join(held)}"


def images(objects: list[Object]) -> Iterator[str]:
    """Images that a registry may exchange under the same name."""
    for found, container in containers(objects):
        if not re.fullmatch(r"[^\s@:/]+(:\d+)?(/[^\s@:/]+)+@sha256:[0-9a-f]{64}", container.get("image", "")):
            yield f"{name(found)}: {container['name']} names {container.get('image')}; expected HOST/NAME@sha256:DIGEST"


def unrestricted(objects: list[Object]) -> Iterator[str]:
    """Pods that the level `restricted` would refuse, or that may write to their root or use the API."""
    for found in objects:
        pod = pod_of(found)
        if pod is None:
            continue
        context = pod.get("securityContext", {})
        wanted = {
            "runs as root": context.get("runAsNonRoot") is True and context.get("runAsUser") == 10001,
            "has no seccomp profile": context.get("seccompProfile") == {"type": "RuntimeDefault"},
            "shares the machine's namespaces": not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")),
            "gets a token": pod.get("automountServiceAccountToken") is False,
            "mounts what it must not": all(set(volume) - {"name"} <= _VOLUMES for volume in pod.get("volumes", [])),
        }
        yield from (f"{name(found)} {said}" for said, holds in wanted.items() if not holds)
    for found, container in containers(objects):
        context, resources = container.get("securityContext", {}), container.get("resources", {})
        wanted = {
            "may gain rights": context.get("allowPrivilegeEscalation") is False and not context.get("privileged"),
            "keeps capabilities": context.get("capabilities") == {"drop": ["ALL"]},
            "may write to its root": context.get("readOnlyRootFilesystem") is True,
            "takes back what its pod says": not {"runAsNonRoot", "runAsUser", "seccompProfile"} & set(context),
            "opens a port of the machine": not any("hostPort" in port for port in container.get("ports", [])),
            "says not what it needs": all(
                {"cpu", "memory"} <= set(resources.get(kind, {})) for kind in ("requests", "limits")
            ),
        }
        yield from (f"{name(found)}: {container['name']} {said}" for said, holds in wanted.items() if not holds)


def misplaced(objects: list[Object]) -> Iterator[str]:
    """Objects outside of the namespace, or cluster-wide ones that name one."""
    for found in objects:
        expected = None if found["kind"] in CLUSTER_WIDE else NAMESPACE
        if found["metadata"].get("namespace") != expected:
            yield f"{name(found)} is in the namespace {found['metadata'].get('namespace')}; expected {expected}"


def without_default_deny(objects: list[Object]) -> Iterator[str]:
    """A namespace that lets in or out what no policy names."""
    nothing = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if not any(found["kind"] == "NetworkPolicy" and found["spec"] == nothing for found in objects):
        yield "no NetworkPolicy denies everything by default"
    for found in objects:
        if found["kind"] == "NetworkPolicy":
            rules = [*found["spec"].get("ingress", []), *found["spec"].get("egress", [])]
            if not all(rule.get("from") or rule.get("to") for rule in rules):
                yield f"{name(found)} has a rule for everybody; name who it is for"


def name(found: Object) -> str:
    """Kind and name of an object."""
    return f"{found['kind']} {found['metadata']['name']}"


def pod_of(found: Object) -> Object | None:
    """The pod that a workload starts, if the object is one."""
    spec = found.get("spec", {})
    if found["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    if found["kind"] == "Pod":
        return spec
    return (
        spec["template"]["spec"]
        if found["kind"] in {"CronJob", "DaemonSet", "Deployment", "Job", "StatefulSet"}
        else None
    )


def containers(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    """All containers, each with the object that it is part of."""
    for found in objects:
        pod = pod_of(found) or {}
        for container in [*pod.get("initContainers", []), *pod.get("containers", [])]:
            yield found, container


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value


def main(arguments: list[str]) -> int:
    """Print the objects of an overlay, or what is wrong with them."""
    if len(arguments) != 1:
        raise SystemExit("usage: python k8s/check.py OVERLAY (a name below k8s/overlays, or a folder of your own)")
    overlay = OVERLAYS / arguments[0]
    objects = render(overlay if overlay.is_dir() else Path(arguments[0]))
    wrong = findings(objects)
    if wrong:
        print(*wrong, f"{arguments[0]}: {len(wrong)} findings; nothing to apply was printed", sep="\n", file=sys.stderr)
        return 1
    print(yaml.safe_dump_all(objects, sort_keys=False), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

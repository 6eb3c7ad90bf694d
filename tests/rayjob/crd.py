"""The RayJob CRD as a JSON schema, and KubeRay's and Kueue's rules that no schema says."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

Faults = Callable[[Any], list[str]]
"""What is wrong with a RayJob, a line each; empty where nothing is."""


def faults_by_crd(folder: Path) -> Faults:
    """Finds unknown and wrong fields, and where there are none, broken rules.

    Args:
        folder: holds `rayjobs.crd.yaml`.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = yaml.load((folder / "rayjobs.crd.yaml").read_text(), Loader=loader)
    (version,) = [version for version in document["spec"]["versions"] if version["name"] == "v1"]
    schema = _strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    validator = jsonschema.Draft202012Validator(schema)

    def faults(job: Any) -> list[str]:
        errors = [f"{'.'.join(map(str, e.absolute_path))}: {e.message}" for e in validator.iter_errors(job)]
        return errors or broken_rules(job)

    return faults


def _strict(node: Any) -> Any:
    """No field beside those that are named; a field with a default need not be given."""
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    found = {name: _strict(value) for name, value in node.items()}
    properties = found.get("properties")
    if isinstance(properties, dict) and found.get("type") == "object":
        required = [name for name in found.get("required", []) if "default" not in properties.get(name, {})]
        found = {**found, "required": required}
        if "additionalProperties" not in found and not found.get("x-kubernetes-preserve-unknown-fields"):
            found["additionalProperties"] = False
    return found


def broken_rules(job: Mapping[str, Any]) -> list[str]:
    """What KubeRay's `validation.go` (1.6) and Kueue's webhook for RayJobs refuse: the rules that do not hold."""
    name, spec = job["metadata"]["name"], job["spec"]
    groups = spec["rayClusterSpec"].get("workerGroupSpecs", [])
    names = [group["groupName"].lower() for group in groups]
    is_queued = "kueue.x-k8s.io/queue-name" in job["metadata"]["labels"]
    rules = {
        "name: at most 47 characters": len(name) <= 47,
        "name: a DNS-1035 label": re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name) is not None,
        "suspend needs shutdownAfterJobFinishes": spec.get("shutdownAfterJobFinishes", False)
        or not (spec.get("suspend") or is_queued),
        "suspend is set by Kueue alone": not (is_queued and "suspend" in spec),
        "a ttl needs shutdownAfterJobFinishes": spec.get("shutdownAfterJobFinishes", False)
        or not spec.get("ttlSecondsAfterFinished"),
        "ttlSecondsAfterFinished: not negative": spec.get("ttlSecondsAfterFinished", 0) >= 0,
        "activeDeadlineSeconds: positive": spec.get("activeDeadlineSeconds", 1) > 0,
        "preRunningDeadlineSeconds: positive": spec.get("preRunningDeadlineSeconds", 1) > 0,
        "backoffLimit: not negative": spec.get("backoffLimit", 0) >= 0,
        "no clusterSelector": "clusterSelector" not in spec,
        "no autoscaling in a queue": not (is_queued and spec["rayClusterSpec"].get("enableInTreeAutoscaling")),
        "groups: names of their own": len({"head", "submitter", *names}) == 2 + len(names),
        "groups: at most 7": len(groups) <= 7,
        "resources in rayStartParams or in resources": all(
            not (set(group.get("rayStartParams", {})) & {"num-cpus", "num-gpus", "memory"} and group.get("resources"))
            for group in [spec["rayClusterSpec"]["headGroupSpec"], *groups]
        ),
        "a token needs rayVersion": spec["rayClusterSpec"].get("authOptions", {}).get("mode") != "token"
        or bool(spec["rayClusterSpec"].get("rayVersion")),
        "HTTPMode takes no submitterPodTemplate": not (
            spec.get("submissionMode") == "HTTPMode" and "submitterPodTemplate" in spec
        ),
    }
    return [f"spec: {rule}" for rule, holds in rules.items() if not holds]

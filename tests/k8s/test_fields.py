"""Every object against its schema, strictly: a misspelt field is an error."""

from collections.abc import Callable

import jsonschema
import kubernetes_validate
import pytest
import yaml

from k8s.check import OVERLAYS, Object, name
from tests.k8s.custom_resources import schema_of
from tests.k8s.objects import get

OLDEST, NEWEST = "1.30", "1.37"
"""The oldest Kubernetes that k8s/README.md names, and the newest with known schemas."""


def faults_of(found: Object, version: str) -> list[str]:
    """What the schema of that Kubernetes has against an object; nothing where it is valid."""
    schema = schema_of(found["apiVersion"], found["kind"])
    try:
        if schema is not None:
            jsonschema.Draft202012Validator(schema).validate(found)
        else:
            kubernetes_validate.validate(found, version, strict=True)
    except jsonschema.ValidationError as error:
        return [f"{name(found)}: {error.json_path}: {error.message}"]
    return []


@pytest.mark.parametrize(
    ("overlay_name", "version"),
    [("local", NEWEST), ("staging", NEWEST), ("production", NEWEST), ("production", OLDEST)],
)
def test_every_object_is_valid(rendered: dict[str, list[Object]], overlay_name: str, version: str) -> None:
    for found in rendered[overlay_name]:
        assert faults_of(found, version) == []


@pytest.mark.parametrize("component", ["external-secrets", "outside-https", "ray-storage"])
def test_components_that_no_overlay_uses_are_valid(component: str) -> None:
    folder = OVERLAYS.parent / "components" / component
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    for found in (found for item in listed for found in yaml.safe_load_all((folder / item).read_text())):
        assert faults_of(found, NEWEST) == []


def _misspell(path: str) -> Callable[[Object], None]:
    *way, last = path.split(".")

    def change(found: Object) -> None:
        for step in way:
            found = found[int(step) if step.isdigit() else step]
        found[last + "s"] = found.pop(last)

    return change


@pytest.mark.parametrize(
    ("kind", "found_name", "path"),
    [
        ("Deployment", "mlflow", "spec.template.spec.containers.0.readinessProbe"),
        ("Deployment", "mlflow", "spec.template.spec.containers.0.securityContext.readOnlyRootFilesystem"),
        ("Deployment", "mlflow", "spec.template.spec.initContainers.0.resources.limits"),
        ("CronJob", "mlflow-backup", "spec.concurrencyPolicy"),
        ("NetworkPolicy", "ray", "spec.ingress.0.from.0.podSelector"),
        ("Role", "hazardline-pipeline", "rules.0.verbs"),
        ("PodDisruptionBudget", "mlflow", "spec.minAvailable"),
        ("Namespace", "hazardline", "metadata.labels"),
        ("ClusterQueue", "hazardline", "spec.cohortName"),
        ("ClusterQueue", "hazardline", "spec.preemption.reclaimWithinCohort"),
        ("ClusterQueue", "hazardline", "spec.resourceGroups.1.flavors.0.resources.0.borrowingLimit"),
        ("ResourceFlavor", "a100-40gb", "spec.nodeLabels"),
        ("WorkloadPriorityClass", "hazardline-urgent", "value"),
        ("PodMonitor", "hazardline-ray", "spec.podMetricsEndpoints.0.relabelings.0.targetLabel"),
        ("PrometheusRule", "hazardline", "spec.groups.0.rules.0.expr"),
    ],
)
def test_a_misspelt_field_is_noticed(production: list[Object], kind: str, found_name: str, path: str) -> None:
    found = get(production, kind, found_name)
    assert faults_of(found, NEWEST) == []
    _misspell(path)(found)
    assert len(faults_of(found, NEWEST)) == 1

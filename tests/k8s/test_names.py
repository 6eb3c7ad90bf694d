"""Names that code, manifests and the guide share."""

import re
from pathlib import Path
from typing import Any

import yaml

from hazardline import environment
from k8s.check import Object, containers, name, pod_of
from tests.k8s.objects import GUIDE, amount, documented_secrets, get, names

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "HAZARDLINE_HOME",
    "HAZARDLINE_REPOSITORY",
    "HAZARDLINE_S3_ENDPOINT",
    "HAZARDLINE_STORE_MIRROR",
    "MLFLOW_TRACKING_URI",
}


def test_settings_have_the_agreed_keys(overlay: list[Object]) -> None:
    data = get(overlay, "ConfigMap", "hazardline-settings")["data"]
    assert set(data) == SETTINGS
    assert data["HAZARDLINE_HOME"] == "/var/lib/hazardline"
    service = get(overlay, "Service", "mlflow")
    assert data["MLFLOW_TRACKING_URI"] == f"http://mlflow.hazardline.svc:{service['spec']['ports'][0]['port']}"


def test_settings_are_variables_that_hazardline_reads() -> None:
    known = {value for value in vars(environment).values() if isinstance(value, str)}
    assert {key for key in SETTINGS if key.startswith("HAZARDLINE_")} <= known


def test_queues_have_the_agreed_names(production: list[Object]) -> None:
    assert names(production, "ResourceFlavor") == {"a100-40gb", "a100-80gb", "any-node"}
    for size in ("40", "80"):
        spec = get(production, "ResourceFlavor", f"a100-{size}gb")["spec"]
        assert spec["nodeLabels"] == {"nvidia.com/gpu.product": f"NVIDIA-A100-SXM4-{size}GB"}
        assert [(taint["key"], taint["effect"]) for taint in spec["nodeTaints"]] == [("nvidia.com/gpu", "NoSchedule")]
    assert get(production, "LocalQueue", "hazardline-training")["spec"]["clusterQueue"] == "hazardline"


def test_queues_name_flavours_that_are_there(overlay: list[Object]) -> None:
    groups = get(overlay, "ClusterQueue", "hazardline")["spec"]["resourceGroups"]
    used = [flavor["name"] for group in groups for flavor in group["flavors"]]
    assert set(used) == names(overlay, "ResourceFlavor") and len(used) == len(set(used))
    for group in groups:
        for flavor in group["flavors"]:
            assert [resource["name"] for resource in flavor["resources"]] == group["coveredResources"]


def _most(objects: list[Object], resource: str) -> float:
    """What Kueue hands out at most, all flavours together: ours and what may be borrowed."""
    total = 0.0
    for group in get(objects, "ClusterQueue", "hazardline")["spec"]["resourceGroups"]:
        for flavor in group["flavors"]:
            for quota in flavor["resources"]:
                if quota["name"] == resource:
                    total += amount(quota["nominalQuota"]) + amount(quota.get("borrowingLimit", "0"))
    return total


def test_the_namespaces_quota_leaves_room_for_all_that_kueue_admits(overlay: list[Object]) -> None:
    hard = get(overlay, "ResourceQuota", "namespace")["spec"]["hard"]
    mlflow = get(overlay, "Deployment", "mlflow")["spec"]["replicas"]
    assert amount(hard["requests.cpu"]) > _most(overlay, "cpu") + mlflow
    assert amount(hard["requests.memory"]) > _most(overlay, "memory") + mlflow * 2**31
    gpus = _most(overlay, "nvidia.com/gpu")
    assert amount(hard["requests.nvidia.com/gpu"]) >= gpus + (gpus > 0)


def test_every_secret_that_is_read_is_made_in_the_guide(overlay: list[Object]) -> None:
    documented = documented_secrets()
    assert {"hazardline-s3", "hazardline-mlflow", "hazardline-webhook"} <= set(documented)
    assert documented["hazardline-s3"] == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert documented["hazardline-mlflow"] == {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}
    assert documented["hazardline-webhook"] == {"HAZARDLINE_WEBHOOK_SECRET"}
    assert "create secret generic hazardline-keys" in GUIDE
    for found, container in containers(overlay):
        for variable in container.get("env", []):
            ref = variable.get("valueFrom", {}).get("secretKeyRef")
            if ref:
                assert ref["key"] in documented[ref["name"]], name(found)
        for source in container.get("envFrom", []):
            if "secretRef" in source:
                assert {"PGHOST", "PGUSER", "PGPASSWORD"} <= documented[source["secretRef"]["name"]]


def test_external_secrets_are_those_of_the_guide() -> None:
    path = ROOT / "k8s" / "components" / "external-secrets" / "external-secrets.yaml"
    found = list(yaml.safe_load_all(path.read_text()))
    assert {item["metadata"]["name"] for item in found} == set(documented_secrets())
    assert all(item["spec"]["target"]["name"] == item["metadata"]["name"] for item in found)


def test_what_is_referred_to_is_there(overlay: list[Object]) -> None:
    maps = {item["metadata"]["name"]: set(item["data"]) for item in overlay if item["kind"] == "ConfigMap"}
    for found, container in containers(overlay):
        for variable in container.get("env", []):
            ref = variable.get("valueFrom", {}).get("configMapKeyRef")
            assert ref is None or ref["key"] in maps[ref["name"]], name(found)
        for source in container.get("envFrom", []):
            assert source.get("configMapRef", {"name": None})["name"] in {None, *maps}
        pod: dict[str, Any] = pod_of(found) or {}
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        for volume in pod["volumes"]:
            assert volume.get("configMap", {"name": None})["name"] in {None, *maps}
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            assert claim is None or claim in names(overlay, "PersistentVolumeClaim")
        assert pod["serviceAccountName"] in names(overlay, "ServiceAccount")


def test_services_and_budgets_find_their_pods(overlay: list[Object]) -> None:
    pods = [item["spec"]["template"] for item in overlay if item["kind"] == "Deployment"]
    for found in overlay:
        if found["kind"] not in {"Service", "PodDisruptionBudget"}:
            continue
        wanted = found["spec"]["selector"]
        wanted = wanted.get("matchLabels", wanted)
        chosen = [pod for pod in pods if wanted.items() <= pod["metadata"]["labels"].items()]
        assert len(chosen) == 1, name(found)
        ports = {port["name"] for port in chosen[0]["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in found["spec"].get("ports", [])} <= ports


def test_ingresses_lead_to_services(production: list[Object]) -> None:
    assert names(production, "Ingress") == {"mlflow", "release-repository"}
    for found in (item for item in production if item["kind"] == "Ingress"):
        for rule in found["spec"]["rules"]:
            backend = rule["http"]["paths"][0]["backend"]["service"]
            ports = get(production, "Service", backend["name"])["spec"]["ports"]
            assert backend["port"]["name"] in {port["name"] for port in ports}
            assert rule["host"] in found["spec"]["tls"][0]["hosts"]


def test_production_keeps_an_mlflow_server_at_all_times(production: list[Object]) -> None:
    spec = get(production, "Deployment", "mlflow")["spec"]
    assert spec["replicas"] == 2 and spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert get(production, "PodDisruptionBudget", "mlflow")["spec"]["minAvailable"] == 1
    spread = spec["template"]["spec"]["topologySpreadConstraints"]
    assert spread[0]["topologyKey"] == "kubernetes.io/hostname"
    for item in spread:
        assert item["labelSelector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


def test_the_guide_names_files_that_are_there() -> None:
    named = set(re.findall(r"`((?:base|components|images|overlays|k8s|docker)/[\w./-]*)`", GUIDE))
    assert len(named) > 15
    places = [path.replace("OVERLAY", "production") for path in named]
    assert not [path for path in places if not any((root / path).exists() for root in (ROOT, ROOT / "k8s"))]


def test_images_are_those_of_the_lock() -> None:
    content = yaml.safe_load((ROOT / "k8s" / "images" / "kustomization.yaml").read_text())
    chosen = {image["name"]: (image["newName"], image["digest"]) for image in content["images"]}
    lock = yaml.safe_load((ROOT / "docker" / "images.lock.yaml").read_text())
    ours = set(chosen) & set(lock["images"])
    assert ours == {"hazardline-mlflow", "hazardline-pipeline-python"}
    for image in ours:
        place, digest = f"{lock['registry'] or 'registry.example'}/{image}", lock["images"][image]["digest"]
        assert chosen[image] == (place, digest or f"sha256:{'0' * 64}")


def test_alerts_say_how_bad_it_is_and_what_it_is(production: list[Object]) -> None:
    rules = get(production, "PrometheusRule", "hazardline")["spec"]["groups"][0]["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in {"warning", "critical"} and rule["annotations"]["summary"]
        assert rule["expr"].count("(") == rule["expr"].count(")")
        for workload, kind in (("deployment", "Deployment"), ("cronjob", "CronJob"), ("cluster_queue", "ClusterQueue")):
            for named in re.findall(rf'{workload}="([^"]+)"', rule["expr"]):
                assert named in names(production, kind)

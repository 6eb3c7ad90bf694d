"""Who reaches whom: what the line needs, and nothing that it does not need."""

import pytest
import yaml

from k8s.check import OVERLAYS, Object
from tests.k8s.network import Peer, allows

TASK = Peer({"workflows.argoproj.io/workflow": "line-x", "app.kubernetes.io/component": "train"})
RAY = Peer({"hazardline/rayjob": "hazardline-train-0", "ray.io/node-type": "head"})
OTHER_RAY = Peer({"hazardline/rayjob": "hazardline-train-0", "ray.io/node-type": "worker"})
MLFLOW, BACKUP = Peer({"app.kubernetes.io/name": "mlflow"}), Peer({"app.kubernetes.io/name": "mlflow-backup"})
RELEASES = Peer({"app.kubernetes.io/name": "release-repository"})
LISTENER = Peer({"app.kubernetes.io/name": "release-listener"})
RENEWAL = Peer({"app.kubernetes.io/name": "release-renewal"})
STRANGER = Peer({"app": "somebody"})
DNS = Peer({"k8s-app": "kube-dns"}, "kube-system")
KFP_API = Peer({"app": "ml-pipeline"}, "kubeflow")
KFP_S3 = Peer({"app": "seaweedfs"}, "kubeflow")
KUBERAY = Peer({"app.kubernetes.io/name": "kuberay-operator"}, "ray-system")
INGRESS = Peer({"app.kubernetes.io/name": "ingress-nginx"}, "ingress-nginx")
PROMETHEUS = Peer({"app.kubernetes.io/name": "prometheus"}, "monitoring")
S3, POSTGRES, KUBERNETES = (Peer(address=f"192.0.2.{last}") for last in (7, 2, 1))
INTERNET, METADATA = Peer(address="203.0.113.9"), Peer(address="169.254.169.254")
TRIAL_S3 = Peer({"app.kubernetes.io/name": "trial-s3"})
TRIAL_POSTGRES = Peer({"app.kubernetes.io/name": "trial-postgres"})

EVERYWHERE = [
    (TASK, DNS, 53), (STRANGER, DNS, 53), (TASK, KFP_API, 8887), (TASK, KFP_S3, 8333), (TASK, MLFLOW, 5000),
    (RAY, MLFLOW, 5000), (KFP_API, MLFLOW, 5000), (RAY, OTHER_RAY, 6379), (OTHER_RAY, RAY, 43210), (KUBERAY, RAY, 8265),
]  # fmt: skip
OUTSIDE = [
    (TASK, S3, 443), (RAY, S3, 443), (MLFLOW, S3, 443), (MLFLOW, POSTGRES, 5432), (TASK, KUBERNETES, 6443),
    (BACKUP, S3, 443), (BACKUP, POSTGRES, 5432), (PROMETHEUS, RAY, 8080),
    (MLFLOW, LISTENER, 8080), (LISTENER, KFP_API, 8888), (LISTENER, DNS, 53), (RENEWAL, S3, 443),
]  # fmt: skip
PUBLIC = [(INGRESS, MLFLOW, 5000), (INGRESS, RELEASES, 8080), (RELEASES, S3, 443)]
NEVER = [
    (STRANGER, MLFLOW, 5000), (STRANGER, RAY, 8265), (TASK, RAY, 8265), (RAY, TASK, 8080), (MLFLOW, RAY, 6379),
    (RAY, KUBERNETES, 6443), (RAY, POSTGRES, 5432), (TASK, POSTGRES, 5432), (RAY, INTERNET, 443), (TASK, INTERNET, 443),
    (MLFLOW, INTERNET, 443), (TASK, METADATA, 80), (RAY, METADATA, 80), (RELEASES, POSTGRES, 5432),
    (RELEASES, MLFLOW, 5000), (INGRESS, RAY, 8265), (Peer({}, "default"), MLFLOW, 5000), (TASK, MLFLOW, 22),
    (Peer({}, "kubeflow"), MLFLOW, 5000), (STRANGER, S3, 443), (LISTENER, KUBERNETES, 6443), (LISTENER, S3, 443),
    (LISTENER, INTERNET, 443), (LISTENER, MLFLOW, 5000), (LISTENER, KFP_S3, 8333), (MLFLOW, KFP_API, 8888),
    (RENEWAL, MLFLOW, 5000), (RENEWAL, INTERNET, 443), (RENEWAL, KUBERNETES, 6443),
]  # fmt: skip


def held(objects: list[Object], ways: list[tuple[Peer, Peer, int]]) -> list[bool]:
    return [allows(objects, source, target, port) for source, target, port in ways]


def test_what_the_line_needs_comes_through(rendered: dict[str, list[Object]]) -> None:
    assert all(held(rendered["local"], EVERYWHERE))
    assert all(held(rendered["staging"], EVERYWHERE + OUTSIDE))
    assert all(held(rendered["production"], EVERYWHERE + OUTSIDE + PUBLIC))
    assert allows(rendered["local"], TASK, DNS, 53, "UDP")


def test_trials_use_the_services_of_the_cluster(rendered: dict[str, list[Object]]) -> None:
    local = rendered["local"]
    assert all(held(local, [(TASK, TRIAL_S3, 8333), (RAY, TRIAL_S3, 8333), (MLFLOW, TRIAL_S3, 8333)]))
    assert allows(local, MLFLOW, TRIAL_POSTGRES, 5432)
    assert not any(held(local, [(TASK, TRIAL_POSTGRES, 5432), (RAY, TRIAL_POSTGRES, 5432), (STRANGER, TRIAL_S3, 8333)]))
    assert allows(local, TASK, Peer(address="172.18.0.2"), 6443), "kind's API server"


def test_nothing_else_does(overlay: list[Object]) -> None:
    assert not any(held(overlay, NEVER))


@pytest.mark.parametrize("caller", [TASK, RAY, STRANGER, INGRESS, KFP_API, Peer({}, "default")])
def test_mlflow_alone_calls_the_listener(rendered: dict[str, list[Object]], caller: Peer) -> None:
    assert held(rendered["production"], [(caller, LISTENER, 8080)]) == [False]


@pytest.mark.parametrize("way", PUBLIC)
def test_only_production_is_public(rendered: dict[str, list[Object]], way: tuple[Peer, Peer, int]) -> None:
    assert held(rendered["staging"], [way]) == held(rendered["local"], [way]) == [False]


def test_without_the_default_deny_everything_does(production: list[Object]) -> None:
    """The evaluator itself: a pod that no policy selects is open."""
    left = [item for item in production if item["metadata"]["name"] not in {"default-deny", "dns"}]
    assert allows(left, STRANGER, INTERNET, 443)


def test_outside_https_opens_the_internet_to_tasks_and_no_private_network(production: list[Object]) -> None:
    policy = yaml.safe_load((OVERLAYS.parent / "components" / "outside-https" / "policy.yaml").read_text())
    opened = [*production, policy]
    assert allows(opened, TASK, INTERNET, 443)
    private = [Peer(address=address) for address in ("10.0.0.1", "192.168.1.1", "169.254.169.254", "172.20.0.1")]
    assert not any(allows(opened, TASK, peer, 443) for peer in private)
    assert not allows(opened, RAY, INTERNET, 443)

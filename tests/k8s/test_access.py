"""Who may do what."""

import pytest

from k8s.check import Object, pod_of
from tests.k8s.objects import get, names

Rule = tuple[frozenset[str], frozenset[str], frozenset[str], frozenset[str]]


def rules_of(objects: list[Object], account: str) -> set[Rule]:
    """All rules that are bound to a service account: groups, resources, names, verbs."""
    found = set()
    for binding in objects:
        if binding["kind"] not in {"RoleBinding", "ClusterRoleBinding"}:
            continue
        if {"kind": "ServiceAccount", "name": account, "namespace": "hazardline"} in binding["subjects"]:
            for rule in get(objects, binding["roleRef"]["kind"], binding["roleRef"]["name"])["rules"]:
                parts = ("apiGroups", "resources", "resourceNames", "verbs")
                found.add(tuple(frozenset(rule.get(part, ())) for part in parts))
    return found  # type: ignore[return-value]


def _rule(groups: str, resources: str, only: str, verbs: str) -> Rule:
    return frozenset(groups.split(",")), frozenset(resources.split()), frozenset(only.split()), frozenset(verbs.split())


LINE = {
    _rule("ray.io", "rayjobs", "", "create get list watch patch delete"),
    _rule("", "pods events", "", "list"),
}
KFP = {
    _rule("argoproj.io", "workflowtaskresults", "", "create patch"),
    _rule("", "configmaps", "kfp-launcher", "get"),
    _rule("", "secrets", "mlpipeline-minio-artifact", "get"),
}
LISTENER = {
    _rule("pipelines.kubeflow.org", "pipelines pipelines/versions experiments", "", "create get list"),
    _rule("pipelines.kubeflow.org", "runs", "", "create"),
}


def test_accounts_may_do_exactly_this(overlay: list[Object]) -> None:
    line = {"hazardline-pipeline", "hazardline-ray", "hazardline-services"}
    has_listener = "release-listener" in names(overlay, "Deployment")
    assert names(overlay, "ServiceAccount") == line | ({"hazardline-listener"} if has_listener else set())
    assert rules_of(overlay, "hazardline-listener") == (LISTENER if has_listener else set())
    assert rules_of(overlay, "hazardline-pipeline") == LINE | KFP
    assert rules_of(overlay, "hazardline-ray") == set()
    assert rules_of(overlay, "hazardline-services") == set()


def test_nobody_else_is_given_anything(overlay: list[Object]) -> None:
    assert not names(overlay, "ClusterRole") and not names(overlay, "ClusterRoleBinding")
    for binding in (found for found in overlay if found["kind"] == "RoleBinding"):
        (subject,) = [subject["name"] for subject in binding["subjects"]]
        assert subject in {"hazardline-pipeline", "hazardline-listener"}


def test_only_the_pipelines_account_has_a_token(overlay: list[Object]) -> None:
    tokens = {
        found["metadata"]["name"] for found in overlay
        if found["kind"] == "ServiceAccount" and found["automountServiceAccountToken"]
    }  # fmt: skip
    assert tokens == {"hazardline-pipeline"}
    for found in overlay:
        pod = pod_of(found)
        if pod is not None:
            own = found["metadata"]["name"] == "release-listener"
            assert pod["serviceAccountName"] == ("hazardline-listener" if own else "hazardline-services")


def test_the_listener_is_known_to_kfp_and_to_nobody_else(production: list[Object]) -> None:
    pod = pod_of(get(production, "Deployment", "release-listener")) or {}
    sources = [source for volume in pod["volumes"] for source in volume.get("projected", {}).get("sources", [])]
    token = {"audience": "pipelines.kubeflow.org", "expirationSeconds": 7200, "path": "token"}
    assert sources == [{"serviceAccountToken": token}] and pod["securityContext"]["fsGroup"] == 10001


def test_the_namespace_is_restricted(overlay: list[Object]) -> None:
    labels = get(overlay, "Namespace", "hazardline")["metadata"]["labels"]
    for mode in ("enforce", "audit", "warn"):
        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"


@pytest.mark.parametrize("part", ["app.kubernetes.io/part-of", "app.kubernetes.io/component"])
def test_everything_says_what_it_belongs_to(overlay: list[Object], part: str) -> None:
    for found in overlay:
        if found["kind"] != "Namespace":
            assert found["metadata"]["labels"].get(part), found["metadata"]["name"]

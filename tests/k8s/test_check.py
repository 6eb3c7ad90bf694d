"""k8s/check.py finds what it is there to find: each rule on an overlay that somebody has damaged."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from k8s import check
from k8s.check import Object
from tests.k8s.objects import get


def filled_in(objects: list[Object]) -> list[Object]:
    """An overlay after its site has filled in all places."""
    text = yaml.safe_dump_all(objects)
    text = text.replace("0" * 64, "3" * 64).replace(".example", ".test").replace("192.0.2.", "10.20.30.")
    return list(yaml.safe_load_all(text))


def test_a_filled_in_overlay_passes(overlay: list[Object]) -> None:
    assert check.findings(filled_in(overlay)) == []


def test_what_is_shipped_holds_places_and_has_no_other_fault(rendered: dict[str, list[Object]]) -> None:
    for objects in rendered.values():
        assert check.findings(objects) == list(check.placeholders(objects)) != []
    local = " ".join(check.placeholders(rendered["local"]))
    assert set(re.findall(r"holds the place of: ([^:]*)", local)) <= {"registry.example, sha256", "sha256"}


@pytest.mark.parametrize("name", ["local", "staging", "production"])
def test_the_command_prints_nothing_to_apply_while_a_place_is_held(rendered: object, name: str) -> None:
    done = subprocess.run([sys.executable, check.__file__, name], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert "Deployment mlflow holds the place of: registry.example, sha256:000" in done.stderr


def test_the_command_prints_what_may_be_applied(
    production: list[Object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "render", lambda overlay: filled_in(production))
    assert check.main(["production"]) == 0
    assert list(yaml.safe_load_all(capsys.readouterr().out)) == filled_in(production)


def _container(objects: list[Object]) -> Object:
    found: Object = get(objects, "Deployment", "mlflow")["spec"]["template"]["spec"]["containers"][0]
    return found


def _pod(objects: list[Object]) -> Object:
    found: Object = get(objects, "CronJob", "mlflow-backup")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return found


SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "hazardline"}}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda o: o.append({**SECRET, "data": {"a": "Yg=="}}), "Secret s has content"),
        (lambda o: o.append({**SECRET, "stringData": {"a": "b"}}), "Secret s has content"),
        (lambda o: _container(o).update(image="registry.test/mlflow:3.17"), "names registry.test/mlflow:3.17"),
        (lambda o: _container(o).update(image=f"r.test/m:1@sha256:{'3' * 64}"), "names r.test/m:1@sha256"),
        (lambda o: _container(o).update(image=f"r.test/m@sha256:{'0' * 64}"), "holds the place of: sha256:000"),
        (lambda o: _container(o)["securityContext"].pop("readOnlyRootFilesystem"), "mlflow may write to its root"),
        (lambda o: _container(o)["securityContext"].update(allowPrivilegeEscalation=True), "mlflow may gain rights"),
        (lambda o: _container(o)["securityContext"].update(privileged=True), "mlflow may gain rights"),
        (lambda o: _container(o)["securityContext"].update(runAsNonRoot=False), "takes back what its pod says"),
        (lambda o: _container(o)["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]), "keeps capabilities"),
        (lambda o: _container(o)["ports"][0].update(hostPort=5000), "opens a port of the machine"),
        (lambda o: _container(o)["resources"]["limits"].pop("memory"), "says not what it needs"),
        (lambda o: _pod(o)["securityContext"].update(runAsUser=0), "mlflow-backup runs as root"),
        (lambda o: _pod(o)["securityContext"].pop("seccompProfile"), "mlflow-backup has no seccomp profile"),
        (lambda o: _pod(o).update(hostNetwork=True), "mlflow-backup shares the machine's namespaces"),
        (lambda o: _pod(o).pop("automountServiceAccountToken"), "mlflow-backup gets a token"),
        (lambda o: _pod(o)["volumes"].append({"name": "h", "hostPath": {"path": "/"}}), "mounts what it must not"),
        (lambda o: o.remove(get(o, "NetworkPolicy", "default-deny")), "denies everything by default"),
        (lambda o: get(o, "NetworkPolicy", "default-deny")["spec"].update(policyTypes=["Ingress"]), "by default"),
        (lambda o: get(o, "NetworkPolicy", "ray")["spec"]["ingress"].append({}), "ray has a rule for everybody"),
        (lambda o: get(o, "Service", "mlflow")["metadata"].update(namespace="default"), "is in the namespace default"),
        (lambda o: get(o, "ClusterQueue", "hazardline")["metadata"].update(namespace="hazardline"), "expected None"),
        (lambda o: get(o, "Ingress", "mlflow")["spec"]["rules"][0].update(host="m.example"), "m.example"),
    ],
)
def test_damage_is_found(production: list[Object], damage: Callable[[list[Object]], None], said: str) -> None:
    objects = filled_in(production)
    damage(objects)
    found = check.findings(objects)
    assert len(found) == 1 and said in found[0], found


def test_what_only_looks_like_a_place_is_left_alone() -> None:
    texts = ["the.example.org", "an example", "10.192.0.2.1", "s3://my.examples/x", "1192.0.2.3"]
    assert list(check.placeholders([{**SECRET, "texts": texts}])) == []


def test_without_kubectl_it_says_what_to_install(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, check.__file__, "local"], env={"PATH": str(tmp_path)}, capture_output=True)
    assert (
        done.returncode == 1
        and done.stderr.strip() == b"kubectl was not found; install 1.30 or later (https://kubernetes.io)"
    )


def test_a_folder_that_cannot_be_put_together_is_one_line(rendered: object, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, check.__file__, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1 and "kubectl kustomize" in done.stderr and "Traceback" not in done.stderr

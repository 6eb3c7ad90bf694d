"""The release listener as a pod of production starts it: command, variables, files, and the code that its image has."""

import http
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from hazardline import environment
from hazardline.recipe import load_recipe
from k8s.check import Object
from tests.dockerfiles import parse
from tests.k8s.objects import get, names
from tests.k8s.servers import free_port
from tests.pipelines.cluster import made_up_digests
from tests.pipelines.stub_server import stub_server
from tests.pipelines.test_listen import SECRET, Door, told_by_mlflow

from pipelines.retrain import retraining_arguments

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "k8s" / "components" / "release-listener"


def image_folder(folder: Path) -> Path:
    """The working folder of the image's containers: what its Dockerfile copies there."""
    found = parse((ROOT / "docker" / "pipeline.Dockerfile").read_text())
    assert found.last("WORKDIR") == ["/opt/hazardline"]
    for text in found.all("COPY"):
        *sources, target = text.split()
        if "--from" not in text and target.startswith("/opt/hazardline/"):
            (source,) = sources
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / source, folder / target.removeprefix("/opt/hazardline/"), ignore=ignored)
    return folder


def generated(objects: list[Object], start: str) -> dict[str, str]:
    """The files of a ConfigMap whose name ends with a digest."""
    (name,) = [name for name in names(objects, "ConfigMap") if re.fullmatch(rf"{start}-[a-z0-9]+", name)]
    data: dict[str, str] = get(objects, "ConfigMap", name)["data"]
    return data


@dataclass
class Pod:
    """A pod on this machine, its mounts below a folder."""

    container: Object
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def here(self, path: str) -> str:
        """Where something that is mounted lies."""
        mounted = "|".join(re.escape(mount["mountPath"]) for mount in self.container["volumeMounts"])
        return re.sub(rf"(?<![\w/])({mounted})(?=/|$)", lambda found: str(self.at(found[1])), path)

    def at(self, mounted: str) -> Path:
        found = self.folder / mounted.strip("/")
        found.mkdir(parents=True, exist_ok=True)
        return found


@pytest.fixture
def pod(production: list[Object], tmp_path: Path) -> Pod:
    """Before it starts. Digests are made up; a token is there, as the kubelet puts it."""
    found: Any = get(production, "Deployment", "release-listener")["spec"]["template"]["spec"]
    pod = Pod(found["containers"][0], tmp_path / "pod")
    volumes = {volume["name"]: volume for volume in found["volumes"]}
    for mount in pod.container["volumeMounts"]:
        volume = volumes[mount["name"]]
        folder = pod.at(mount["mountPath"])
        assert mount.get("readOnly", False) == ("emptyDir" not in volume)
        if "configMap" in volume:
            for name, text in get(production, "ConfigMap", volume["configMap"]["name"])["data"].items():
                (folder / name).write_text(text)
        for source in volume.get("projected", {}).get("sources", []):
            (folder / source["serviceAccountToken"]["path"]).write_text("of-the-kubelet")
    lock = pod.at("/etc/hazardline/images") / "images.lock.yaml"
    content = yaml.safe_load(lock.read_text())
    for name, digest in made_up_digests().items():
        content["images"][name]["digest"] = digest
    lock.write_text(yaml.safe_dump({**content, "registry": "registry.test"}))
    pod.variables = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "src"), "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    for source in pod.container["envFrom"]:
        pod.variables |= get(production, "ConfigMap", source["configMapRef"]["name"])["data"]
    for variable in pod.container["env"]:
        wanted = variable.get("valueFrom", {})
        if "configMapKeyRef" in wanted:
            settings = get(production, "ConfigMap", wanted["configMapKeyRef"]["name"])["data"]
            variable = {"name": variable["name"], "value": settings[wanted["configMapKeyRef"]["key"]]}
        if "secretKeyRef" not in wanted:
            pod.variables[variable["name"]] = variable["value"]
    pod.variables = {name: pod.here(value) for name, value in pod.variables.items()}
    assert pod.variables["HOME"] != "/tmp", "something that this machine does not share"
    return pod


@dataclass
class Started:
    """A listener that runs."""

    door: Door
    process: subprocess.Popen[str]


def start(pod: Pod, tmp_path: Path) -> Started:
    port = free_port()
    assert "--port=8080" in pod.container["args"]
    arguments = [pod.here(text.replace("--port=8080", f"--port={port}")) for text in pod.container["args"]]
    arguments = [re.sub(r"\$\((\w+)\)", lambda found: pod.variables[found[1]], text) for text in arguments]
    _, *command = pod.container["command"]
    process = subprocess.Popen(
        [sys.executable, *command, *arguments],
        cwd=image_folder(tmp_path / "image"), env=pod.variables, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    return Started(Door(f"http://127.0.0.1:{port}/"), process)


def probed(started: Started) -> None:
    """Wait for what the pod's probes ask for."""
    while True:
        try:
            with urllib.request.urlopen(started.door.url) as answer:
                assert answer.status == http.HTTPStatus.OK
                return
        except urllib.error.URLError:
            if started.process.poll() is not None:
                pytest.fail((started.process.stderr and started.process.stderr.read()) or "the listener ended")
            time.sleep(0.1)


@pytest.fixture
def running(pod: Pod, tmp_path: Path) -> Iterator[Any]:
    """The listener, and a stub of KFP's API with several users that takes the pod's token alone."""
    assert pod.variables["KF_PIPELINES_ENDPOINT"] == "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
    with stub_server() as kubeflow:
        kubeflow.namespace, kubeflow.token = "hazardline", "of-the-kubelet"
        pod.variables |= {"KF_PIPELINES_ENDPOINT": kubeflow.url, environment.MLFLOW_WEBHOOK_SECRET: SECRET}
        started = start(pod, tmp_path)
        try:
            probed(started)
            yield started, kubeflow
        finally:
            started.process.kill()
            started.process.communicate()


def test_a_new_champion_starts_a_release_in_the_cluster(
    running: Any, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, kubeflow = running
    assert told_by_mlflow(started.door, monkeypatch, name="another") == http.HTTPStatus.OK
    assert told_by_mlflow(started.door, monkeypatch, name="fleet", secret="x" * 20) == http.HTTPStatus.UNAUTHORIZED
    assert kubeflow.requests == []
    assert told_by_mlflow(started.door, monkeypatch, name="fleet") == http.HTTPStatus.ACCEPTED
    (pipeline,), (run,) = kubeflow.pipelines, kubeflow.runs
    assert (pipeline["name"], pipeline["namespace"]) == ("hazardline-fleet-release", "hazardline")
    assert run["service_account"] == "hazardline-pipeline"

    token = Path(pod.variables["KF_PIPELINES_SA_TOKEN_PATH"])
    kubeflow.token = "of-the-next-hour"
    token.write_text(kubeflow.token)
    assert told_by_mlflow(started.door, monkeypatch, name="fleet") == http.HTTPStatus.ACCEPTED
    assert len(kubeflow.runs) == 2 and len(kubeflow.versions) == 1

    started.process.send_signal(signal.SIGTERM)
    _, said = started.process.communicate(timeout=60)
    assert started.process.returncode == 0 and "Traceback" not in said


def test_the_shipped_recipe_holds_a_place_and_can_be_retrained(production: list[Object]) -> None:
    data = generated(production, "release-listener-recipe")
    (name,) = data
    assert get(production, "ConfigMap", "release-listener-settings")["data"]["RECIPE"].endswith(f"/{name}")
    recipe = load_recipe(FOLDER / name)
    assert set(retraining_arguments(recipe)) and recipe.release is not None
    assert recipe.release.keys is recipe.release.destination is None, "the table of resources says both"
    assert ".example/" in data[name]


def test_the_lock_in_the_cluster_is_the_repositorys(production: list[Object]) -> None:
    lock = (ROOT / "docker" / "images.lock.yaml").read_text()
    assert generated(production, "release-listener-images") == {"images.lock.yaml": lock}

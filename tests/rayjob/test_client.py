"""The client inside of a cluster (TLS, a service account's files), the exchange in S3, and the pods' troubles."""

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hazardline.errors import UserError
from hazardline.rayjob import client
from hazardline.rayjob.client import ConflictError, RayJobsApi, connect
from hazardline.rayjob.entrypoint import main
from hazardline.rayjob.failures import Phase, phase_of, troubles
from hazardline.rayjob.request import PROGRESS_NAME, REQUEST_NAME, FolderExchange, S3Exchange, open_exchange
from tests.rayjob.conftest import wait_until
from tests.rayjob.fake_kubernetes import FakeKubernetes
from tests.rayjob.fake_operator import Script
from tests.s3_service import s3_client, s3_service


def write_certificate(folder: Path) -> ssl.SSLContext:
    """A certificate of 127.0.0.1, which is its own authority: `ca.crt`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fake")])
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.crt", folder / "key.pem")
    return context


@pytest.fixture
def in_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubernetes]:
    """A pod's view: the API's address in the environment, token and authority in files."""
    context = write_certificate(tmp_path)
    with FakeKubernetes(tmp_path, {}, tls=context) as fake:
        fake.script = Script(ignores=True)
        (tmp_path / "token").write_text(fake.token)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(fake.port))
        monkeypatch.setattr(client, "SERVICE_ACCOUNT", tmp_path)
        yield fake


def open_api(notes: list[str] | None = None) -> RayJobsApi:
    said = [] if notes is None else notes
    return RayJobsApi("hazardline", patience_s=2.0, backoff_s=0.02, max_backoff_s=0.1, note=said.append)


def job(name: str = "one") -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {}, "annotations": {}}, "spec": {}}


def test_a_pod_reads_its_token_anew_when_it_has_expired(in_cluster: FakeKubernetes, tmp_path: Path) -> None:
    api = open_api()
    created = api.create(job())
    in_cluster.token = "second-token"
    (tmp_path / "token").write_text("second-token")
    assert api.read("one") == created
    assert [status for _, _, status in in_cluster.requests] == [201, 401, 200]
    in_cluster.token = "third-token"
    with pytest.raises(UserError, match="refuses the token"):
        api.read("one")


def test_a_job_that_changed_is_neither_annotated_nor_deleted(in_cluster: FakeKubernetes) -> None:
    api = open_api()
    old = api.create(job())
    new = api.annotate(old, {"a": "1"})
    assert new is not None and new["metadata"]["annotations"] == {"a": "1"}
    with pytest.raises(ConflictError):
        api.annotate(old, {"a": "2"})
    with pytest.raises(ConflictError):
        api.delete(old)
    with pytest.raises(ConflictError):
        api.create(job())
    api.delete(new)
    wait_until(lambda: not in_cluster.jobs)
    api.delete(new)
    assert api.annotate(new, {"a": "3"}) is None


def test_a_watch_gives_changes_bookmarks_and_the_end(in_cluster: FakeKubernetes) -> None:
    api = open_api()
    version = api.create(job())["metadata"]["resourceVersion"]
    api.create(job("another"))
    in_cluster.update("one", jobStatus="RUNNING")
    changes = list(api.changes("one", version, 1.0))
    assert changes[0] is not None and changes[0]["status"] == {"jobStatus": "RUNNING"}
    assert changes[1] is not None and set(changes[1]) == {"kind", "metadata"} and len(changes) == 2
    in_cluster.delete("one", {})
    assert list(api.changes("one", changes[1]["metadata"]["resourceVersion"], 1.0))[1] is None


def test_a_role_that_is_too_small_is_named(in_cluster: FakeKubernetes) -> None:
    in_cluster.script.answers = [403]
    with pytest.raises(UserError, match=r"does not allow to get in the namespace hazardline .*hazardline-pipeline"):
        open_api().read("one")


def test_without_kuberay_the_name_is_unknown(in_cluster: FakeKubernetes) -> None:
    in_cluster.script.answers = [404]
    with pytest.raises(UserError, match=r"knows no RayJobs in the namespace hazardline .* install KubeRay"):
        open_api().create(job())


def test_an_api_that_hangs_is_asked_again(in_cluster: FakeKubernetes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "READ_S", 0.2)
    in_cluster.script.answers = ["hang"]
    notes: list[str] = []
    assert open_api(notes).read("one") is None
    assert (
        "does not answer (" in notes[0]
        and "timed out" in notes[0]
        and notes[1:] == ["the Kubernetes API answers again"]
    )


def test_an_api_that_is_not_there_is_one_line(in_cluster: FakeKubernetes, monkeypatch: pytest.MonkeyPatch) -> None:
    api = open_api()
    in_cluster.server.server_close()
    with pytest.raises(UserError, match=r"has not answered for 2 s \(.*refused.*\); run again"):
        api.read("one")


def test_outside_of_a_cluster_a_kubeconfig_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"no way to the Kubernetes API .*KUBECONFIG"):
        connect()


@pytest.mark.parametrize(
    ("spec", "status", "phase"),
    [
        ({}, None, Phase.STARTING),
        ({"suspend": True}, {}, Phase.QUEUED),
        ({}, {"jobDeploymentStatus": "Suspended"}, Phase.QUEUED),
        ({}, {"jobDeploymentStatus": "Suspending", "jobStatus": "RUNNING"}, Phase.QUEUED),
        ({"suspend": True}, {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}, Phase.QUEUED),
        ({}, {"jobDeploymentStatus": "Initializing"}, Phase.STARTING),
        ({}, {"jobDeploymentStatus": "Retrying", "jobStatus": "FAILED"}, Phase.STARTING),
        ({}, {"jobDeploymentStatus": "Running", "jobStatus": "PENDING"}, Phase.STARTING),
        ({}, {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}, Phase.RUNNING),
        ({}, {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}, Phase.SUCCEEDED),
        ({}, {"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"}, Phase.FAILED),
        ({}, {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED"}, Phase.FAILED),
        ({}, {"jobDeploymentStatus": "ValidationFailed"}, Phase.FAILED),
    ],
)
def test_the_phase_of_a_job(spec: dict[str, Any], status: dict[str, Any] | None, phase: Phase) -> None:
    assert phase_of({"spec": spec, "status": status}) is phase


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "head"}, "status": status}


@pytest.mark.parametrize(
    ("status", "said", "seldom_mends"),
    [
        (
            {"containerStatuses": [{"lastState": {"terminated": {"reason": "OOMKilled"}}}]},
            "head: OOMKilled: it took more memory than its limit; raise the pod's memory",
            False,
        ),
        (
            {"initContainerStatuses": [{"state": {"waiting": {"reason": "CreateContainerConfigError"}}}]},
            "head: CreateContainerConfigError: no message; create the Secret or ConfigMap",
            True,
        ),
        ({"reason": "Evicted", "message": "disk"}, "head: Evicted: disk; raise rayjob.scratch_size", False),
        ({"conditions": [{"reason": "Unschedulable", "message": "no node"}]}, "head: Unschedulable: no node;", False),
    ],
)
def test_a_pods_trouble(status: dict[str, Any], said: str, seldom_mends: bool) -> None:
    (trouble,) = troubles([pod(**status)], [])
    assert trouble.text.startswith(said) and trouble.seldom_mends is seldom_mends


def test_a_pod_that_is_well_has_no_trouble() -> None:
    well = pod(containerStatuses=[{"state": {"running": {}}, "lastState": {}}], conditions=[{"type": "Ready"}])
    assert troubles([well, pod()], [{"reason": "Pulled", "involvedObject": {"name": "head"}}]) == []


def test_the_exchange_in_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_service() as service:
        bucket = s3_client(service, "meeting", monkeypatch)
        exchange = open_exchange("s3://meeting/rayjobs/one")
        assert isinstance(exchange, S3Exchange) and exchange.read(REQUEST_NAME) is None
        exchange.write(REQUEST_NAME, b"{}")
        exchange.write(PROGRESS_NAME, b"1")
        assert exchange.read(REQUEST_NAME) == b"{}"
        keys = [item["Key"] for item in bucket.list_objects_v2(Bucket="meeting")["Contents"]]
        assert keys == ["rayjobs/one/progress.json", "rayjobs/one/request.json"]
        exchange.clear()
        assert bucket.list_objects_v2(Bucket="meeting")["KeyCount"] == 0
        with pytest.raises(UserError, match=r"S3 refuses \(NoSuchBucket\)"):
            open_exchange("s3://nowhere/x").write(REQUEST_NAME, b"{}")


@pytest.mark.parametrize("address", ["relative/folder", "s3:///prefix", "https://x/y"])
def test_an_exchange_must_be_seen_by_both(address: str) -> None:
    with pytest.raises(UserError, match="expected an absolute folder or s3://bucket/prefix"):
        open_exchange(address)


def test_a_result_whose_component_has_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps_sigterm: None
) -> None:
    """The component removes the request between the entrypoint's look at it and the result."""
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    exchange = open_exchange(f"{tmp_path}/left")
    exchange.write(REQUEST_NAME, b"{}")
    write = FolderExchange.write

    def leave_then_write(self: FolderExchange, name: str, data: bytes) -> None:
        exchange.clear()
        write(self, name, data)

    monkeypatch.setattr(FolderExchange, "write", leave_then_write)
    assert main(["--request", f"{tmp_path}/left/{REQUEST_NAME}"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_an_entrypoint_that_nobody_waits_for_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, keeps_sigterm: None
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert main(["--request", f"{tmp_path}/left/{REQUEST_NAME}"]) == 2
    assert "there is no request" in capsys.readouterr().err and list(tmp_path.iterdir()) == []

"""The release repository's nginx, with the file that its pods get, in front of a real S3 server."""

import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.k8s.servers import free_port
from tests.s3_service import s3_client, s3_service

TEMPLATE = Path(__file__).parents[2] / "k8s" / "components" / "release-repository" / "default.conf.template"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of the repository. The bucket holds a timestamp, a target and something that is not for vehicles."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is missing (Debian: nginx)")
    with s3_service() as service:
        client = s3_client(service, "releases", monkeypatch)
        for key in ("metadata/timestamp.json", "targets/files/m/ab.cd", "private/key.pem"):
            client.put_object(
                Bucket="releases",
                Key=f"repository/{key}",
                Body=key.encode(),
                CacheControl="no-cache",
                ACL="public-read",
            )
        port = free_port()
        conf = TEMPLATE.read_text().replace("${REPOSITORY_ORIGIN}", f"{service}/releases/repository")
        conf = conf.replace("${REPOSITORY_RESOLVER}", "127.0.0.1").replace("listen 8080", f"listen 127.0.0.1:{port}")
        conf = conf.replace("/etc/ssl/certs/ca-certificates.crt", str(_certificates(tmp_path)))
        whole = tmp_path / "nginx.conf"
        temporary = "".join(
            f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        whole.write_text(
            f"daemon off; master_process off; pid {tmp_path}/pid; error_log stderr;\n"
            f"events {{}}\nhttp {{ access_log off; {temporary}\n{conf}\n}}\n"
        )
        process = subprocess.Popen([nginx, "-p", str(tmp_path), "-c", str(whole)], stderr=subprocess.PIPE, text=True)
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(200):
                if process.poll() is not None:
                    pytest.fail(process.stderr.read() if process.stderr else "nginx ended")
                try:
                    urllib.request.urlopen(f"{address}/healthz").read()
                    break
                except OSError:
                    time.sleep(0.05)
            yield address
        finally:
            process.terminate()
            process.communicate()


def _certificates(folder: Path) -> Path:
    import certifi

    return Path(shutil.copy(certifi.where(), folder / "certificates.pem"))


def _status(address: str, method: str = "GET") -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method=method)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_vehicles_read_metadata_and_targets(repository: str) -> None:
    with urllib.request.urlopen(f"{repository}/metadata/timestamp.json") as answer:
        assert answer.read() == b"metadata/timestamp.json"
        assert answer.headers["Cache-Control"] == "no-cache" and "nginx/" not in answer.headers["Server"]
    with urllib.request.urlopen(f"{repository}/targets/files/m/ab.cd") as answer:
        assert answer.read() == b"targets/files/m/ab.cd"
    assert _status(f"{repository}/metadata/timestamp.json", "HEAD") == 200
    assert _status(f"{repository}/metadata/2.root.json") in {403, 404}, (
        "how TUF's client learns that no newer root is there"
    )


def test_vehicles_read_nothing_else_and_write_nothing(repository: str) -> None:
    for path in ("private/key.pem", "", "metadata/../private/key.pem", "metadata/%2e%2e/private/key.pem", "metadata/"):
        assert _status(f"{repository}/{path}") in {400, 404}, path
    for method in ("PUT", "POST", "DELETE"):
        assert _status(f"{repository}/metadata/timestamp.json", method) == 403

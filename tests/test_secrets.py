"""Secrets go nowhere: canaries are planted in every place of a secret, a line runs, and all that it leaves is searched.

Register and release are real (an MLflow server, an S3 server, signing keys); the other stages take no time.
"""

import base64
import gzip
import os
import re
import socket
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import boto3
import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from hazardline import environment
from tests.mlflow_store import make_template
from tests.pipelines.cluster import REGISTRY, made_up_digests
from tests.register.line_outputs import Line
from tests.register.test_server import wait_until_up
from tests.s3_service import s3_service

ROOT = Path(__file__).parents[1]
RECIPE = "crashchat_pocket_smoke"
USER = "ann-of-the-canaries"
"""Not a secret: it shows that a name and a password went to the server."""
CANARIES = {
    name: f"canary/{number}+{name.lower()}"
    for number, name in enumerate(
        [
            "MLFLOW_TRACKING_PASSWORD",
            "MLFLOW_TRACKING_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "HAZARDLINE_ANNOTATOR_KEY",
            "HAZARDLINE_KFP_TOKEN",
            "HAZARDLINE_KFP_COOKIES",
            "HAZARDLINE_LABEL_STUDIO_KEY",
            "HAZARDLINE_WEBHOOK_SECRET",
            "HAZARDLINE_MLFLOW_WEBHOOK_SECRET",
        ]
    )
}
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|COOKIE|PASSWORD")


def forms(secret: str) -> list[bytes]:
    """A secret as it stands, quoted for an address, and in base64 with a name before it or without."""
    pair = base64.b64encode(f"{USER}:{secret}".encode()).rstrip(b"=")
    return [
        secret.encode(),
        quote(secret, safe="").encode(),
        base64.b64encode(secret.encode()).rstrip(b"="),
        pair[-24:],
    ]


def plain(data: bytes) -> bytes:
    """Content, unpacked where it is packed."""
    try:
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error):
        return data


class Planted:
    """A line with canaries, and all that it left behind."""

    def __init__(self, folder: Path, s3: str) -> None:
        self.folder, self.s3 = folder, s3
        self.home, self.server = folder / "home", folder / "server"
        self.line = Line(folder / "line")
        self.line.candidate("one")
        self.keys = folder / "signing-keys"
        self.said: dict[str, bytes] = {}
        self.client = boto3.client(
            "s3", endpoint_url=s3, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
        )
        self.client.create_bucket(Bucket="releases")
        self.recipe = self._recipe()

    def _recipe(self) -> Path:
        data = yaml.safe_load((ROOT / "recipes" / f"{RECIPE}.yaml").read_text())
        data["gate"] = {"policy": str(self.line.root / "policy.yaml")}
        data["release"] |= {"destination": "s3://releases/vehicles", "keys": str(self.keys)}
        for section in ("train", "evaluate", "register", "export"):
            data[section]["base"] = str(self.line.base)
        path = self.folder / f"{RECIPE}.yaml"
        path.write_text(yaml.safe_dump(data))
        return path

    def run(self, name: str, *arguments: str, tracking: str, status: int) -> None:
        """Run `python -m pipelines` with the canaries planted, and keep what it says."""
        values = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "AWS_"))},
            **CANARIES,
            "AWS_ACCESS_KEY_ID": "not-a-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "MLFLOW_TRACKING_URI": tracking,
            "MLFLOW_TRACKING_USERNAME": USER,
            "HAZARDLINE_HOME": str(self.home),
            "HAZARDLINE_S3_ENDPOINT": self.s3,
            "CANDIDATE": str(self.line.root / "one"),
            "PYTHONPATH": os.pathsep.join(
                [str(ROOT / "tests/secret_stages"), str(ROOT), os.environ.get("PYTHONPATH", "")]
            ),
        }
        command = [sys.executable, "-m", "pipelines", *arguments]
        done = subprocess.run(command, cwd=self.folder, env=values, capture_output=True, check=False)
        self.said[f"what {name} said"] = done.stdout + done.stderr
        assert done.returncode == status, (done.stdout + done.stderr).decode()

    def left_behind(self) -> dict[str, bytes]:
        """Every file of run, store, MLflow and S3, and what was said; the folder of signing keys is not in it."""
        places = [self.home, self.server, self.folder / "compiled"]
        found = {str(path): path.read_bytes() for place in places for path in place.rglob("*") if path.is_file()}
        for item in self.client.list_objects_v2(Bucket="releases").get("Contents", []):
            answer = self.client.get_object(Bucket="releases", Key=item["Key"])
            found[f"s3:{item['Key']}"] = answer["Body"].read() + repr(answer["Metadata"]).encode()
        return {name: plain(data) for name, data in (found | self.said).items()}

    def signing_secrets(self) -> dict[str, list[bytes]]:
        """Of each signing key: the lines of its file, and its number in raw, hex and base64 form."""
        secrets = {}
        for path in self.keys.glob("*.pem"):
            key = load_pem_private_key(path.read_bytes(), password=None)
            raw = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
            lines = [line for line in path.read_bytes().splitlines() if line and not line.startswith(b"-----")]
            secrets[path.name] = [*lines, raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"=")]
        return secrets


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    """A line that was compiled, that ran well, and that failed at an MLflow which nobody serves."""
    folder = tmp_path_factory.mktemp("planted")
    with s3_service() as s3:
        planted = Planted(folder, s3)
        with mlflow_server(planted.server) as host:
            password = quote(CANARIES["MLFLOW_TRACKING_PASSWORD"], safe="")
            tracking = f"http://{USER}:{password}@{host}"
            images = [part for name in made_up_digests().items() for part in ("--image-digest", "=".join(name))]
            out = ["--out", str(folder / "compiled" / "pipeline.yaml"), "--registry", REGISTRY, *images]
            planted.run("compile", "compile", str(planted.recipe), *out, tracking=tracking, status=0)
            planted.run("the run", "run", str(planted.recipe), tracking=tracking, status=0)
        nobody = tracking.replace(host, "127.0.0.1:9")
        planted.run("the failing run", "run", str(planted.recipe), tracking=nobody, status=2)
        yield planted


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """A server over SQLite for the length of a block; what it says and keeps lies in its folder."""
    folder.mkdir()
    database = make_template(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", host.partition(":")[2]]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{database}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    log = folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, env={**os.environ, **quiet}, stdout=stream, stderr=stream, cwd=folder)
    try:
        wait_until_up(f"http://{host}/health", process, log)
        yield host
    finally:
        process.terminate()
        process.wait(timeout=120)


def test_every_secret_variable_has_a_canary() -> None:
    """A new secret of `environment.py` must be planted here."""
    listed = re.findall(r'"(HAZARDLINE_\w+)"', Path(environment.__file__).read_text())
    paths = {environment.SIGNING_KEYS}  # of a folder, whose keys are planted as files
    assert {name for name in listed if _SECRET_NAME.search(name)} - paths <= set(CANARIES)


def test_the_search_sees_what_the_line_left(planted: Planted) -> None:
    """Every kind of place is there, and what is no secret is found in it."""
    found = planted.left_behind()
    for needle, place in {
        b"crashchat-pocket-smoke": "compiled/pipeline.yaml",
        b"hazardline.run_key": "server/mlflow.db",
        b"POST /api/2.0/mlflow/": "server/log",
        b"linguistic weights of one": "server/artifacts/",
        b'"promoted": true': "store/register/",
        b'"state": "made"': "events.jsonl",
        b'"registry"': "summary.json",
        b"KFP": "pipeline.log",
        b"crashchat-smoke": "s3:vehicles/",
        b"MLflow at http://127.0.0.1:9": "what the failing run said",
        b"Report: ": "what the run said",
    }.items():
        assert [name for name, data in found.items() if place in name and needle in data], f"{needle!r} in {place}"
    assert len(planted.signing_secrets()) >= 7


@pytest.mark.parametrize("name", CANARIES)
def test_no_canary_is_left_anywhere(planted: Planted, name: str) -> None:
    wanted = forms(CANARIES[name])
    assert [place for place, data in planted.left_behind().items() if any(form in data for form in wanted)] == []


def test_no_signing_key_is_left_anywhere(planted: Planted) -> None:
    found = planted.left_behind()
    holders = {
        (key, place)
        for key, wanted in planted.signing_secrets().items()
        for place, data in found.items()
        if any(form in data for form in wanted)
    }
    assert holders == set()


@pytest.mark.parametrize("wrapped", [lambda text: text, lambda text: quote(text, safe=""), lambda text: text.upper()])
def test_the_search_knows_a_leak_when_it_sees_one(wrapped: object) -> None:
    """The forms of a canary, and one that is none."""
    canary = CANARIES["MLFLOW_TRACKING_PASSWORD"]
    leak = wrapped(canary).encode()  # type: ignore[operator]
    header = base64.b64encode(f"{USER}:{canary}".encode())
    assert any(form in leak for form in forms(canary)) == (leak != canary.upper().encode())
    assert any(form in header for form in forms(canary))

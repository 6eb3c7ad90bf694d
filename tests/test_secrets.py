"""Secrets go nowhere: canaries are planted in every place of a secret, a line runs, and all that it leaves is searched.

Register and release are real (an MLflow server, an S3 server, signing keys); the other stages take no time.
"""

import base64
import gzip
import http
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pyarrow.parquet
import pytest
import yaml
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from mlflow.webhooks.delivery import _generate_hmac_signature

from hazardline import environment
from tests.canaries import CANARIES, USER, forms, has_signed, is_in
from tests.mlflow_store import make_template
from tests.overhearing import Echo, Heard, echo, relay
from tests.pipelines.cluster import REGISTRY, made_up_digests
from tests.register.line_outputs import Line
from tests.register.test_server import wait_until_up
from tests.retrain.webhook import Receiver, receiver
from tests.s3_service import s3_service
from tests.synthesize.endpoint_world import SETTINGS, crashes

ROOT = Path(__file__).parents[1]
RECIPE = "crashchat_pocket_smoke"
MODEL = "crashchat-pocket-smoke"
NOBODY = "127.0.0.1:9"
IMAGES = ["--registry", REGISTRY, *(f"--image-digest={name}={digest}" for name, digest in made_up_digests().items())]
BUCKET = "releases"
REPEATED = (
    "output/failed.parquet",
    "what an annotator with 401 said",
    "what submit with 403 said",
    "what submit with 500 said",
    "what schedule with 403 said",
    "what schedule with 500 said",
    "what Label Studio with 401 said",
    "what Label Studio with 500 said",
    "listener.log",
)
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|COOKIE|PASSWORD")


def plain(data: bytes) -> bytes:
    """Content, unpacked where it is packed."""
    if data[:4] == b"PAR1":
        return str(pyarrow.parquet.read_table(pyarrow.BufferReader(data)).to_pylist()).encode()
    try:
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error):
        return data


class Planted:
    """A line with canaries, the servers that it speaks to, and all that it left behind."""

    def __init__(self, folder: Path, s3: str, stack: ExitStack) -> None:
        self.folder = folder
        self.home, self.server, self.keys = folder / "home", folder / "server", folder / "signing-keys"
        for name in ("user", "temporary"):
            (folder / name).mkdir()
        self.line = Line(folder / "line")
        self.line.candidate("one")
        crashes(Path(shutil.copytree(self.line.root / "one", folder / "annotated")), 2)
        self.said: dict[str, bytes] = {}
        self.s3: Heard = stack.enter_context(relay(s3.removeprefix("http://")))
        self.echo: Echo = stack.enter_context(echo())
        self.hook: Receiver = stack.enter_context(receiver(CANARIES["HAZARDLINE_WEBHOOK_SECRET"]))
        self.mlflow = Heard()
        self.deliveries: dict[str, int] = {}
        """Secret with which a listener was told of a champion, to the status that it answered."""
        self.client = boto3.client(
            "s3", endpoint_url=s3, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
        )
        self.client.create_bucket(Bucket=BUCKET)

    def recipe(self, name: str = RECIPE, **sections: Any) -> str:
        """Path of the recipe of a line whose register, gate and release are real; sections are replaced."""
        data = yaml.safe_load((ROOT / "recipes" / f"{RECIPE}.yaml").read_text())
        data["gate"] = {"policy": str(self.line.root / "policy.yaml")}
        data["release"] |= {"destination": f"s3://{BUCKET}/vehicles", "keys": str(self.keys)}
        for section in ("train", "evaluate", "register", "export"):
            data[section]["base"] = str(self.line.base)
        data |= {"name": name, **sections}
        data = {name: section for name, section in data.items() if section is not None}
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(data))
        return str(path)

    def recipe_of_retraining(self) -> str:
        """The same for footage that comes in."""
        return self.recipe(
            "retrained",
            simulate=None,
            ingest={"root": str(self.folder), "dataset": "fleet"},
            retrain={
                "dataset": "fleet",
                "trigger": {"min_new_clips": 1},
                "approval": "automatic",
                "notify": {"url": self.hook.url},
            },
        )

    def recipe_of_annotator(self) -> str:
        """The same where an endpoint annotates."""
        endpoint = {**SETTINGS, "base_url": f"http://{self.echo.address}/v1", "max_tries": 2, "max_failed_share": 1.0}
        return self.recipe("annotated", synthesize={"annotator": "endpoint", "endpoint": endpoint})

    def environment(self, changes: Mapping[str, str | None]) -> dict[str, str]:
        """Of a process: the canaries, and nothing else that is a secret or that is outside of the folder."""
        paths = [ROOT / "tests/secret_stages", ROOT / "src", ROOT, os.environ.get("PYTHONPATH", "")]
        values = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "AWS_"))},
            **CANARIES,
            "AWS_ACCESS_KEY_ID": "not-a-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "MLFLOW_TRACKING_URI": f"http://{NOBODY}",
            "MLFLOW_TRACKING_USERNAME": USER,
            "HAZARDLINE_HOME": str(self.home),
            "HAZARDLINE_S3_ENDPOINT": f"http://{self.s3.address}",
            "CANDIDATE": str(self.line.root / "one"),
            "HOME": str(self.folder / "user"),
            "TMPDIR": str(self.folder / "temporary"),
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            **changes,
        }
        return {name: value for name, value in values.items() if value is not None}

    def run(self, name: str, *arguments: str, status: int, module: str = "pipelines", **changes: str | None) -> None:
        """Run `python -m pipelines` with the canaries planted, and keep what it says."""
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(command, cwd=self.folder, env=self.environment(changes), capture_output=True, check=False)
        self.said[f"what {name} said"] = done.stdout + done.stderr
        assert done.returncode == status, f"{name}: {(done.stdout + done.stderr).decode()}"

    def run_line(self) -> None:
        """Compile every pipeline; run and release with a good MLflow, by password and by token; run without one."""
        line, retrained = self.recipe(), self.recipe_of_retraining()
        for pipeline, recipe in {"line": line, "retrain": retrained, "release": line}.items():
            out = ["--out", str(self.folder / "compiled" / f"{pipeline}.yaml"), *IMAGES]
            self.run(f"compile {pipeline}", "compile", recipe, "--pipeline", pipeline, *out, status=0)
        pair = f"{USER}:{quote(CANARIES['MLFLOW_TRACKING_PASSWORD'], safe='')}"
        with mlflow_server(self.server) as host, relay(host) as self.mlflow:
            address = self.mlflow.address
            self.run("the run", "run", line, status=0, MLFLOW_TRACKING_URI=f"http://{pair}@{address}")
            by_token = {"MLFLOW_TRACKING_USERNAME": None, "MLFLOW_TRACKING_PASSWORD": None}
            self.run("the release", "release", line, status=0, MLFLOW_TRACKING_URI=f"http://{address}", **by_token)
        self.run("the failing run", "run", line, status=2, MLFLOW_TRACKING_URI=f"http://{pair}@{NOBODY}")
        self.run("the failing retraining", "retrain", retrained, status=2)

    def annotate(self) -> None:
        """Have clips annotated by an endpoint that refuses the key, and by one that fails, which is let pass."""
        recipe = self.recipe_of_annotator()
        real = {"CANDIDATE": str(self.folder / "annotated"), "REAL_STAGE": "synthesize"}
        real["HAZARDLINE_STORE"] = str(self.folder / "annotated" / "store")  # where nothing is reused
        for self.echo.status in (401, 500):
            self.run(f"an annotator with {self.echo.status}", "run", recipe, status=2, **real)

    def ask_cluster(self) -> None:
        """Submit and schedule where nobody answers, and where everything is refused."""
        recipe, here = self.recipe(), ["--host", f"http://{self.echo.address}"]
        nobody = ["--host", f"http://{NOBODY}"]
        cron = ["--cron", "0 0 3 * * *"]
        self.run("submit to nobody", "submit", recipe, *nobody, *IMAGES, status=2)
        self.run("schedule at nobody", "schedule", "--list", *nobody, status=2)
        for self.echo.status in (401, 500):
            self.run(f"submit with {self.echo.status}", "submit", "--resume", "r-1", *here, status=2)
            self.run(f"schedule with {self.echo.status}", "schedule", "--list", *here, status=2)
        self.echo.status = 403
        self.run("submit with 403", "submit", recipe, *here, *IMAGES, status=2)
        self.run("schedule with 403", "schedule", recipe, *cron, *here, *IMAGES, status=2)

    def listen(self) -> None:
        """Tell a listener of a champion, with its secret and with another; the cluster refuses the release."""
        self.echo.status = 403
        command = [sys.executable, "-m", "pipelines", "listen", self.recipe(), "--port", "0", *IMAGES]
        command += ["--host", f"http://{self.echo.address}"]
        log = self.folder / "listener.log"
        with log.open("wb") as stream:
            listener = subprocess.Popen(
                command, cwd=self.folder, env=self.environment({"PYTHONUNBUFFERED": "1"}), stdout=stream, stderr=stream
            )
        try:
            give_up_at = time.monotonic() + 120
            while not (found := re.search(r"listening on port (\d+)", log.read_text())):
                assert listener.poll() is None and time.monotonic() < give_up_at, log.read_text()
                time.sleep(0.1)
            for secret in ("another secret altogether", CANARIES["HAZARDLINE_MLFLOW_WEBHOOK_SECRET"]):
                self.deliveries[secret] = tell_of_champion(f"http://127.0.0.1:{found[1]}", secret)
        finally:
            listener.terminate()
            listener.wait(timeout=60)

    def review(self) -> None:
        """Fetch from a Label Studio that refuses."""
        arguments = [
            "--url",
            f"http://{self.echo.address}",
            "--project",
            "p",
            "--out",
            str(self.folder / "export.json"),
        ]
        for self.echo.status in (401, 500):
            name = f"Label Studio with {self.echo.status}"
            self.run(name, "review", "pull", *arguments, status=2, module="hazardline")

    def was_read(self, name: str) -> bool:
        """Whether the secret of a variable has done its work: it was sent, or something was signed with it."""
        secret, sent = CANARIES[name], {"MLFLOW": self.mlflow, "AWS": self.s3}.get(name.partition("_")[0], self.echo)
        if name == "AWS_SECRET_ACCESS_KEY":
            return has_signed(secret, sent.sent())
        if name == environment.WEBHOOK_SECRET:
            return len(self.hook.notices) > 0  # a receiver keeps what was signed with its secret
        if name == environment.MLFLOW_WEBHOOK_SECRET:
            refused, accepted = self.deliveries.values()
            return (refused, accepted) == (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.SERVICE_UNAVAILABLE)
        return is_in(secret, sent.sent())

    def left_behind(self) -> dict[str, bytes]:
        """Every file, objects of S3, and what was said; the folder of signing keys is not in it."""
        files = (path for path in self.folder.rglob("*") if path.is_file() and self.keys not in path.parents)
        found = {str(path): path.read_bytes() for path in files}
        for item in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
            answer = self.client.get_object(Bucket=BUCKET, Key=item["Key"])
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


def tell_of_champion(url: str, secret: str) -> int:
    """Status of what a listener answers to MLflow's delivery."""
    told = {"entity": "model_version_alias", "action": "created", "data": {"name": MODEL, "alias": "champion"}}
    body, now = json.dumps(told), str(int(time.time()))
    headers = {
        "x-mlflow-delivery-id": "d-1",
        "x-mlflow-timestamp": now,
        "x-mlflow-signature": _generate_hmac_signature(secret, "d-1", now, body),
    }
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers), timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    """Every command that reads a secret was run, also where its server fails or repeats what it was sent."""
    with ExitStack() as stack:
        planted = Planted(tmp_path_factory.mktemp("planted"), stack.enter_context(s3_service()), stack)
        planted.run_line()
        planted.annotate()
        planted.ask_cluster()
        planted.listen()
        planted.review()
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
        b"crashchat-pocket-smoke": "compiled/line.yaml",
        b"name: hazardline-retrain": "compiled/retrain.yaml",
        b"name: recall": "compiled/release.yaml",
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
        b"failure; the webhook was told in 1 attempts": "what the failing retraining said",
        b"no signature fits": "listener.log",
        b"check the address": "what submit to nobody said",
    }.items():
        assert [name for name, data in found.items() if place in name and needle in data], f"{needle!r} in {place}"
    assert len(planted.signing_secrets()) >= 7


@pytest.mark.parametrize("place", REPEATED)
def test_what_a_server_repeats_is_told_without_the_secret(planted: Planted, place: str) -> None:
    """The server's message is passed on: so the search has something to find there."""
    (text,) = (data for name, data in planted.left_behind().items() if name.endswith(place))
    assert re.search(rb"who is (Authorization|Cookie): [\w= ]*\*\*\*", text), text


@pytest.mark.parametrize("name", CANARIES)
def test_every_canary_was_read(planted: Planted, name: str) -> None:
    assert planted.was_read(name)


@pytest.mark.parametrize("name", CANARIES)
def test_no_canary_is_left_anywhere(planted: Planted, name: str) -> None:
    assert [place for place, data in planted.left_behind().items() if is_in(CANARIES[name], data)] == []


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


def test_whose_signature_it_is_is_told() -> None:
    request = AWSRequest("PUT", "http://127.0.0.1:1/bucket/a%20key?x-id=PutObject&a=b", data=b"content")
    request.headers["Host"] = "127.0.0.1:1"
    S3SigV4Auth(Credentials("name", "the secret", "a token"), "s3", "us-east-1").add_auth(request)
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    sent = f"PUT /bucket/a%20key?x-id=PutObject&a=b HTTP/1.1\r\n{head}\r\ncontent".encode()
    assert has_signed("the secret", sent)
    assert not has_signed("another secret", sent)
    assert not has_signed("the secret", sent.replace(b"a%20key", b"another"))

"""MLflow's webhook at the door of the release pipeline: MLflow's own sender, and what is refused."""

import http
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import urllib3
from mlflow.entities.webhook import Webhook, WebhookEvent
from mlflow.webhooks.delivery import _create_webhook_session, _generate_hmac_signature, _send_webhook_request

from hazardline.errors import UserError
from hazardline.recipe import load_recipe
from tests.pipelines.cluster import ROOT, parsed, place, tasks_of
from tests.pipelines.stub_server import StubServer
from tests.pipelines.test_submit import SMOKE, run

from pipelines.endpoint import Endpoint
from pipelines.listen import MAX_BODY_BYTES, answer, serve
from pipelines.package import write_release_package
from pipelines.submission import start, upload

SECRET = "a secret of mlflow's webhook"
NOW = 1_700_000_000
SET: Any = WebhookEvent.from_str("model_version_alias.created")


@dataclass
class Door:
    """A listener that starts made-up runs."""

    url: str = ""
    started: list[str] = field(default_factory=list)
    is_lost: bool = False

    def start(self) -> str:
        if self.is_lost:
            raise UserError("http://inside.example: cannot be reached")
        self.started.append(f"r-{len(self.started) + 1}")
        return self.started[-1]


@pytest.fixture
def door() -> Iterator[Door]:
    found = Door()
    with serve(0, SECRET, "m", found.start) as server:
        found.url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def told_by_mlflow(door: Door, monkeypatch: pytest.MonkeyPatch, secret: str = SECRET, **data: str) -> int:
    """Status of what MLflow's sender was answered; private addresses and plain HTTP are let through for it."""
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http")
    monkeypatch.setenv("MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES", "0")
    hook = Webhook("id", "release", door.url, [SET], creation_timestamp=0, last_updated_timestamp=0, secret=secret)
    payload: Any = {"name": "m", "alias": "champion", "version": "4", **data}
    with _create_webhook_session() as session:
        status: int = _send_webhook_request(hook, payload, SET, session).status_code
    return status


def test_a_new_champion_starts_a_release(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_by_mlflow(door, monkeypatch) == http.HTTPStatus.ACCEPTED
    assert door.started == ["r-1"]


@pytest.mark.parametrize("data", [{"alias": "candidate"}, {"alias": "previous"}, {"name": "m.promotions"}])
def test_other_changes_start_nothing(door: Door, monkeypatch: pytest.MonkeyPatch, data: dict[str, str]) -> None:
    assert told_by_mlflow(door, monkeypatch, **data) == http.HTTPStatus.OK
    assert door.started == []


def test_who_does_not_know_the_secret_starts_nothing(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_by_mlflow(door, monkeypatch, secret="another secret altogether") == http.HTTPStatus.UNAUTHORIZED
    assert urllib3.request("POST", door.url, body=b"{}").status == http.HTTPStatus.UNAUTHORIZED
    assert door.started == []


def test_a_secret_is_mlflows_own_word_and_no_base64(monkeypatch: pytest.MonkeyPatch) -> None:
    secret, door = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Door()
    with serve(0, secret, "m", door.start) as server:
        door.url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        assert told_by_mlflow(door, monkeypatch, secret=secret) == http.HTTPStatus.ACCEPTED
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("secret, words", [(None, "is not set"), ("short", "expected at least 16")])
def test_a_listener_without_a_good_secret_does_not_begin(
    user: None, monkeypatch: pytest.MonkeyPatch, secret: str | None, words: str
) -> None:
    monkeypatch.delenv("HAZARDLINE_MLFLOW_WEBHOOK_SECRET", raising=False)
    if secret is not None:
        monkeypatch.setenv("HAZARDLINE_MLFLOW_WEBHOOK_SECRET", secret)
    with pytest.raises(UserError, match=words):
        run("listen", SMOKE, "--host", "http://127.0.0.1:1")


def test_a_cluster_that_is_lost_is_asked_again_by_mlflow(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    door.is_lost = True
    assert told_by_mlflow(door, monkeypatch) == http.HTTPStatus.SERVICE_UNAVAILABLE, "a status that MLflow retries"


def test_a_large_body_is_not_read(door: Door) -> None:
    answered = urllib3.request("POST", door.url, body=b"x" * (MAX_BODY_BYTES + 1))
    assert answered.status == http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert urllib3.request("GET", door.url).status == http.HTTPStatus.OK, "for probes"


def headers_for(body: bytes) -> dict[str, str]:
    return {
        "x-mlflow-delivery-id": "d-1",
        "x-mlflow-timestamp": str(NOW),
        "x-mlflow-signature": _generate_hmac_signature(SECRET, "d-1", str(NOW), body.decode()),
    }


def test_a_recorded_delivery_is_refused_later() -> None:
    body = json.dumps(
        {"entity": "model_version_alias", "action": "created", "data": {"name": "m", "alias": "champion"}}
    ).encode()
    door = Door()
    assert answer(headers_for(body), body, SECRET, "m", NOW + 10, door.start)[0] == http.HTTPStatus.ACCEPTED
    assert answer(headers_for(body), body, SECRET, "m", NOW + 400, door.start)[0] == http.HTTPStatus.UNAUTHORIZED
    assert door.started == ["r-1"]


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b'{"entity": "model_version_alias"}', b'{"data": 1}'])
def test_a_signed_body_of_another_form_starts_nothing(body: bytes) -> None:
    door = Door()
    assert answer(headers_for(body), body, SECRET, "m", NOW, door.start)[0] == http.HTTPStatus.OK
    assert door.started == []


def test_the_release_pipeline_begins_at_the_champion(endpoint: Endpoint, server: StubServer, tmp_path: Path) -> None:
    recipe = load_recipe(ROOT / "recipes" / "crashchat_pocket_smoke.yaml")
    package = write_release_package(recipe, tmp_path / "release.yaml", place())
    spec, _ = parsed(package.path)
    tasks = tasks_of(spec)
    assert set(tasks) == {"recall", "export", "release", "device"}
    for name, stages in {"export": ["ingest", "synthesize", "train", "evaluate"], "release": ["register"]}.items():
        for stage in stages:
            channel = tasks[name].inputs.artifacts[stage].task_output_artifact
            assert (channel.producer_task, channel.output_artifact_key) == ("recall", stage)
    uploaded = upload(endpoint, package)
    assert start(endpoint, package, uploaded, "hazardline", "hazardline-pipeline")
    assert package.name == "hazardline-crashchat-pocket-smoke-release"

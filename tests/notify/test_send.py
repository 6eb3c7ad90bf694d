"""Notices on their way: attempts and their end, redirects, and what is not in them."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hazardline.errors import UserError
from hazardline.files import canonical_json
from hazardline.notify.config import NoticeConfig, NotifyConfig
from hazardline.notify.notice import Notice, deliver, notice_of, notify_run
from hazardline.notify.send import send
from hazardline.retrain.conclusion import Conclusion
from hazardline.retrain.notes import leave_conclusion
from tests.retrain.webhook import Receiver, receiver

SECRET = "canary-of-sixteen-bytes"
BODY = b'{"outcome":"promoted"}'
CONCLUSION = Conclusion(
    run_id="run-1",
    outcome="gate_closed",
    sentence="not promoted",
    model_name="m",
    champion_before=3,
    candidate=4,
    trigger=["600 clips with new bytes, at least 500"],
    gate=["refused: recognition_macro_f1"],
)


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver(SECRET) as found:
        yield found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HAZARDLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HAZARDLINE_WEBHOOK_SECRET", SECRET)
    return tmp_path


def sent(url: str, waited: list[float], attempts: int = 4, **more: Any) -> int:
    return send(url, SECRET, "id-1", BODY, num_attempts=attempts, timeout_s=5, sleep=waited.append, **more)


def test_a_notice_arrives_signed(hook: Receiver) -> None:
    waited: list[float] = []
    assert sent(hook.url, waited) == 1 and waited == []
    assert (hook.notices, hook.ids) == ([{"outcome": "promoted"}], ["id-1"])
    headers, _ = hook.requests[0]
    assert headers["content-type"] == "application/json" and SECRET not in str(headers)


def test_what_may_pass_is_tried_again_signed_anew(hook: Receiver) -> None:
    hook.answers = [503, 429, 500]
    waited: list[float] = []
    times = iter([time.time() - second for second in range(4)])
    assert sent(hook.url, waited, clock=lambda: next(times)) == 4
    assert waited == [1, 2, 4] and len(hook.notices) == 1
    assert len({headers["webhook-signature"] for headers, _ in hook.requests}) == 4
    assert {headers["webhook-id"] for headers, _ in hook.requests} == {"id-1"}


def test_there_is_an_end(hook: Receiver) -> None:
    hook.answers = [503] * 9
    waited: list[float] = []
    with pytest.raises(UserError, match="in none of 8 attempts: it answered 503"):
        sent(hook.url, waited, attempts=8)
    assert waited == [1, 2, 4, 8, 16, 30, 30] and len(hook.requests) == 8


@pytest.mark.parametrize("status", [400, 401, 404, 307])
def test_a_refusal_is_final_and_a_redirect_is_one(hook: Receiver, status: int) -> None:
    hook.answers = [status]
    with pytest.raises(UserError, match=f"refused the notice: it answered {status}"):
        sent(hook.url, [])
    assert len(hook.requests) == 1


def test_nobody_there_is_told() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(UserError, match="cannot be reached"):
        sent(f"http://127.0.0.1:{port}", [])


def test_a_receiver_that_hangs_up_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        with pytest.raises(UserError, match="in none of 2 attempts"):
            send(
                f"http://127.0.0.1:{server.getsockname()[1]}",
                SECRET,
                "id-1",
                BODY,
                num_attempts=2,
                timeout_s=0.05,
                sleep=lambda seconds: None,
            )


@pytest.mark.parametrize(
    "state, left, message, outcome, failed",
    [
        ("SUCCEEDED", True, "", "gate_closed", []),
        ("SUCCEEDED", False, "", "failure", []),
        ("FAILED", False, "The following tasks failed: [train]; exit code 2", "failure", ["train"]),
        ("FAILED", True, "task release-2 or register, not retrain", "failure", ["register"]),
    ],
)
def test_what_is_said_of_a_run(
    home: Path, hook: Receiver, state: str, left: bool, message: str, outcome: str, failed: list[str]
) -> None:
    config = NoticeConfig(url=hook.url, recipe="tiny", model_name="m")
    if left:
        leave_conclusion(CONCLUSION)
    assert "the webhook was told in 1 attempts" in deliver(config, notice_of(config, "run-1", state, message, None))
    (notice,) = hook.notices
    assert Notice.parse(notice, "test").data() == notice
    assert (notice["outcome"], notice["failed_tasks"], notice["run_id"]) == (outcome, failed, "run-1")
    assert notice["conclusion"] == (CONCLUSION.data() if left else None)
    assert SECRET.encode() not in canonical_json(notice)


def test_the_same_end_of_a_run_has_the_same_id(home: Path, hook: Receiver) -> None:
    config = NoticeConfig(url=hook.url, recipe="tiny", model_name="m")
    for state in ("FAILED", "FAILED"):
        deliver(config, notice_of(config, "run-1", state, "", None))
    leave_conclusion(CONCLUSION)
    deliver(config, notice_of(config, "run-1", "SUCCEEDED", "", None))
    assert hook.ids[0] == hook.ids[1] != hook.ids[2]


def test_tasks_that_failed_or_never_ended_are_named(home: Path) -> None:
    events = home / "events.jsonl"
    said = [("ingest", "started"), ("ingest", "made"), ("train", "started"), ("notify", "started")]
    events.write_text("".join(json.dumps({"stage": stage, "state": state}) + "\n" for stage, state in said))
    config = NoticeConfig(recipe="tiny", model_name="m")
    assert notice_of(config, "run-1", "FAILED", "Task exit-handler-1 failed.", events).failed_tasks == ["train"]


def test_without_a_secret_nothing_is_sent(home: Path, hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HAZARDLINE_WEBHOOK_SECRET")
    config = NoticeConfig(url=hook.url, recipe="tiny", model_name="m")
    with pytest.raises(UserError, match="HAZARDLINE_WEBHOOK_SECRET is not set"):
        deliver(config, notice_of(config, "run-1", "FAILED", "", None))
    monkeypatch.setenv("HAZARDLINE_WEBHOOK_SECRET", "short")
    with pytest.raises(UserError, match="expected at least 16"):
        deliver(config, notice_of(config, "run-1", "FAILED", "", None))
    assert hook.requests == []


def test_the_task_says_in_one_line_that_the_secret_is_missing(
    home: Path, hook: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a cluster without the Secret, which the task's pod does not wait for."""
    monkeypatch.delenv("HAZARDLINE_WEBHOOK_SECRET")
    told, quiet = (NoticeConfig(url=url, recipe="tiny", model_name="m") for url in (hook.url, None))
    with pytest.raises(SystemExit) as ended:
        notify_run(told.model_dump_json(), "run-1", "FAILED", "")
    assert ended.value.code == 2 and hook.requests == []
    (line,) = capsys.readouterr().err.splitlines()
    assert "HAZARDLINE_WEBHOOK_SECRET is not set" in line and "retrain.notify.url" in line
    notify_run(quiet.model_dump_json(), "run-1", "FAILED", "")


def test_a_recipe_without_a_webhook_tells_nobody(home: Path) -> None:
    config = NoticeConfig(recipe="tiny", model_name="m")
    assert "nobody is told" in deliver(config, notice_of(config, "run-1", "FAILED", "", None))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/hook",
        "host/hook",
        "https://user:pass@host/hook",
        "https://host/hook?token=x",
        "https://host/hook#x",
        "file:///etc/passwd",
    ],
)
def test_an_address_with_a_secret_or_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="url"):
        NotifyConfig.parse({"url": url}, "test")

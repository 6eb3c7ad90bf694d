import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress

import pytest

from hazardline.errors import RefusedOutputError, UserError
from hazardline.progress import SilentReporter
from hazardline.synthesize.document import Synthesis
from hazardline.tables import FAILED, QA, read_table
from tests.synthesize.chat_server import Answer, completion, images, served, texts
from tests.synthesize.endpoint_world import KEY, SETTINGS, config, crashes, good, run_stage, scripted

COST_USD = (1000 * 2.5 + 100 * 10) / 1e6


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    folder = tmp_path / "home"
    monkeypatch.setenv("HAZARDLINE_HOME", str(folder))
    monkeypatch.setenv("HAZARDLINE_ANNOTATOR_KEY", KEY)
    return folder


class Notes(SilentReporter):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def rows_of(out, clip_id):
    return {row["task"]: row["answer"] for row in read_table(QA, out) if row["clip_id"] == clip_id}


def contents(out):
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_texts_come_from_the_endpoint_and_times_from_the_annotation(tmp_path):
    inputs = crashes(tmp_path, 3)
    with served(scripted()) as (address, heard):
        run_stage(config(address), inputs, tmp_path / "out", SilentReporter())
    assert rows_of(tmp_path / "out", "c01") == {
        "crash_recognition": "Yes",
        "crash_description": "The ego car hits a car.",
        "cause_reasoning": "The driver of c01 was not attentive enough.",
        "prevention_reasoning": "Drivers should keep a safe distance and watch the road ahead.",
        "crash_localization": "1.5 - 2.0 seconds",
        "pre_crash_localization": "1.0 seconds",
    }
    assert rows_of(tmp_path / "out", "n00")["crash_description"] == "no collision."
    assert {row["annotator"] for row in read_table(QA, tmp_path / "out")} == {"endpoint"}
    assert heard.whole == {"c00": 1, "c01": 1, "c02": 1} and heard.keys == {f"Bearer {KEY}"}


def test_what_is_sent(tmp_path):
    inputs = crashes(tmp_path, 1, crash_end_s=None)
    with served(scripted(crash_end_s=1.9)) as (address, heard):
        run_stage(config(address, seed=5, image_width_px=32), inputs, tmp_path / "out", SilentReporter())
    (body,) = heard.requests
    assert (body["model"], body["temperature"], body["seed"], body["max_tokens"]) == ("annotator", 0.7, 5, 300)
    form = body["response_format"]["json_schema"]
    assert form["strict"]
    assert list(form["schema"]["properties"]) == ["description", "cause", "prevention", "crash_end_s"]
    assert form["schema"]["additionalProperties"] is False
    said = texts(body)
    assert "first sign of the accident at 1.0 s" in said and "the accident starts at 1.5 s" in said
    assert [line for line in said.splitlines() if line.startswith("Time")] == [
        f"Time {time_s}s:" for time_s in ("0.5", "1.0", "1.5", "2.2", "2.6")
    ]
    assert len(images(body)) == 5 and all(url.startswith("data:image/jpeg;base64,") for url in images(body))
    assert rows_of(tmp_path / "out", "c00")["crash_localization"] == "1.5 - 1.9 seconds"


FAULTS = {
    "c00": ["busy", "failing"],
    "c01": ["cut_off"],
    "c02": ["slow"],
    "c03": ["wrong_schema", "truncated"],
    "c04": ["refused"],
    "c05": ["no_choices", "no_text"],
    "c06": ["not_json", "bad_gateway"],
    "c07": ["filtered", "prose"],
    "c08": ["busy", "busy", "busy"],
    "c09": [],
}


def test_no_fault_loses_a_clip_or_pays_twice_and_a_second_run_is_free(tmp_path):
    inputs = crashes(tmp_path, 10)
    settings = {"timeout_s": 0.5}
    notes = Notes()
    with served(scripted(FAULTS)) as (address, heard):
        run_stage(config(address, **settings), inputs, tmp_path / "first", notes)
        requests = len(heard.requests)
        run_stage(config(address, **settings), inputs, tmp_path / "second", SilentReporter())
        assert len(heard.requests) == requests
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    assert all(len(rows_of(tmp_path / "first", f"c{number:02}")) == 6 for number in range(10))

    useless = {"c03": 2, "c04": 1, "c05": 2, "c07": 2}  # paid, and of no use
    heard.whole["c02"] = 1  # its first answer came too late to be heard
    assert heard.whole == {about: 1 + useless.get(about, 0) for about in FAULTS}
    report = Synthesis.read(tmp_path / "first" / "synthesis.json").endpoint
    assert report.attempts == {"answered": 10, "empty": 2, "refused": 2, "truncated": 1, "wrong_schema": 2}
    assert report.num_clips_asked == 10 and report.structured == {"json_schema": 17}
    assert report.system_fingerprints == {"fp_1": 17} and report.served_models == {"annotator-2026-01-01": 17}
    assert report.usd == pytest.approx(17 * COST_USD)
    assert "26 requests (9 without an answer)" in notes.notes[0]


def test_a_new_attempt_has_a_new_seed(tmp_path):
    inputs = crashes(tmp_path, 1)
    with served(scripted({"c00": ["refused", "busy", "wrong_schema"]})) as (address, heard):
        run_stage(config(address, seed=7), inputs, tmp_path / "out", SilentReporter())
    assert [body["seed"] for body in heard.requests] == [7, 8, 8, 9]


def test_a_clip_that_fails_in_the_end_is_listed_and_too_many_fail_the_stage(tmp_path):
    inputs = crashes(tmp_path, 4)
    faults = {"c01": ["wrong_schema"] * 9, "c02": ["failing"] * 9}
    with served(scripted(faults)) as (address, heard):
        with pytest.raises(RefusedOutputError, match=r"2 of 4 clips have no usable answer.*max_failed_share"):
            run_stage(config(address), inputs, tmp_path / "refused", SilentReporter())
        run_stage(config(address, max_failed_share=0.5), inputs, tmp_path / "kept", SilentReporter())
    assert heard.whole["c01"] == 3  # max_attempts, and none in the second run
    assert len([body for body in heard.requests if "c02" in texts(body)]) == 6 + 4
    failed = read_table(FAILED, tmp_path / "refused")
    assert [(row["clip_id"], row["reason"], row["num_attempts"]) for row in failed] == [
        ("c01", "wrong_schema", 3),
        ("c02", "failing", 0),
    ]
    assert "cause" in failed[0]["detail"] and "500 - oops" in failed[1]["detail"]
    report = Synthesis.read(tmp_path / "kept" / "synthesis.json")
    assert [(item.reason, item.num_clips) for item in report.failed] == [("wrong_schema", 1)]


def test_a_long_retry_after_is_not_waited_for(tmp_path):
    inputs = crashes(tmp_path, 2)
    with served(scripted({"c00": ["busy_long"]})) as (address, _):
        begin = time.monotonic()
        run_stage(config(address, max_failed_share=0.5), inputs, tmp_path / "out", SilentReporter())
    assert time.monotonic() - begin < 5
    assert [row["reason"] for row in read_table(FAILED, tmp_path / "out")] == ["busy"]


def test_the_budget_holds_and_raising_it_goes_on(tmp_path):
    inputs = crashes(tmp_path, 10)
    budget = 0.03
    with served(scripted({"c01": ["wrong_schema"]})) as (address, heard):
        with pytest.raises(UserError, match=r"budget of 0.03 USD.* clips have no answer yet") as caught:
            run_stage(config(address, budget_usd=budget), inputs, tmp_path / "first", SilentReporter())
        heard.settle()
        paid = (heard.prompt_tokens * 2.5 + heard.completion_tokens * 10) / 1e6
        assert 0.015 < paid <= budget
        first = {name: count for name, count in heard.whole.items() if count == (2 if name == "c01" else 1)}
        assert f"; {10 - len(first)} clips have no answer yet" in str(caught.value)
        assert list((tmp_path / "first").iterdir()) == []
        run_stage(config(address, budget_usd=1.0), inputs, tmp_path / "second", SilentReporter())
    assert {name: heard.whole[name] for name in first} == first
    assert sum(heard.whole.values()) == 11


def test_a_budget_below_one_request_sends_none(tmp_path):
    inputs = crashes(tmp_path, 2)
    with served(scripted()) as (address, heard), pytest.raises(UserError, match="2 clips have no answer yet"):
        run_stage(config(address, budget_usd=0.003), inputs, tmp_path / "out", SilentReporter())
    assert heard.requests == []


def test_an_answer_that_may_have_been_charged_counts_at_its_worst(tmp_path, home):
    inputs = crashes(tmp_path, 1)
    with served(scripted({"c00": ["cut_off", "failing", "no_usage"]})) as (address, _):
        run_stage(config(address), inputs, tmp_path / "out", SilentReporter())
    (path,) = (home / "annotations" / "accounts").glob("*.json")
    account = json.loads(path.read_text())
    assert account["booked_nano_usd"] == {} and account["spent_nano_usd"] > 2 * COST_USD * 1e9
    report = Synthesis.read(tmp_path / "out" / "synthesis.json").endpoint
    assert report.completion_tokens == 300 and report.prompt_tokens > 500


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        (["key"], r"refuses the key; set HAZARDLINE_ANNOTATOR_KEY"),
        (["no_model"], r"knows no model 'annotator'"),
        (["no_credit"], r"no credit left"),
    ],
)
def test_what_no_try_can_mend_ends_the_run(tmp_path, home, faults, message):
    inputs = crashes(tmp_path, 3)
    with (
        served(scripted({f"c{number:02}": faults * 9 for number in range(3)})) as (address, heard),
        pytest.raises(UserError, match=message) as caught,
    ):
        run_stage(config(address, concurrency=1), inputs, tmp_path / "out", SilentReporter())
    assert len(heard.requests) <= 3 and KEY not in str(caught.value)


def test_the_key_is_written_nowhere(tmp_path, home, caplog):
    caplog.set_level("DEBUG")
    inputs = crashes(tmp_path, 2)
    with served(scripted({"c00": ["key_in_request"] * 9})) as (address, heard):
        run_stage(config(address, max_failed_share=0.5, structured="text"), inputs, tmp_path / "out", SilentReporter())
    (row,) = read_table(FAILED, tmp_path / "out")
    assert row["reason"] == "not_accepted" and "cannot take ***" in row["detail"]
    assert heard.keys == {f"Bearer {KEY}"} and KEY not in caplog.text
    for path in [*home.rglob("*"), *(tmp_path / "out").iterdir()]:
        assert path.is_dir() or KEY.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("refused", "expected"), [(("json_schema",), "json_object"), (("json_schema", "json_object"), "text")]
)
def test_an_endpoint_without_schemas_is_asked_in_a_form_that_it_takes(tmp_path, refused, expected):
    def answering(body):
        if body.get("response_format", {}).get("type") in refused:
            return "refused", Answer({"error": {"message": "response_format is not supported"}}, 400)
        fenced = f"<think>{{hm}}</think>\n```json\n{good('c00')['choices'][0]['message']['content']}\n```"
        return "asked", Answer(completion(fenced))

    inputs = crashes(tmp_path, 4)
    with served(answering) as (address, heard):
        run_stage(config(address, concurrency=2), inputs, tmp_path / "out", SilentReporter())
        assert heard.whole["asked"] == 4 and len(heard.requests) <= 4 + 2 * len(refused)
        report = Synthesis.read(tmp_path / "out" / "synthesis.json").endpoint
        assert report.structured == {expected: 4}
        with pytest.raises(RefusedOutputError, match="no usable answer"):
            run_stage(config(address, structured="json_schema"), inputs, tmp_path / "fixed", SilentReporter())
    assert {row["reason"] for row in read_table(FAILED, tmp_path / "fixed")} == {"not_accepted"}


def test_an_endpoint_that_answers_nothing_is_given_up(tmp_path):
    inputs = crashes(tmp_path, 60)
    with served(lambda body: ("x", Answer({"error": {"message": "down"}}, 503))) as (address, heard):
        with pytest.raises(UserError, match=r"none of the first 20 clips was answered.*failing: .*503 - down"):
            run_stage(config(address, max_tries=1), inputs, tmp_path / "out", SilentReporter())
        assert len(heard.requests) < 40


def test_requests_in_flight_are_bounded(tmp_path):
    inputs = crashes(tmp_path, 9)
    with served(scripted(delay_s=0.4)) as (address, heard):
        run_stage(config(address, concurrency=3), inputs, tmp_path / "out", SilentReporter())
    assert heard.most_in_flight == 3


def test_other_settings_ask_anew_and_other_limits_do_not(tmp_path):
    inputs = crashes(tmp_path, 1)
    with served(scripted()) as (address, heard):
        for number, (changes, expected) in enumerate(
            [
                ({}, 1),
                ({"concurrency": 1, "budget_usd": 9.0, "timeout_s": 4.0, "max_tries": 2}, 1),
                ({"temperature": 0.0}, 2),
                ({"seed": 1}, 3),
                ({"model": "another"}, 4),
                ({"num_frames": 3}, 5),
                ({"image_quality": 50}, 6),
                ({"max_tokens": 301}, 7),
            ]
        ):
            run_stage(config(address, **changes), inputs, tmp_path / f"out{number}", SilentReporter())
            assert len(heard.requests) == expected, changes


RUNNER = """
import sys
from pathlib import Path
from hazardline.progress import SilentReporter
from hazardline.synthesize.config import SynthesizeConfig
from hazardline.synthesize.stage import run
config, ingest, split, out = sys.argv[1:]
Path(out).mkdir()
inputs = {"ingest": Path(ingest), "split": Path(split)}
run(SynthesizeConfig.parse_json(config, "test"), inputs, Path(out), SilentReporter())
"""


def started(config, inputs, out):
    arguments = [config.model_dump_json(), str(inputs["ingest"]), str(inputs["split"]), str(out)]
    return subprocess.Popen([sys.executable, "-c", RUNNER, *arguments], env=dict(os.environ))


def test_a_killed_run_is_gone_on_with(tmp_path, home):
    inputs = crashes(tmp_path, 24)
    with served(scripted(delay_s=0.1)) as (address, heard):
        settings = config(address, concurrency=2)
        process = started(settings, inputs, tmp_path / "killed")
        deadline = time.monotonic() + 60
        while sum(heard.whole.values()) < 6 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = len(list((home / "annotations" / "answers").rglob("*.json")))
        assert 4 <= kept < 24 and not (tmp_path / "killed" / "qa.parquet").exists()
        time.sleep(0.3)
        run_stage(settings, inputs, tmp_path / "out", SilentReporter())
    assert len(read_table(QA, tmp_path / "out")) == 24 * 6 + 4
    twice = [name for name, count in heard.whole.items() if count > 1]
    assert len(twice) <= 2 and sum(heard.whole.values()) <= 24 + 2  # at most what was in flight
    (path,) = (home / "annotations" / "accounts").glob("*.json")
    account = json.loads(path.read_text())
    booked = account["booked_nano_usd"].values()
    assert len(booked) <= 2  # of the killed run, at its worst
    assert account["spent_nano_usd"] + sum(booked) >= sum(heard.whole.values()) * COST_USD * 1e9 - 1


def test_two_processes_pay_once(tmp_path):
    inputs = crashes(tmp_path, 12)
    with served(scripted(delay_s=0.05)) as (address, heard):
        settings = config(address)
        processes = [started(settings, inputs, tmp_path / name) for name in ("first", "second")]
        assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert heard.whole == Counter({f"c{number:02}": 1 for number in range(12)})
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_a_trickle_is_a_timeout(tmp_path):
    """A server that sends a byte now and then does not hold a run up."""
    import socket

    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    is_over = threading.Event()

    def trickle():
        while not is_over.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection, suppress(OSError):  # until the other side has waited long enough
                connection.recv(1 << 20)
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
                )
                while not is_over.is_set():
                    connection.sendall(b" ")
                    time.sleep(0.02)

    thread = threading.Thread(target=trickle)
    thread.start()
    inputs = crashes(tmp_path, 1)
    begin = time.monotonic()
    settings = config(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", timeout_s=0.5, max_tries=2)
    try:
        with pytest.raises(RefusedOutputError):
            run_stage(settings, inputs, tmp_path / "out", SilentReporter())
    finally:
        is_over.set()
        thread.join()
        listener.close()
    assert time.monotonic() - begin < 10
    assert [row["reason"] for row in read_table(FAILED, tmp_path / "out")] == ["timeout"]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"annotator": "endpoint"}, "needs a section endpoint"),
        ({"endpoint": {**SETTINGS}}, "no other"),
    ],
)
def test_the_section_belongs_to_its_annotator(section, message):
    from hazardline.synthesize.config import SynthesizeConfig

    with pytest.raises(UserError, match=message):
        SynthesizeConfig.parse(section, "recipe")


def test_an_address_that_is_none_is_said_to_be(tmp_path):
    inputs = crashes(tmp_path, 1)
    with pytest.raises(UserError, match=r"expected an address like http://localhost:8000/v1, got 'localhost:8000'"):
        run_stage(config("localhost:8000"), inputs, tmp_path / "out", SilentReporter())


def test_a_damaged_answer_is_named(tmp_path, home):
    inputs = crashes(tmp_path, 1)
    with served(scripted()) as (address, _):
        run_stage(config(address), inputs, tmp_path / "out", SilentReporter())
        (path,) = (home / "annotations" / "answers").rglob("*.json")
        path.write_text(path.read_text()[:50])
        with pytest.raises(UserError, match=str(path)):
            run_stage(config(address), inputs, tmp_path / "again", SilentReporter())

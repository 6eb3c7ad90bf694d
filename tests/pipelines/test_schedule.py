"""Recurring runs by name: what is there is compared with what is wanted, against a stub of the API."""

from dataclasses import replace

import pytest

from hazardline.errors import UserError
from tests.pipelines.stub_server import Refused, Request, StubServer
from tests.pipelines.test_submit import IMAGES, SMOKE, run

from pipelines.cron import parse_cron
from pipelines.endpoint import Endpoint
from pipelines.package import Package
from pipelines.schedules import Schedule, disable, list_all, reconcile, remove
from pipelines.submission import upload

RECURRING = "/apis/v2beta1/recurringruns"


@pytest.fixture
def wanted(endpoint: Endpoint, package: Package, server: StubServer) -> Schedule:
    """Every night at three; what was asked until here is forgotten."""
    uploaded = upload(endpoint, package)
    return Schedule("nightly", "0 0 3 * * *", package, uploaded, "retraining", "hazardline-pipeline")


def changes(server: StubServer) -> list[str]:
    """What was changed of recurring runs, in order."""
    found = []
    for request in server.requests:
        if request.path.startswith(RECURRING) and request.method != "GET":
            verb = request.path.rpartition(":")[2] if ":" in request.path else "make"
            found.append("remove" if request.method == "DELETE" else verb)
    return found


def test_a_schedule_is_made(endpoint: Endpoint, server: StubServer, wanted: Schedule) -> None:
    assert reconcile(endpoint, wanted) == "made"
    (made,) = server.recurring
    assert made["display_name"] == "nightly"
    assert made["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}
    assert made["max_concurrency"] == "1" and made["no_catchup"] is True
    assert made["pipeline_version_reference"]["pipeline_version_id"] == wanted.uploaded.version_id
    assert made["service_account"] == "hazardline-pipeline"
    assert (made["mode"], made["status"]) == ("ENABLE", "ENABLED")


def test_nothing_changes_where_nothing_has_changed(endpoint: Endpoint, server: StubServer, wanted: Schedule) -> None:
    reconcile(endpoint, wanted)
    assert reconcile(endpoint, wanted) == "unchanged"
    assert changes(server) == ["make"]


@pytest.mark.parametrize("field", ["cron", "version", "experiment", "service_account"])
def test_what_has_changed_replaces_the_old_one(
    endpoint: Endpoint, server: StubServer, wanted: Schedule, field: str
) -> None:
    reconcile(endpoint, wanted)
    if field == "version":
        package = replace(wanted.package, version="2")
        other = replace(wanted, package=package, uploaded=upload(endpoint, package))
    else:
        other = replace(wanted, **{field: "0 30 4 * * *" if field == "cron" else "another"})
    assert reconcile(endpoint, other) == "replaced"
    (left,) = server.recurring
    assert left["status"] == "ENABLED"
    assert changes(server) == ["make", "make", "remove", "enable"]
    assert reconcile(endpoint, other) == "unchanged"


@pytest.mark.parametrize("field, value", [("max_concurrency", "5"), ("no_catchup", False)])
def test_what_others_have_changed_is_put_right(
    endpoint: Endpoint, server: StubServer, wanted: Schedule, field: str, value: object
) -> None:
    reconcile(endpoint, wanted)
    server.recurring[0][field] = value
    assert reconcile(endpoint, wanted) == "replaced"
    assert len(server.recurring) == 1


@pytest.mark.parametrize("cut_at", ["make", "remove", "enable"])
def test_a_replacement_that_is_cut_off_leaves_at_most_one_enabled(
    endpoint: Endpoint, server: StubServer, wanted: Schedule, cut_at: str
) -> None:
    reconcile(endpoint, wanted)
    other = replace(wanted, cron="0 30 4 * * *")

    def cut(request: Request) -> None:
        changing = request.path.startswith(RECURRING) and request.method != "GET"
        if changing and changes(server)[-1] == cut_at:
            raise Refused(500, "gone")

    server.before = cut
    with pytest.raises(UserError, match="status 500: gone"):
        reconcile(endpoint, other)
    assert sum(run["status"] == "ENABLED" for run in server.recurring) <= 1
    server.before = lambda request: None
    reconcile(endpoint, other)
    (left,) = server.recurring
    assert left["status"] == "ENABLED" and left["trigger"]["cron_schedule"]["cron"] == other.cron


def test_a_schedule_is_disabled_enabled_and_removed(endpoint: Endpoint, server: StubServer, wanted: Schedule) -> None:
    reconcile(endpoint, wanted)
    assert disable(endpoint, "nightly") == "disabled"
    assert disable(endpoint, "nightly") == "unchanged"
    assert [run["status"] for run in server.recurring] == ["DISABLED"]
    assert reconcile(endpoint, replace(wanted, is_enabled=False)) == "unchanged"
    assert reconcile(endpoint, wanted) == "enabled"
    assert remove(endpoint, "nightly") == "removed"
    assert server.recurring == []
    for change in (disable, remove):
        with pytest.raises(UserError, match="has no schedule nightly"):
            change(endpoint, "nightly")


def test_a_schedule_can_be_made_disabled(endpoint: Endpoint, server: StubServer, wanted: Schedule) -> None:
    assert reconcile(endpoint, replace(wanted, is_enabled=False)) == "made"
    assert [run["mode"] for run in server.recurring] == ["DISABLE"]


def test_several_of_one_name_become_one(endpoint: Endpoint, server: StubServer, wanted: Schedule) -> None:
    for cron in ("0 0 1 * * *", "0 0 2 * * *", "0 0 3 * * *", "0 0 3 * * *"):
        reconcile(endpoint, replace(wanted, cron=cron, name=cron))
    for run_ in server.recurring:
        run_["display_name"] = "nightly"
    assert reconcile(endpoint, wanted) == "replaced"
    (left,) = server.recurring
    assert left["trigger"]["cron_schedule"]["cron"] == wanted.cron and left["status"] == "ENABLED"


def test_all_are_listed_page_by_page(endpoint: Endpoint, server: StubServer, wanted: Schedule) -> None:
    for name in ("e", "d", "c", "b", "a"):
        reconcile(endpoint, replace(wanted, name=name))
    disable(endpoint, "b")
    found = list_all(endpoint)
    assert [run.name for run in found] == ["a", "b", "c", "d", "e"]
    assert [run.is_enabled for run in found] == [True, False, True, True, True]
    assert {run.cron for run in found} == {wanted.cron}


def test_other_schedules_are_left_alone(endpoint: Endpoint, server: StubServer, wanted: Schedule) -> None:
    reconcile(endpoint, replace(wanted, name="weekly", cron="0 0 3 * * SUN"))
    reconcile(endpoint, wanted)
    remove(endpoint, "nightly")
    assert [run["display_name"] for run in server.recurring] == ["weekly"]


def test_the_command_reconciles_lists_disables_and_deletes(
    server: StubServer, user: None, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ["--host", server.url]
    assert run("schedule", SMOKE, "--cron", "0  0 3 * * *", *at, *IMAGES) == 0
    assert "schedule hazardline-crashchat-pocket-smoke: made (0 0 3 * * *" in capsys.readouterr().out
    assert run("schedule", SMOKE, "--cron", "0 0 3 * * *", *at, *IMAGES) == 0
    assert "unchanged" in capsys.readouterr().out
    assert run("schedule", "--list", *at) == 0
    assert capsys.readouterr().out.startswith("hazardline-crashchat-pocket-smoke  0 0 3 * * *  on  ")
    assert run("schedule", SMOKE, "--disable", *at) == 0
    assert "disabled" in capsys.readouterr().out
    assert run("schedule", "--name", "hazardline-crashchat-pocket-smoke", "--delete", *at) == 0
    assert server.recurring == []


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "give a recipe, or --name"),
        ([SMOKE], "needs a recipe and --cron"),
        (["--name", "x", "--cron", "0 0 3 * * *"], "needs a recipe and --cron"),
        (["--list", "--delete"], "exclude one another"),
        ([SMOKE, "--cron", "0 3 * * *"], "five fields, where Kubeflow takes six"),
    ],
)
def test_what_the_command_lacks_is_told_before_anything_is_sent(
    server: StubServer, user: None, arguments: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run("schedule", *arguments, "--host", server.url)
    assert server.requests == []


@pytest.mark.parametrize(
    "given",
    ["0 0 3 * * *", "*/15 * * * * ?", "0 0,30 8-18 1-7/2 JAN,mar-JUN MON-FRI", "0 0 0 29 2 *", "5/10 0 0 31 1-12 *"],
)
def test_six_fields_are_taken(given: str) -> None:
    assert parse_cron(f"  {given} ") == given


@pytest.mark.parametrize(
    "given, message",
    [
        ("0 3 * * *", r'five fields.*"0" seconds and "3" minutes.*"0 0 3 \* \* \*"'),
        ("@daily", r"expected six fields \(second, minute, hour, .*got 1"),
        ("0 0 3 * * * 2026", "got 7"),
        ("60 0 3 * * *", "second 60: expected 0 to 59"),
        ("0 60 3 * * *", "minute 60: expected 0 to 59"),
        ("0 0 24 * * *", "hour 24: expected 0 to 23"),
        ("0 0 3 0 * *", "day of the month 0: expected 1 to 31"),
        ("0 0 3 * 13 *", "month 13: expected 1 to 12 or JAN to DEC"),
        ("0 0 3 * * 7", "day of the week 7: expected 0 to 6 or SUN to SAT"),
        ("0 0 3 * * FUN", "day of the week FUN: expected"),
        ("0 0 3 L * *", "day of the month L: expected"),
        ("0 0 18-6 * * *", "18-6 runs backwards"),
        ("0 */0 3 * * *", "after the / comes a whole number above 0"),
        ("0 0 3, * * *", "hour 3,: expected 0 to 23"),
        ("0 0 3 30 2 *", "no month that it names has a day 30"),
        ("0 0 3 31 APR,JUN *", "no month that it names has a day 31"),
    ],
)
def test_what_kubeflow_would_misread_or_refuse_is_refused(given: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        parse_cron(given)
    assert str(refused.value).startswith(f'--cron "{given}": ')

"""Secrets that go into headers: as files leave them, as no header holds them, and how they are hidden."""

from collections.abc import Callable

import pytest

from hazardline import environment
from hazardline.errors import UserError
from hazardline.redaction import without

from pipelines.endpoint import Access

GETTERS = {
    environment.ANNOTATOR_KEY: environment.annotator_key,
    environment.KFP_COOKIES: environment.kfp_cookies,
    environment.KFP_TOKEN: environment.kfp_token,
    environment.LABEL_STUDIO_KEY: environment.label_studio_key,
}


@pytest.mark.parametrize("name", GETTERS)
def test_a_line_break_at_the_end_is_none_of_a_secret(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    get: Callable[[], str | None] = GETTERS[name]
    monkeypatch.setenv(name, "canary-1\n")
    assert get() == "canary-1"
    monkeypatch.setenv(name, " \n")
    assert get() is None


@pytest.mark.parametrize("name", GETTERS)
@pytest.mark.parametrize("value", ["canary-1\ncanary-2", "canary\u2026", "canary\x01"])
def test_a_secret_that_no_header_holds_is_refused_and_not_shown(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=name) as refused:
        GETTERS[name]()
    assert "canary" not in str(refused.value)


def test_what_hides_a_secret_hides_all_of_it() -> None:
    assert without("Bearer abc, abcdef and none", ["abc", None, "abcdef", ""]) == "Bearer ***, *** and none"


def test_each_cookie_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access("http://inside.example", "ann", cookies="session=abc; other=def")
    assert without("no session abc, and def is unknown", access.secrets()) == "no session ***, and *** is unknown"

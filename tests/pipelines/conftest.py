"""A stub of KFP's API for `submit` and `schedule`, held against its OpenAPI document and the client's models."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipelines.api_check import DOCUMENT, VARIABLE, Check, ModelCheck, OpenApiCheck, document_path
from tests.pipelines.cluster import compiled
from tests.pipelines.stub_server import StubServer, stub_server

from pipelines.endpoint import Access, Endpoint
from pipelines.package import Package


@pytest.fixture(params=["models", "openapi"])
def api_check(request: pytest.FixtureRequest) -> Check:
    """Both ways to hold requests against what KFP says of itself."""
    if request.param == "models":
        return ModelCheck()
    path = document_path()
    if path is None or not path.is_file():
        pytest.skip(f"{VARIABLE} names no folder with {DOCUMENT}")
    return OpenApiCheck(path)


@pytest.fixture
def server(api_check: Check) -> Iterator[StubServer]:
    with stub_server(api_check) as stub:
        yield stub


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody without credentials: nothing of what KFP's client would find on this machine."""
    import kfp

    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "kfp" / "context.json"))
    monkeypatch.setenv("HAZARDLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "no-token"))
    for name in ("HAZARDLINE_KFP_TOKEN", "HAZARDLINE_KFP_COOKIES", "KF_PIPELINES_ENDPOINT", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def pauses() -> list[float]:
    """How long was waited, without waiting."""
    return []


@pytest.fixture
def endpoint(server: StubServer, user: None, pauses: list[float]) -> Endpoint:
    return Endpoint(Access(server.url, "ann"), sleep=pauses.append)


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return compiled("crashchat_pocket_smoke", tmp_path_factory.mktemp("package"))

"""What `kubectl kustomize` makes of every overlay."""

import copy
import shutil

import pytest

from k8s.check import OVERLAYS, Object, render

NAMES = ("local", "staging", "production")


@pytest.fixture(scope="session")
def _rendered() -> dict[str, list[Object]]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is missing, which puts the overlays together (Debian: kubernetes-client)")
    return {name: render(OVERLAYS / name) for name in NAMES}


@pytest.fixture
def rendered(_rendered: dict[str, list[Object]]) -> dict[str, list[Object]]:
    """The objects of each overlay, to be changed at will."""
    return copy.deepcopy(_rendered)


@pytest.fixture(params=NAMES)
def overlay(request: pytest.FixtureRequest, rendered: dict[str, list[Object]]) -> list[Object]:
    """The objects of one overlay."""
    return rendered[request.param]


@pytest.fixture
def production(rendered: dict[str, list[Object]]) -> list[Object]:
    """The objects of the overlay `production`."""
    return rendered["production"]

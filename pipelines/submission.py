"""Sends a compiled pipeline to a Kubeflow Pipelines endpoint."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import kfp
import kfp_server_api
import requests
import urllib3

from hazardline import environment
from hazardline.errors import UserError
from hazardline.recipe import Recipe

from pipelines.package import pipeline_name, pipeline_version, write_package

_TIMEOUT_S = 10
_HEALTH_PATH = "/apis/v2beta1/healthz"


@dataclass(frozen=True)
class Submitted:
    """A run that the endpoint took."""

    run_id: str
    url: str


def submit(recipe: Recipe, host: str, experiment: str, namespace: str, token: str | None, work: Path) -> Submitted:
    """Compile a recipe's pipeline and start a run of it.

    Args:
        recipe: the recipe.
        host: address of the endpoint, with http:// or https://.
        experiment: the experiment that the run belongs to; made if it is not there.
        namespace: namespace of Kubeflow Pipelines in the cluster, or the user's in a multi-user installation.
        token: bearer token, if the endpoint wants one.
        work: folder for the compiled file.

    Raises:
        UserError: the endpoint cannot be reached, is no Kubeflow Pipelines endpoint, or refuses.
    """
    _check_endpoint(host, token)
    package = work / f"{recipe.name}-{pipeline_version(recipe)}.yaml"
    write_package(recipe, package)
    with _clear_errors(host), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        client = kfp.Client(host=host, existing_token=token, namespace=namespace)
        result = client.create_run_from_pipeline_package(
            str(package),
            run_name=f"{pipeline_name(recipe)} {pipeline_version(recipe)}",
            experiment_name=experiment,
            namespace=namespace,
        )
    return Submitted(run_id=result.run_id, url=f"{host.rstrip('/')}/#/runs/details/{result.run_id}")


def _check_endpoint(host: str, token: str | None) -> None:
    """Ask the endpoint for its health first: KFP's client would try for half a minute, then say little."""
    if not host.startswith(("http://", "https://")):
        raise UserError(f"--host {host}: expected an address with http:// or https://")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = requests.get(
            host.rstrip("/") + _HEALTH_PATH, headers=headers, timeout=_TIMEOUT_S, allow_redirects=False
        )
    except requests.RequestException as error:
        raise UserError(
            f"{host}: cannot be reached ({_reason(error)}); check the address, and that a port-forward or a "
            "gateway to the Kubeflow Pipelines API is open"
        ) from None
    if answer.status_code in (301, 302, 303, 307, 308, 401, 403):
        raise UserError(_refused(host, answer.status_code))
    if answer.status_code != requests.codes.ok or "json" not in answer.headers.get("content-type", ""):
        raise UserError(
            f"{host}: answered status {answer.status_code} to {_HEALTH_PATH}; expected the health of a Kubeflow "
            "Pipelines API (version 2)"
        )


@contextlib.contextmanager
def _clear_errors(host: str) -> Iterator[None]:
    try:
        yield
    except kfp_server_api.ApiException as error:
        if error.status in (401, 403):
            raise UserError(_refused(host, error.status)) from None
        raise UserError(f"{host}: refused the run with status {error.status}: {_body(error)}") from None
    except (urllib3.exceptions.HTTPError, TimeoutError) as error:
        raise UserError(f"{host}: was lost on the way ({_reason(error)}); try again") from None


def _refused(host: str, status: int) -> str:
    return (
        f"{host}: refused the credentials (status {status}); the token in {environment.KFP_TOKEN} is missing, "
        "expired or not allowed: get a new one and try again"
    )


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"


def _body(error: kfp_server_api.ApiException) -> str:
    return " ".join(str(error.body or error.reason).split())[:300]

"""One Kubeflow Pipelines API: reached as users of `kfp.Client` reach it, with errors that say what to do.

Who asks is decided in this order: a bearer token (`HAZARDLINE_KFP_TOKEN`) and cookies (`HAZARDLINE_KFP_COOKIES`), the
service-account token that Kubernetes projects into a pod (`KF_PIPELINES_SA_TOKEN_PATH`, or KFP's own place for it), and
what KFP's client finds by itself: its variables for Google's proxy, or a kubeconfig where no host is given.
"""

import contextlib
import http
import io
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import kfp
import kfp.client
import kfp_server_api
import urllib3
from kfp.client.client import KF_PIPELINES_ENDPOINT_ENV, KF_PIPELINES_UI_ENDPOINT_ENV

from hazardline import environment
from hazardline.errors import UserError
from hazardline.redaction import without

T = TypeVar("T")
LIMIT: dict[str, Any] = {"_request_timeout": (5, 60)}
"""Seconds to connect, and for an answer; every request carries it, since KFP's client waits for ever by default."""
_REFUSED = (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN)
_IN_A_POD = "KUBERNETES_SERVICE_HOST"


@dataclass(frozen=True)
class Access:
    """Where an endpoint is, and who asks."""

    host: str | None
    """Address with http:// or https://; None: as KFP's client finds it."""
    namespace: str
    """The user's namespace, where the endpoint has several users; one of a single user is not told."""
    token: str | None = None
    cookies: str | None = None

    def secrets(self) -> list[str | None]:
        """All that an endpoint may be sent and must not be shown, the pod's own token too."""
        pod = _service_account_token()
        values = [cookie.partition("=")[2].strip() for cookie in (self.cookies or "").split(";")]
        return [self.token, self.cookies, *values, pod.read_text().strip() if pod.is_file() else None]

    @classmethod
    def of(cls, host: str | None, namespace: str) -> "Access":
        """With the credentials that the environment holds.

        Raises:
            UserError: no host is given, and there is no other way to find one.
        """
        host = host or os.environ.get(KF_PIPELINES_ENDPOINT_ENV) or None
        if host is not None and not host.startswith(("http://", "https://")):
            raise UserError(f"--host {host}: expected an address with http:// or https://")
        if host is None and _IN_A_POD not in os.environ and not _kubeconfig().is_file():
            raise UserError(
                f"no endpoint: give --host, set {KF_PIPELINES_ENDPOINT_ENV}, or have a kubeconfig ({_kubeconfig()})"
            )
        return cls(host, namespace, environment.kfp_token(), environment.kfp_cookies())


class _Client(kfp.Client):  # type: ignore[misc]
    """KFP's client, but for the health check: it would try for half a minute and print tracebacks."""

    def get_kfp_healthz(self, sleep_duration: int = 0) -> kfp_server_api.V2beta1GetHealthzResponse:
        """Ask once. A login page that answers in the API's place is told from it.

        Raises:
            UserError: what answers is not the API.
        """
        answer = self._healthz_api.healthz_service_get_healthz(_preload_content=False, **LIMIT)
        try:
            found = json.loads(answer.data)
            return kfp_server_api.V2beta1GetHealthzResponse(multi_user=bool(found.get("multi_user", False)))
        except (ValueError, AttributeError):
            raise UserError(
                f"{self._existing_config.host}: answered something else than the health of a Kubeflow Pipelines API "
                "(version 2); expected the health of a Kubeflow Pipelines API: check the address, and that a login "
                f"page does not stand before it ({environment.KFP_COOKIES} takes cookies of a session)"
            ) from None


class Endpoint:
    """An endpoint that has answered once."""

    def __init__(self, access: Access, sleep: Callable[[float], None] = time.sleep, patience_s: float = 60.0) -> None:
        """Connect.

        Args:
            access: where and who.
            sleep: how to wait.
            patience_s: how long a question is repeated while the endpoint fails (500 and above) or is lost.

        Raises:
            UserError: it cannot be reached, refuses the credentials, or is no Kubeflow Pipelines API.
        """
        self.access = access
        self.sleep = sleep
        self.patience_s = patience_s
        self._client = self._connect()
        with self._clear_errors():
            self.is_shared: bool = self._client.get_kfp_healthz().multi_user
            """Whether it has several users, each with a namespace."""

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.access.host or "the endpoint"

    @property
    def namespace(self) -> str | None:
        """What requests say of the namespace."""
        return self.access.namespace if self.is_shared else None

    def run_url(self, run_id: str) -> str:
        """Where people see a run."""
        place = os.environ.get(KF_PIPELINES_UI_ENDPOINT_ENV) or self.access.host or ""
        return f"{place.rstrip('/')}/#/runs/details/{run_id}"

    def ask(self, question: Callable[[Any], T], missing: str | None = None) -> T:
        """Put a question that changes nothing, as often as it takes within the patience.

        Credentials that are refused are fetched anew once: a token in a file may have been renewed.

        Args:
            question: a call of KFP's client.
            missing: message where the endpoint knows no such thing; without it that is an error like others.

        Raises:
            UserError: the endpoint stays away, refuses, or does not know the thing.
        """
        waited_s, pause_s, was_renewed = 0.0, 1.0, False
        while True:
            try:
                return question(self._client)
            except kfp_server_api.ApiException as error:
                if error.status == http.HTTPStatus.NOT_FOUND and missing is not None:
                    raise UserError(missing) from None
                if error.status == http.HTTPStatus.UNAUTHORIZED and not was_renewed:
                    self._client, was_renewed = self._connect(), True
                    continue
                if error.status < http.HTTPStatus.INTERNAL_SERVER_ERROR or waited_s >= self.patience_s:
                    raise UserError(self._explain(error)) from None
            except urllib3.exceptions.HTTPError as error:
                if waited_s >= self.patience_s:
                    raise UserError(self._lost(error)) from None
            self.sleep(pause_s)
            waited_s, pause_s = waited_s + pause_s, min(2 * pause_s, 15.0)

    def tell(self, change: Callable[[Any], T]) -> T | None:
        """Make a change, once: where its answer is lost nobody knows whether it was made.

        Returns:
            None where the endpoint says that the thing is there already (409).

        Raises:
            UserError: the endpoint refuses or was lost.
        """
        try:
            return change(self._client)
        except kfp_server_api.ApiException as error:
            if error.status == http.HTTPStatus.CONFLICT:
                return None
            raise UserError(self._explain(error)) from None
        except urllib3.exceptions.HTTPError as error:
            raise UserError(self._lost(error)) from None

    def _connect(self) -> Any:
        access = self.access
        credentials = None
        if not access.token and not access.cookies and _service_account_token().is_file():
            credentials = kfp.client.ServiceAccountTokenVolumeCredentials()
        quiet = contextlib.redirect_stdout(io.StringIO())
        with self._clear_errors(), quiet, warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return _Client(
                host=access.host, existing_token=access.token, cookies=access.cookies, credentials=credentials
            )

    @contextlib.contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except kfp_server_api.ApiException as error:
            raise UserError(self._explain(error)) from None
        except urllib3.exceptions.HTTPError as error:
            raise UserError(
                f"{self.name}: cannot be reached ({self._reason(error)}); check the address, and that a port-forward "
                "or a gateway to the Kubeflow Pipelines API is open"
            ) from None

    def _explain(self, error: kfp_server_api.ApiException) -> str:
        said = self._said(error)
        if error.status == http.HTTPStatus.UNAUTHORIZED:
            return (
                f"{self.name}: refused the credentials (status 401); the token in {environment.KFP_TOKEN} (or cookies, "
                "or the pod's service account) is missing, expired or not allowed: get a new one and try again"
            )
        if error.status == http.HTTPStatus.FORBIDDEN:
            return (
                f"{self.name}: does not allow that in namespace {self.access.namespace} (status 403: {said}); check "
                "--namespace, and that the account may use Kubeflow Pipelines there"
            )
        if error.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            return f"{self.name}: failed (status {error.status}: {said}); look into the log of its API server"
        return f"{self.name}: refused the request with status {error.status}: {said}"

    def _lost(self, error: BaseException) -> str:
        return f"{self.name}: was lost on the way ({self._reason(error)}); try again"

    def _reason(self, error: BaseException) -> str:
        return f"{type(error).__name__}: {self._shown(str(error))[:200]}"

    def _said(self, error: kfp_server_api.ApiException) -> str:
        """The endpoint's own message."""
        text = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or error.reason)
        with contextlib.suppress(ValueError, AttributeError):
            found = json.loads(text)
            text = str(found.get("message") or found.get("error_message") or found.get("error") or text)
        return self._shown(text)[:300]

    def _shown(self, text: str) -> str:
        """In one line, without credentials."""
        return " ".join(without(text, self.access.secrets()).split())


def _service_account_token() -> Path:
    return Path(os.environ.get(kfp.client.KF_PIPELINES_SA_TOKEN_ENV) or kfp.client.KF_PIPELINES_SA_TOKEN_PATH)


def _kubeconfig() -> Path:
    return Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")

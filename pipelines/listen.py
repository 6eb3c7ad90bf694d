"""From MLflow's webhook to the release pipeline: a new champion is released without a person who starts that.

MLflow tells of every alias that is set, in a body of its own; Kubeflow Pipelines starts a run where it is asked in
another. This stands between the two: it checks MLflow's signature, and starts the release pipeline where the alias
`champion` of one model was set. A repeated delivery starts a run that changes nothing.
"""

import http
import json
import logging
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from hazardline.errors import UserError
from hazardline.notify.signature import MLFLOW, RefusedDeliveryError, verify
from hazardline.register.promote import CHAMPION

MAX_BODY_BYTES = 65_536
_TIMEOUT_S = 10.0
_logger = logging.getLogger(__name__)


def answer(
    headers: Mapping[str, str], body: bytes, secret: str, model_name: str, now_s: float, start: Callable[[], str]
) -> tuple[http.HTTPStatus, str]:
    """What a delivery is answered with.

    Args:
        headers: their names in lower case.
        body: as it came.
        secret: shared with MLflow.
        model_name: whose champion is released.
        now_s: seconds since 1970.
        start: starts the release pipeline and returns the run's id; raises UserError where it cannot.
    """
    try:
        delivery_id = verify(secret, headers, body, now_s, MLFLOW)
    except RefusedDeliveryError as error:
        return http.HTTPStatus.UNAUTHORIZED, f"refused: {error}"
    if not _is_new_champion(body, model_name):
        return http.HTTPStatus.OK, f"delivery {delivery_id}: no new champion of {model_name}"
    try:
        run_id = start()
    except UserError as error:
        _logger.error("delivery %s: %s", delivery_id, error)
        return http.HTTPStatus.SERVICE_UNAVAILABLE, "the release could not be started; try again"  # MLflow does
    return http.HTTPStatus.ACCEPTED, f"delivery {delivery_id}: run {run_id} was started"


def serve(port: int, secret: str, model_name: str, start: Callable[[], str]) -> ThreadingHTTPServer:
    """A server on all addresses of this machine; the caller lets it run. `GET` is answered for probes.

    Arguments as of `answer`.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = _TIMEOUT_S

        def do_GET(self) -> None:
            self._say(http.HTTPStatus.OK, "ready")

        def do_POST(self) -> None:
            length = self.headers.get("content-length", "")
            if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
                self._say(http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {MAX_BODY_BYTES} bytes")
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._say(*answer(headers, self.rfile.read(int(length)), secret, model_name, time.time(), start))

        def _say(self, status: http.HTTPStatus, text: str) -> None:
            body = f"{text}\n".encode()
            self.send_response(status)
            self.send_header("content-type", "text/plain; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            if self.command == "POST":
                _logger.info("%s %s", status.value, text)

        def log_message(self, format: str, *args: object) -> None:
            """Requests are logged by their answers."""

    return ThreadingHTTPServer(("", port), Handler)


def _is_new_champion(body: bytes, model_name: str) -> bool:
    try:
        found = json.loads(body)
        event, data = (found["entity"], found["action"]), found["data"]
        return bool(
            event == ("model_version_alias", "created") and (data["name"], data["alias"]) == (model_name, CHAMPION)
        )
    except (ValueError, KeyError, TypeError):
        return False

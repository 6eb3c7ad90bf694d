"""Starts MLflow's own server over the database that runs log to."""

import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

from hazardline.errors import UserError
from hazardline.tracking import mlflow_home, public_uri, tracking_uri

_HOST = "127.0.0.1"


def serve(port: int) -> NoReturn:
    """Print the address and become MLflow's server (no further process of ours stays behind).

    Raises:
        UserError: runs log to a server already, nothing was ever logged, or the port is taken.
    """
    uri = tracking_uri()
    if uri.startswith(("http://", "https://")):
        raise UserError(f"runs log to {public_uri(uri)} (MLFLOW_TRACKING_URI): open that address in a browser")
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        raise UserError(f"{mlflow_home()}: nothing was logged yet; run `make run` first")
    with socket.socket() as probe:
        if probe.connect_ex((_HOST, port)) == 0:
            raise UserError(f"port {port} is taken; give another one (make ui UI_PORT=5001)")
    print(f"MLflow: http://{_HOST}:{port} (Ctrl-C ends it)", flush=True)
    # Without its job runner the server is 2 processes and 0.5 GB, with it 10 and 2.3 GB.
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    arguments = ["server", "--backend-store-uri", uri, "--host", _HOST, "--port", str(port)]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", *arguments])  # noqa: S606 - an argument list, no shell

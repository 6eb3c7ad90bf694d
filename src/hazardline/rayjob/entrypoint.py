"""What a RayJob runs: `python -m hazardline.rayjob.entrypoint --request ADDRESS/request.json`.

It makes the stage's output as the component would have made it itself, by the same `make_or_reuse`, and leaves a result
beside the request. It is the driver of a Ray that runs already, on the cluster's head.

A cluster that is taken away says so by SIGTERM: training saves and ends, and the result says that it can go on. What
was killed outright leaves no result; KubeRay or the next run starts it anew, and it goes on from its checkpoint.
"""

import argparse
import os
import signal
import sys
import time
import traceback
from types import FrameType

from hazardline import environment
from hazardline.errors import StoppedError, UserError
from hazardline.rayjob.request import (
    PROGRESS_NAME,
    RESULT_NAME,
    Exchange,
    Progress,
    StageRequest,
    StageResult,
    open_exchange,
)
from hazardline.stage_events import USER_ERROR_STATUS
from hazardline.stage_runner import make_or_reuse
from hazardline.stages import stage_named
from hazardline.store import StageRecord, Store

_INTERVAL_S = 2.0
_MAX_NOTES = 1000


def main(arguments: list[str] | None = None) -> int:
    """Run the request; the exit status."""
    parser = argparse.ArgumentParser(description="Run a stage inside of a Ray cluster.")
    parser.add_argument("--request", required=True, help="folder or S3 address of the request document")
    address, _, name = parser.parse_args(arguments).request.rpartition("/")
    os.environ.setdefault("RAY_ADDRESS", "auto")
    signal.signal(signal.SIGTERM, _stop)
    exchange = open_exchange(address)
    result = _result(exchange, name)
    if result.error:  # first: the exchange may be what is broken
        print(result.error, file=sys.stderr, flush=True)
    exchange.write(RESULT_NAME, result.model_dump_json().encode())
    if exchange.read(name) is None:  # the component has left, and nobody else would remove what is written here
        exchange.clear()
    return {"made": 0, "defect": 1}.get(result.state, USER_ERROR_STATUS)


def _result(exchange: Exchange, name: str) -> StageResult:
    """How the request of a name ends."""
    try:
        text = exchange.read(name)
        if text is None:
            raise UserError(f"{exchange.address}/{name}: there is no request; the component that wrote it has ended")
        request = StageRequest.parse_json(text, f"{exchange.address}/{name}")
        return StageResult(state="made", record=run_request(request, ExchangeReporter(exchange)))
    except StoppedError as error:
        return StageResult(state="stopped", error=str(error))
    except UserError as error:
        return StageResult(state="refused", error=str(error))
    except Exception:
        # ends the process all the same (status 1); the log goes with the pod, so the component is given the traceback
        return StageResult(state="defect", error=traceback.format_exc())


def run_request(request: StageRequest, reporter: "ExchangeReporter") -> StageRecord:
    """Make the output that a request asks for, in the store of this process.

    Raises:
        UserError: the code here is not the component's, or what the stage finds wrong.
    """
    stage = stage_named(request.stage)
    if stage.code_digest() != request.code:
        raise UserError(
            f"{stage.name}: the image of the Ray pods holds other code of hazardline than the component's; build both "
            "from one commit, and write both digests into docker/images.lock.yaml"
        )
    config = stage.config_class().parse(request.section, f"section {stage.name}")
    store = Store(environment.store_root())
    try:
        return make_or_reuse(stage, config, request.inputs, store, reporter, key=request.key)
    finally:
        reporter.flush()


def _stop(number: int, frame: FrameType | None) -> None:
    """Where nothing catches SIGTERM (training does): end, and say that nothing is lost."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise StoppedError("stopped by SIGTERM; checkpoints are kept: run again to go on")


class ExchangeReporter:
    """Puts how far the stage is into the exchange, at most every few seconds, and prints it for the job's log."""

    def __init__(self, exchange: Exchange, interval_s: float = _INTERVAL_S) -> None:
        """Write to an exchange."""
        self._exchange, self._interval_s = exchange, interval_s
        self._progress, self._written_at, self._is_written = Progress(), 0.0, True

    def phase(self, name: str, total: int = 0) -> None:
        """Begin a phase."""
        print(f"{name}: {total or ''}", flush=True)
        self._put(self._progress.model_copy(update={"phase": name, "total": total, "done": 0}))

    def advance(self, n: int = 1) -> None:
        """Count."""
        self._put(self._progress.model_copy(update={"done": self._progress.done + n}))

    def note(self, text: str) -> None:
        """Add a note."""
        print(text, flush=True)
        notes = [*self._progress.notes, text][:_MAX_NOTES]
        self._put(self._progress.model_copy(update={"notes": notes}))

    def _put(self, progress: Progress) -> None:
        self._progress, self._is_written = progress, False
        if time.monotonic() - self._written_at >= self._interval_s:
            self.flush()

    def flush(self) -> None:
        """Write what was not written yet. An exchange that is away costs the progress and not the run."""
        if self._is_written:
            return
        try:
            self._exchange.write(PROGRESS_NAME, self._progress.model_dump_json().encode())
        except (UserError, OSError) as error:
            print(f"progress could not be written: {error}", flush=True)
        self._written_at, self._is_written = time.monotonic(), True


if __name__ == "__main__":
    sys.exit(main())

"""What a release of the champion begins from: the outputs of the run that made it, and that it is the champion.

A version that waited for approval is released days after its run, when today's footage is not that run's any more. So
nothing is made again: the records of its run come out of the registry, and the outputs out of the store.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hazardline import environment
from hazardline.champion import ChampionConfig
from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.progress import Reporter, SilentReporter
from hazardline.register.champion import download
from hazardline.register.model import RELEASED_FROM, artifacts_of, record_path
from hazardline.register.promote import CANDIDATE, CHAMPION, PREVIOUS, alias_version
from hazardline.register.stage import REGISTRATION_NAME, Registration
from hazardline.stage_events import told
from hazardline.stage_runner import make_or_reuse
from hazardline.stages import RunFunction, Stage
from hazardline.store import StageRecord, Store
from hazardline.tracking import clear_errors, connect, public_uri, tracking_uri


def recall_run(model_name: str, records: Mapping[str, str]) -> None:
    """The task: write the records of the champion's run.

    Args:
        model_name: the registered model.
        records: stage (those of `RELEASED_FROM`, and register) to the path of the record to write.

    Raises:
        SystemExit: with status 2, after one line on stderr, where there is no champion, or it was not made by the line.
    """
    with told("recall") as emit:
        client = connect()
        version = alias_version(client, model_name, CHAMPION)
        if version is None:
            raise UserError(f"{model_name}: has no champion, so there is nothing to release")
        with clear_errors():
            run_id, place = artifacts_of(client.get_model_version(model_name, str(version)))
        with tempfile.TemporaryDirectory(prefix="hazardline-recall-") as scratch:
            for stage in RELEASED_FROM:
                _record(client, run_id, record_path(place, stage), scratch, model_name, version).write(
                    Path(records[stage])
                )
        note = _Recall(
            name="recall", description="Say who is champion.", is_cacheable=False, version=version, run_id=run_id
        )
        made = make_or_reuse(
            note, ChampionConfig(model_name=model_name), {}, Store(environment.store_root()), SilentReporter()
        )
        made.write(Path(records["register"]))
        emit({"note": f"{model_name}: version {version} is the champion"})
        emit({"state": "done"})


@dataclass(frozen=True, kw_only=True)
class _Recall(Stage):
    """The champion as the register stage would tell of it."""

    version: int
    """The version whose records were recalled: another one may be champion by now."""
    run_id: str

    def config_class(self) -> type[Document]:
        """The name of the model."""
        return ChampionConfig

    def run_function(self) -> RunFunction:
        """Writes the registration."""
        return self._write

    def code_digest(self) -> str:
        """Nothing: it is never reused."""
        return ""

    def _write(
        self, config: ChampionConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter
    ) -> dict[str, Any]:
        client = connect()
        registration = Registration(
            name=config.model_name,
            version=self.version,
            is_new=False,
            aliases=tuple(
                alias
                for alias in (CANDIDATE, CHAMPION, PREVIOUS)
                if alias_version(client, config.model_name, alias) == self.version
            ),
            promoted=True,
            outcome="already_champion",
            reason="is the champion",
            run_id=self.run_id,
            tracking_uri=public_uri(tracking_uri()),
        )
        registration.write(out / REGISTRATION_NAME)
        return registration.data()


def _record(client: Any, run_id: str, path: str, scratch: str, model_name: str, version: int) -> StageRecord:
    with clear_errors():
        names = {item.path for item in client.list_artifacts(run_id, path.rpartition("/")[0])}
    if path not in names:
        raise UserError(
            f"{model_name} version {version}: was registered by hand or before releases could be made apart from the "
            "line; run the line again to release it"
        )
    return StageRecord.read(download(client, run_id, path, scratch))

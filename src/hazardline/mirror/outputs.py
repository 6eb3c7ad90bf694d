"""Outputs of the store in the mirror: a record, and the objects that it names.

    <mirror>/outputs/<stage>/<name>.json    the record of a whole output, written last

Two machines may make the same output at once, and it need not come out the same to the bit: the last record counts, and
whoever has read the other one still finds its objects.
"""

import re
from pathlib import Path

from hazardline import environment
from hazardline.errors import UserError
from hazardline.files import path_inside
from hazardline.mirror.objects import Content, DamagedObjectError, Mirror, object_name
from hazardline.progress import Reporter
from hazardline.store import DamagedError, StageRecord, Store

_STAGE, _NAME = re.compile("[a-z_]+"), re.compile("[0-9a-f]{64}(-[0-9a-f]+)*")
_MARK_DIGITS = 12


class OutputMirror:
    """The outputs of a mirror."""

    def __init__(self, mirror: Mirror) -> None:
        """Use a mirror."""
        self._mirror = mirror

    def keep(self, record: StageRecord, reporter: Reporter) -> None:
        """See that a whole output of this machine is in the mirror, with the clips that lie beside the store.

        Raises:
            UserError: S3 refuses or cannot be reached. The output is whole here, and the next run uploads the rest.
        """
        document = _document(record.stage, record.name)
        if record.cached:
            held = self._mirror.document(document, StageRecord)
            if held is not None and held.content_digest == record.content_digest:
                return
        contents = [Content(record.output / name, file.sha256) for name, file in record.files.items()]
        self._mirror.put(contents + own_clips(record.output), reporter, f"the output of {record.stage}")
        self._mirror.put_document(document, record.model_copy(update={"cached": False}))

    def fetch(self, stage: str, name: str, store: Store, reporter: Reporter) -> StageRecord | None:
        """Take an output into the store; None where the mirror has none. The caller holds the output's lock.

        Raises:
            DamagedError: an object of it is missing or damaged, or a clip that it names is missing.
            UserError: S3 refuses or cannot be reached.
        """
        record = self._mirror.document(_document(stage, name), StageRecord)
        return None if record is None else self._take(record, name, store, reporter, checks_clips=True)

    def present(self, record: StageRecord, store: Store, reporter: Reporter) -> StageRecord:
        """See that an output of which a record was handed on is in the store; returns the record of this store.

        The record says what is fetched: the output that it was written of, whatever was made meanwhile.

        Raises:
            UserError: it is not here, and the mirror lacks an object of it or has it damaged; or S3 refuses.
        """
        _document(record.stage, record.name)  # refuses names that would lead elsewhere
        with store.lock(record.stage, record.name):
            held = self._held(record.stage, record.name, store, reporter)
            if held is None:
                held = self._take_input(record, store, reporter)
        if held.content_digest != record.content_digest:  # of two machines that made the same, one was handed on
            mark = record.content_digest[:_MARK_DIGITS]
            beside = store.output(record.stage, f"{record.name}-{mark}").as_uri()
            return self.present(record.model_copy(update={"uri": beside}), store, reporter)
        return record.model_copy(update={"uri": held.uri})

    def _held(self, stage: str, name: str, store: Store, reporter: Reporter) -> StageRecord | None:
        try:
            return store.find(stage, name)
        except DamagedError as error:
            reporter.note(f"the stored output is damaged and is fetched again: {error}")
            store.remove(stage, name)
            return None

    def _take_input(self, record: StageRecord, store: Store, reporter: Reporter) -> StageRecord:
        try:
            return self._take(record, record.name, store, reporter)
        except DamagedError as error:
            raise UserError(
                f"the output of {record.stage} is neither here nor whole in the mirror: {error}; run the line again: "
                f"{record.stage} makes it anew"
            ) from None

    def _take(
        self, record: StageRecord, name: str, store: Store, reporter: Reporter, checks_clips: bool = False
    ) -> StageRecord:
        here = record.model_copy(update={"uri": store.output(record.stage, name).as_uri()})
        with store.making(record.stage, name) as out:
            contents = [Content(_inside(out, name), file.sha256) for name, file in record.files.items()]
            try:
                self._mirror.fetch(contents, reporter, f"the output of {record.stage}")
            except DamagedObjectError as error:
                raise DamagedError(str(error)) from None
            absent = self._mirror.lacks(own_clips(out)) if checks_clips else []
            if absent:
                raise DamagedError(f"{self._mirror.address(object_name(absent[0].sha256))} is missing, a clip of it")
            store.keep(record.stage, name, here)
        return here


def own_clips(output: Path) -> list[Content]:
    """The clips that an output names and that lie in the data set store: nobody else could give them to others."""
    from hazardline.tables import SCENES, read_rows  # pyarrow, which a device does without

    if not (output / SCENES.file_name).is_file():
        return []
    media = environment.datasets_root() / "media"
    rows = read_rows(SCENES, output, ("video_uri", "sha256"))
    clips = (Content(Path(row["video_uri"]), row["sha256"]) for row in rows)
    return [clip for clip in clips if clip.path.is_relative_to(media)]


def _inside(out: Path, name: str) -> Path:
    path = path_inside(out, name)
    if path is None:
        raise DamagedError(f"{name} lies outside of the output")
    return path


def _document(stage: str, name: str) -> str:
    if not (_STAGE.fullmatch(stage) and _NAME.fullmatch(name)):
        raise UserError(f"a record names the output {stage}/{name}, which no stage has written; run the line again")
    return f"outputs/{stage}/{name}.json"

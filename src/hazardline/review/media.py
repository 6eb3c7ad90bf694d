"""Where Label Studio finds the clips: below a folder that it serves, below an address, or in a bucket."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import quote

from hazardline.errors import UserError

LOCAL_SERVING = "/data/local-files/?d="
"""Label Studio's local storage: the path behind it counts from `LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT`."""
MEDIA_FOLDER = "media"


@dataclass(frozen=True)
class MediaPlan:
    """How the tasks name their media.

    Attributes:
        take: leave the files where they are, copy them into the project, or link them from there.
        url_prefix: an address that serves the folder of the files; None for local storage.
        document_root: the folder that Label Studio serves; by default the project (copied or linked files), else `/`.
    """

    take: Literal["leave", "copy", "link"] = "leave"
    url_prefix: str | None = None
    document_root: Path | None = None


def place_media(path: str, number: int, project: Path, final: Path, plan: MediaPlan) -> str:
    """Copy or link one file if asked to, and return the address of a task's media.

    Args:
        path: of the file, or an address (`s3://`), which is taken as it is.
        number: of the clip in the sample; it keeps names apart.
        project: folder in the making.
        final: where the project will be.
        plan: what to do.

    Raises:
        UserError: the file is gone, or lies outside the folder that is served.
    """
    if "://" in path:
        if plan.take != "leave":
            raise UserError(f"{path}: is not on this machine; give no --copy-media and connect the bucket as a storage")
        return path
    source = Path(path)
    if not source.is_file():
        raise UserError(f"{path}: no such file; it was there when the clip was ingested. Run ingest again")
    if plan.take != "leave":
        name = f"{number:04}-{source.name}"
        target = project / MEDIA_FOLDER / name
        target.parent.mkdir(exist_ok=True)
        if plan.take == "copy":
            shutil.copyfile(source, target)
        else:
            target.symlink_to(source.absolute())
        source = final / MEDIA_FOLDER / name
    if plan.url_prefix is not None:
        return f"{plan.url_prefix.rstrip('/')}/{quote(_below(source, plan, final))}"
    return LOCAL_SERVING + quote(_below(source, plan, final))


def _below(source: Path, plan: MediaPlan, final: Path) -> str:
    """The path as it counts from the served folder."""
    default = Path("/") if plan.take == "leave" else final
    root = (plan.document_root or default).absolute()
    relative = os.path.relpath(source.absolute(), root)
    if relative.startswith(".."):
        raise UserError(
            f"{source}: lies outside {root}, which Label Studio serves; give --document-root a folder above the clips, "
            "or --copy-media"
        )
    return PurePosixPath(relative).as_posix()

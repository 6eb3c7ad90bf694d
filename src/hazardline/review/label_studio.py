"""A review's project on a Label Studio server, through its SDK (`label-studio-sdk` 2, the extra `review`)."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import canonicalize

from hazardline import environment
from hazardline.errors import UserError
from hazardline.files import write_atomic
from hazardline.redaction import without
from hazardline.review.export_file import MAX_EXPORT_BYTES
from hazardline.review.labeling_tasks import SAMPLE_KEY
from hazardline.review.problems import shown
from hazardline.review.project import read_tasks

_BATCH = 100
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Pushed:
    """What a push did."""

    project_id: int
    num_created: int
    num_present: int


@contextmanager
def connected(url: str) -> Iterator[Any]:
    """A client of the SDK with the key of the environment; its connections are closed at the end.

    Raises:
        UserError: the SDK is not installed, there is no key, or the address is none.
    """
    if not url.startswith(("http://", "https://")):
        raise UserError(f"--url {url}: expected the http(s) address of a Label Studio server")
    try:
        sdk = importlib.import_module("label_studio_sdk")
    except ImportError as error:
        raise UserError(
            f"the SDK of Label Studio cannot be imported ({error}); pip install 'hazardline[review]', or import "
            "tasks.json and export by hand in its user interface"
        ) from None
    key = environment.label_studio_key()
    if key is None:
        raise UserError(
            f"{environment.LABEL_STUDIO_KEY} is not set; put an access token of your Label Studio account there (user "
            "interface: Account & Settings)"
        )
    httpx = importlib.import_module("httpx")
    with httpx.Client(timeout=_TIMEOUT_S, follow_redirects=True) as http:
        with _mended(url):
            client = sdk.LabelStudio(base_url=url.rstrip("/"), api_key=key, httpx_client=http)
        yield client


def push(folder: Path, client: Any, url: str, title: str, num_reviewers: int = 1) -> Pushed:
    """Put a sample's tasks into the project of a title, which is made where there is none.

    Tasks that are there already stay untouched, so that a push may be repeated.

    Args:
        folder: of `review sample`.
        client: of `connected`.
        url: for messages.
        title: of the project.
        num_reviewers: annotations that a task waits for, in a new project.

    Raises:
        UserError: the server refuses, or the project has another labeling configuration.
    """
    config, tasks = read_tasks(folder)
    with _mended(url):
        project = _project(client, title)
        if project is None:
            project = client.projects.create(
                title=title,
                label_config=config,
                maximum_annotations=num_reviewers,
                show_collab_predictions=True,
            )
        elif canonicalize(client.projects.get(project.id).label_config, strip_text=True) != canonicalize(
            config, strip_text=True
        ):
            raise UserError(
                f"{url}: the project {title!r} has another labeling configuration than {folder}; give another --project"
            )
        present = _present(client, project.id)
        missing = [task for task in tasks if (task["data"][SAMPLE_KEY], task["data"]["clip_id"]) not in present]
        for start in range(0, len(missing), _BATCH):
            client.projects.import_tasks(id=project.id, request=missing[start : start + _BATCH])
    return Pushed(project.id, len(missing), len(tasks) - len(missing))


def pull(client: Any, url: str, title: str, out: Path) -> int:
    """Write the project's export (JSON, tasks without an annotation too) to a file; returns its size in bytes.

    Raises:
        UserError: there is no such project, or the server refuses.
    """
    data = bytearray()
    with _mended(url):
        project = _project(client, title)
        if project is None:
            raise UserError(f"{url}: has no project {title!r}; push the sample first")
        for chunk in client.projects.exports.download_sync(project.id, export_type="JSON", download_all_tasks=True):
            data += chunk
            if len(data) > MAX_EXPORT_BYTES:
                raise UserError(f"{url}: the export has more than {MAX_EXPORT_BYTES} bytes; export fewer tasks by hand")
    write_atomic(out, bytes(data))
    return len(data)


def _present(client: Any, project_id: int) -> set[tuple[Any, Any]]:
    """Sample and clip of every task of a project."""
    found: dict[int, tuple[Any, Any]] = {}
    for task in client.tasks.list(project=project_id):
        if task.id in found:  # a server that knows no pages gives the first one again and again
            break
        found[task.id] = task.data.get(SAMPLE_KEY), task.data.get("clip_id")
    return set(found.values())


def _project(client: Any, title: str) -> Any | None:
    found = [project for project in client.projects.list(title=title) if project.title == title]
    if len(found) > 1:
        numbers = ", ".join(str(project.id) for project in found)
        raise UserError(f"there are {len(found)} projects {title!r} (numbers {numbers}); rename one of them")
    return found[0] if found else None


@contextmanager
def _mended(url: str) -> Iterator[None]:
    """Turns what the server or the way to it refuses into one line."""
    httpx = importlib.import_module("httpx")
    api_error = importlib.import_module("label_studio_sdk.core.api_error").ApiError
    try:
        yield
    except api_error as error:
        hint = {
            401: "the key in the environment is not one of this server",
            403: "the account may not do this",
            404: "no Label Studio server, or one of the Enterprise edition: there import and export by hand",
        }.get(error.status_code, "see the server's log")
        said = shown(_without_key(error.body))
        raise UserError(f"{url}: refused with status {error.status_code} ({hint}): {said}") from None
    except httpx.HTTPError as error:
        said = shown(_without_key(error))
        raise UserError(f"{url}: cannot be reached ({type(error).__name__}: {said})") from None


def _without_key(said: object) -> str:
    return without(str(said), [environment.label_studio_key()])

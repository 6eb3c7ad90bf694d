"""Which version of a data set holds given content."""

from hazardline.datasets.document import DatasetVersion
from hazardline.datasets.store import DatasetStore


def version_with(store: DatasetStore, name: str, content_digest: str) -> DatasetVersion | None:
    """The newest version of a data set with this content, from its head back; None where there is none.

    Raises:
        UserError: the head or a version between cannot be read.
    """
    version = store.head(name)
    while version is not None and version.content_digest != content_digest:
        if version.parent is None:
            return None
        version = store.version(version.parent)
    return version

"""Weights of the Hugging Face hub, through its own library and its own cache: offline where that is filled."""

import re
from collections.abc import Sequence
from pathlib import Path

from hazardline.errors import UserError
from hazardline.files import sha256_file

_SHA256 = re.compile(r"[0-9a-f]{64}")


def snapshot(repository: str, commit: str, wanted: Sequence[str]) -> Path:
    """Folder of a repository's files at a commit. `HF_HOME`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean what they mean there.

    Args:
        repository: `owner/name`.
        commit: 40 hexadecimal digits.
        wanted: patterns of file names; files in folders are never taken.

    Raises:
        UserError: no network, no such repository or commit, a gated repository, or a damaged download.
    """
    from huggingface_hub import errors, snapshot_download

    named = f"hub:{repository}@{commit}"
    try:
        folder = snapshot_download(
            repository, revision=commit, allow_patterns=list(wanted), ignore_patterns=["*/*"], max_workers=4
        )
    except errors.GatedRepoError:
        raise UserError(
            f"{named}: the repository is gated; accept its terms on https://huggingface.co/{repository} and set "
            "HF_TOKEN"
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(
            f"{named}: the repository has no such commit; look with `git ls-remote https://huggingface.co/{repository}`"
        ) from None
    except errors.RepositoryNotFoundError:
        raise UserError(f"{named}: no such repository, or a private one (then set HF_TOKEN)") from None
    except errors.LocalEntryNotFoundError as error:
        raise UserError(
            f"{named}: the hub cannot be reached and its files are not in the cache of this machine "
            f"({_short(error)}); go online once, or copy the files and give their folder or s3://bucket/prefix"
        ) from None
    except (errors.HfHubHTTPError, OSError) as error:
        raise UserError(f"{named}: the download failed ({_short(error)}); run again, it goes on where it was") from None
    _check(Path(folder), named)
    return Path(folder)


def _check(folder: Path, named: str) -> None:
    """Large files of the hub's cache are named by their SHA-256."""
    for path in sorted(folder.iterdir()):
        digest = path.resolve().name
        if path.is_symlink() and _SHA256.fullmatch(digest) and sha256_file(path) != digest:
            raise UserError(f"{named}: {path} is damaged; remove that file, and the one it points to, and run again")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]

"""What a score is a score of: digests of base, adapters, test data and layout, prompt version, commit of the code."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import hazardline
from hazardline.evaluate.document import Identity
from hazardline.evaluate.testset import Splits
from hazardline.files import sha256_tree
from hazardline.tasks import Branch
from hazardline.train.base import base_digest
from hazardline.vlm.layout import LAYOUT_NAME, Layout

UNKNOWN_COMMIT = "unknown"


def identify(base: Path, adapters: Mapping[Branch, Path], splits: Splits) -> Identity:
    """The identity of an evaluation's scores."""
    return Identity(
        base_digest=base_digest(base),
        adapters_digest={branch: sha256_tree(folder) for branch, folder in adapters.items()},
        test_data_digest=splits.test_digest(),
        layout_digest=Layout.read(base / LAYOUT_NAME).digest(),
        prompt_version=splits.prompt_version,
        code_commit=code_commit(Path(hazardline.__file__).parent),
    )


def code_commit(folder: Path) -> str:
    """The git commit of the checkout that tracks a package's folder, with `-dirty` where files below it differ.

    `unknown` where no checkout tracks it (an installed wheel), or without git.
    """
    is_tracked = _git(folder, "ls-files", "--error-unmatch", "__init__.py") is not None
    commit = _git(folder, "rev-parse", "HEAD") if is_tracked else None
    if not commit:
        return UNKNOWN_COMMIT
    changes = _git(folder, "status", "--porcelain", "--", ".")
    return f"{commit}-dirty" if changes else commit


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - git from the path, as everywhere
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None

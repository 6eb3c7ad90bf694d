"""A copy of this checkout with a made-up secret wherever a real one may lie, and the same in a build's environment."""

import re
import shutil
import subprocess
from pathlib import Path

from hazardline import environment
from tests.docker.checkout import ROOT

MARK = b"canary-of-a-build-4f1d9c-"
"""How every planted secret begins: one search finds them all. Two digits say where it was planted."""
CANARY = re.compile(re.escape(MARK) + rb"\d\d")
CANARY_BYTES = len(MARK) + 2
FILES = (
    ".env",
    ".git-credentials",
    ".git/credentials",
    ".hazardline/demo-signing-keys/root.pem",
    ".hazardline/services/env",
    ".hazardline/services/secrets/mlflow-password",
    "docker/registry.pem",
    "docker/.env",
    "id_ed25519",
    "k8s/secrets.env",
    "pipelines/.env",
    "src/hazardline/.env",
    "src/hazardline/.env.local",
    "src/hazardline/release/snapshot.pem",
    "src/hazardline/services/tls.key",
)
"""Where they are planted; the last ones beside code that belongs into an image."""
VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    environment.ANNOTATOR_KEY,
    environment.KFP_COOKIES,
    environment.KFP_TOKEN,
    environment.LABEL_STUDIO_KEY,
    environment.MLFLOW_WEBHOOK_SECRET,
    environment.WEBHOOK_SECRET,
)


def canary(place: str) -> str:
    """The secret of a file or a variable."""
    return f"{MARK.decode()}{[*FILES, *VARIABLES].index(place):02}"


def plant(folder: Path) -> Path:
    """Make the copy: what git would commit here, as it lies here, with a history.

    Args:
        folder: made; canaries lie in `FILES`.
    """
    subprocess.run(["git", "clone", "--quiet", "--no-checkout", ROOT, folder], check=True)
    subprocess.run(["git", "reset", "--quiet"], cwd=folder, check=True)  # so that git can tell whether it was changed
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():  # neither deleted here nor a link to a folder
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for name in FILES:
        path = folder / name
        assert not path.exists(), f"{name} belongs to the checkout; plant the canary elsewhere"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{canary(name)}\n")
    return folder


def secret_variables() -> dict[str, str]:
    """The environment of a build."""
    return {name: canary(name) for name in VARIABLES}

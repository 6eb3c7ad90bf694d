"""Every environment variable of its own that hazardline reads.

They carry secrets and addresses, and with what a cluster trains (`HAZARDLINE_RAYJOB`); everything else is in a recipe,
which is the same everywhere. Variables of other software (`MLFLOW_*`, `AWS_*`) mean what they mean there.
"""

import os
from pathlib import Path

from hazardline.errors import UserError

HOME = "HAZARDLINE_HOME"
"""Folder of everything that runs leave behind (default `.hazardline` in the working folder)."""
STORE = "HAZARDLINE_STORE"
"""Folder of the content-addressed store (default `store` below the home)."""
STORE_MIRROR = "HAZARDLINE_STORE_MIRROR"
"""`s3://bucket/prefix` through which the store, clips and data set versions reach other machines (default: none)."""
DATASETS = "HAZARDLINE_DATASETS"
"""Folder of data set versions and of clips that lie nowhere else (default `datasets` below the home)."""
SERVICES = "HAZARDLINE_SERVICES"
"""Folder of the shared services of this machine (default `services` below the home)."""
REPOSITORY = "HAZARDLINE_REPOSITORY"
"""Where releases go whose recipe names no destination: a folder or `s3://bucket/prefix` (default `repository` below the
home)."""
SIGNING_KEYS = "HAZARDLINE_SIGNING_KEYS"
"""Folder of the keys that sign releases, where the recipe names none (default `demo-signing-keys` below the home)."""
EVENTS = "HAZARDLINE_EVENTS"
"""File to which stages append their progress events; without it they go nowhere."""
KFP_TOKEN = "HAZARDLINE_KFP_TOKEN"
"""Bearer token for a Kubeflow Pipelines endpoint (`python -m pipelines submit` and `schedule`)."""
KFP_COOKIES = "HAZARDLINE_KFP_COOKIES"
"""Cookies of a session for an endpoint behind a login page, as a browser sends them: `name=value; name=value`."""

RAYJOB = "HAZARDLINE_RAYJOB"
"""JSON of `hazardline.rayjob.config.RayJobConfig`: train runs as a RayJob with these settings (default: in process)."""
S3_ENDPOINT = "HAZARDLINE_S3_ENDPOINT"
"""Address of the S3 service for all that lies in S3 (default: AWS). Credentials are boto3's affair."""

LABEL_STUDIO_KEY = "HAZARDLINE_LABEL_STUDIO_KEY"
"""Key of a Label Studio account (`hazardline review push` and `pull`)."""
ANNOTATOR_KEY = "HAZARDLINE_ANNOTATOR_KEY"
"""API key of the endpoint that annotates (`synthesize.annotator: endpoint`); a server of your own may need none."""
ANNOTATOR_URL = "HAZARDLINE_ANNOTATOR_URL"
"""Address of that endpoint up to and with `/v1`, where the recipe names none (default: OpenAI's)."""
WEBHOOK_SECRET = "HAZARDLINE_WEBHOOK_SECRET"
"""Shared with whoever receives the notices of scheduled runs (recipe section `retrain`): their signatures are made
with it."""
MLFLOW_WEBHOOK_SECRET = "HAZARDLINE_MLFLOW_WEBHOOK_SECRET"
"""Shared with MLflow, which signs with it what it tells `python -m pipelines listen` of its registry."""


def home() -> Path:
    """Folder of runs and store, absolute."""
    return Path(os.environ.get(HOME) or ".hazardline").absolute()


def store_root() -> Path:
    """Folder of the content-addressed store, absolute."""
    value = os.environ.get(STORE)
    return Path(value).absolute() if value else home() / "store"


def store_mirror() -> str | None:
    """Address of the store's mirror, if one was given."""
    return os.environ.get(STORE_MIRROR) or None


def datasets_root() -> Path:
    """Folder of the data sets' versions, absolute."""
    value = os.environ.get(DATASETS)
    return Path(value).absolute() if value else home() / "datasets"


def services_root() -> Path:
    """Folder of the shared services of this machine, absolute."""
    value = os.environ.get(SERVICES)
    return Path(value).absolute() if value else home() / "services"


def repository() -> str:
    """Folder or s3:// address of releases whose recipe names no destination."""
    return os.environ.get(REPOSITORY) or str(home() / "repository")


def signing_keys() -> Path:
    """Folder of the keys that sign releases, absolute, where the recipe names none."""
    value = os.environ.get(SIGNING_KEYS)
    return Path(value).absolute() if value else home() / "demo-signing-keys"


def digests_path() -> Path:
    """File that remembers digests of files outside of the store, absolute."""
    return datasets_root() / "digests.sqlite"


def events_path() -> Path | None:
    """File to which stages append their progress events, if one was asked for."""
    value = os.environ.get(EVENTS)
    return Path(value).absolute() if value else None


def s3_endpoint() -> str | None:
    """Address of the S3 service, if one was given."""
    return os.environ.get(S3_ENDPOINT) or None


def label_studio_key() -> str | None:
    """Key of a Label Studio account, if one was given."""
    return _for_header(LABEL_STUDIO_KEY)


def kfp_token() -> str | None:
    """Bearer token for a Kubeflow Pipelines endpoint, if one was given."""
    return _for_header(KFP_TOKEN)


def kfp_cookies() -> str | None:
    """Cookies for a Kubeflow Pipelines endpoint, if any were given."""
    return _for_header(KFP_COOKIES)


def annotator_key() -> str | None:
    """API key of the endpoint that annotates, if one was given."""
    return _for_header(ANNOTATOR_KEY)


def annotator_url() -> str | None:
    """Address of the endpoint that annotates, if one was given."""
    return os.environ.get(ANNOTATOR_URL) or None


def webhook_secret() -> str | None:
    """Secret of the notices' webhook, if one was given."""
    return os.environ.get(WEBHOOK_SECRET) or None


def mlflow_webhook_secret() -> str | None:
    """Secret of MLflow's webhook, if one was given."""
    return os.environ.get(MLFLOW_WEBHOOK_SECRET) or None


def _for_header(name: str) -> str | None:
    """A secret that goes into an HTTP header; a newline at its end, as files have one, does not belong to it.

    Raises:
        UserError: no header may hold it. What sends headers would show it, in a traceback.
    """
    value = os.environ.get(name, "").strip()
    if not (value.isascii() and value.isprintable()):
        raise UserError(f"{name}: holds a line break or another character that no HTTP header may; set it anew")
    return value or None

"""Has MLflow tell the release listener of its registry: `set_webhook.py` in a pod of the server, the secret on stdin.

Run again with another secret, it changes that one.
"""

import os
import sys

from mlflow import MlflowClient

NAME = "hazardline-release"
LISTENER = "http://release-listener.hazardline.svc.cluster.local/"
EVENTS = ["model_version_alias.created"]


def main(secret: str) -> None:
    """Speak to the server of this pod as its administrator: webhooks are that one's alone."""
    os.environ["MLFLOW_TRACKING_USERNAME"] = "admin"
    os.environ["MLFLOW_TRACKING_PASSWORD"] = os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"]
    client = MlflowClient("http://localhost:5000")
    found, token = [], None
    while not found:
        page = client.list_webhooks(page_token=token)
        found, token = [hook for hook in page if hook.name == NAME], page.token
        if not token:
            break
    if found:
        client.update_webhook(found[0].webhook_id, url=LISTENER, events=EVENTS, secret=secret)
    else:
        client.create_webhook(NAME, LISTENER, EVENTS, secret=secret)
    print(f"webhook {NAME} tells {LISTENER}")


if __name__ == "__main__":
    main(sys.stdin.read().strip())

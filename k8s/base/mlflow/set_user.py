"""Makes an MLflow user, or gives it a new password: `set_user.py NAME` in a pod of the server, password on stdin."""

import os
import sys

from mlflow.exceptions import MlflowException
from mlflow.server import get_app_client


def main(user: str, password: str) -> None:
    """Speak to the server of this pod as its administrator."""
    os.environ["MLFLOW_TRACKING_USERNAME"] = "admin"
    os.environ["MLFLOW_TRACKING_PASSWORD"] = os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"]
    client = get_app_client("basic-auth", tracking_uri="http://localhost:5000")
    try:
        client.create_user(user, password)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        client.update_user_password(user, password)
    print(f"{user} may log in")


if __name__ == "__main__":
    main(sys.argv[1], sys.stdin.read().strip())

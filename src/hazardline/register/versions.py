"""All versions of a registered model, however many pages the registry needs for them."""

from typing import Any

from hazardline.tracking import clear_errors

_PAGE = 200


def all_versions(client: Any, model_name: str) -> list[Any]:
    """All versions of a model, oldest first; none where there is no such model.

    Raises:
        UserError: MLflow cannot be reached.
    """
    rows, token = [], None
    with clear_errors():
        while True:
            page = client.search_model_versions(
                f"name = '{model_name}'", max_results=_PAGE, page_token=token, order_by=["version_number ASC"]
            )
            rows.extend(page)
            token = page.token
            if not token:
                return sorted(rows, key=lambda row: int(row.version))

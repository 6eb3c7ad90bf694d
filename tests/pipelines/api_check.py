"""Checks requests and answers of a stub of KFP's API: with KFP's own OpenAPI document, or with the client's models.

The document is not in this repository: its folder is named by HAZARDLINE_TEST_KUBERNETES. It knows addresses,
parameters and bodies; the models of `kfp_server_api`, which are made from it, know the bodies alone.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl

import jsonschema
import kfp_server_api

VARIABLE = "HAZARDLINE_TEST_KUBERNETES"
DOCUMENT = "kfp_v2beta1.swagger.json"


class Check(Protocol):
    """Says what is wrong with a request or an answer; None where nothing is."""

    def request(self, method: str, path: str, query: str, model: str | None, body: Any) -> str | None:
        """Look at a request. `model` names what its body is; None where it has none, or is a file."""
        ...

    def answer(self, model: str, body: Any) -> str | None:
        """Look at what the stub is about to answer."""
        ...


def document_path() -> Path | None:
    """Where KFP's OpenAPI document lies, if anybody has said so."""
    folder = os.environ.get(VARIABLE)
    return Path(folder) / DOCUMENT if folder else None


class OpenApiCheck:
    """KFP's own document. What it does not name is refused, which it does not say itself."""

    def __init__(self, document: Path) -> None:
        data = json.loads(document.read_text())
        self._definitions = {name: _closed(schema) for name, schema in data["definitions"].items()}
        self._paths = {
            re.compile("^" + re.sub(r"\\\{[^}]*\\\}", "[^/:]+", re.escape(path)) + "$"): operations
            for path, operations in data["paths"].items()
        }

    def request(self, method: str, path: str, query: str, model: str | None, body: Any) -> str | None:
        operations = [
            found[method.lower()] for form, found in self._paths.items() if form.match(path) and method.lower() in found
        ]
        if not operations:
            return f"KFP has no {method} {path}"
        parameters = {item["name"]: item for operation in operations for item in operation.get("parameters", [])}
        unknown = [name for name, _ in parse_qsl(query) if parameters.get(name, {}).get("in") != "query"]
        if unknown:
            return f"{method} {path} has no parameter {unknown[0]}"
        declared = [item["schema"]["$ref"].rpartition("/")[2] for item in parameters.values() if item["in"] == "body"]
        if declared != ([model] if model is not None else []):
            return f"{method} {path}: expected a body {declared}, the stub looks for {model}"
        return self.answer(model, body) if model is not None else None

    def answer(self, model: str, body: Any) -> str | None:
        schema = {"$ref": f"#/definitions/{model}", "definitions": self._definitions}
        try:
            jsonschema.Draft4Validator(schema).validate(body)
        except jsonschema.ValidationError as error:
            return f"{model}: {'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"
        return None


class ModelCheck:
    """The models of `kfp_server_api`: names of fields, and the kinds of their values."""

    def request(self, method: str, path: str, query: str, model: str | None, body: Any) -> str | None:
        return self.answer(model, body) if model is not None else None

    def answer(self, model: str, body: Any) -> str | None:
        return _differs(model[0].upper() + model[1:], body, model)


def _closed(schema: Any) -> Any:
    """A schema in which objects may hold what they name and nothing else."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    closed = {key: _closed(value) for key, value in schema.items() if key != "format"}
    if isinstance(schema.get("properties"), Mapping) and "additionalProperties" not in schema:
        closed["additionalProperties"] = False
    return closed


_PLAIN: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "datetime": str,
    "int": int,
    "bool": bool,
    "float": (int, float),
    "object": object,
}


def _differs(kind: str, value: Any, where: str) -> str | None:
    """What of a value is otherwise than the model of that kind has it."""
    if kind.startswith("list["):
        items = value if isinstance(value, list) else [None]
        return next((found for item in items if (found := _differs(kind[5:-1], item, where))), None)
    if kind.startswith("dict("):
        return None if isinstance(value, dict) else f"{where}: expected an object, got {value!r}"
    if kind in _PLAIN:
        return None if isinstance(value, _PLAIN[kind]) else f"{where}: expected {kind}, got {value!r}"
    model = getattr(kfp_server_api, kind)
    allowed = getattr(model, "allowable_values", None)
    if allowed is not None:
        return None if value in allowed else f"{where}: expected one of {allowed}, got {value!r}"
    if not isinstance(value, dict):
        return f"{where}: expected an object, got {value!r}"
    names = {key: model.openapi_types[name] for name, key in model.attribute_map.items()}
    unknown = sorted(set(value) - set(names))
    if unknown:
        return f"{where}: has no field {unknown[0]}"
    return next((found for key, item in value.items() if (found := _differs(names[key], item, f"{where}.{key}"))), None)

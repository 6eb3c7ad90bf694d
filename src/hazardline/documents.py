"""Strict, frozen documents: recipe sections, manifests and reports, with one-line errors that name the field."""

import json
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from hazardline.errors import UserError
from hazardline.files import canonical_json, sha256_bytes, write_json


class Document(BaseModel):
    """Base of everything that is read from outside: no unknown keys, no silent conversions, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, value: Any, origin: str) -> Self:
        """Validate plain data (what JSON or YAML gave).

        Raises:
            UserError: one line per wrong field: where it stands, what is wrong, what is allowed.
        """
        try:
            return cls.model_validate_json(json.dumps(value))
        except (ValidationError, TypeError, ValueError) as error:
            raise UserError(explain(error, origin, cls)) from None

    @classmethod
    def parse_json(cls, text: str | bytes, origin: str) -> Self:
        """Validate a JSON text; errors as in `parse`."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise UserError(explain(error, origin, cls)) from None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a JSON file; errors name the file."""
        try:
            text = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); expected a {cls.__name__} document") from None
        return cls.parse_json(text, str(path))

    def data(self) -> dict[str, Any]:
        """Plain data, as it stands in JSON."""
        value: dict[str, Any] = self.model_dump(mode="json")
        return value

    def write(self, path: Path) -> None:
        """Write as indented JSON, atomically."""
        write_json(path, self.data())

    def reads_unseen(self) -> bool:
        """Whether a stage of these settings reads what no cache key sees (a bucket): it then runs every time."""
        return False

    def digest(self) -> str:
        """Hex SHA-256 of the canonical JSON form."""
        return sha256_bytes(canonical_json(self.data()))


def explain(error: Exception, origin: str, model: type[BaseModel]) -> str:
    """One line a problem: `recipe.yaml: train.learning_rate: should be a number, got 'fast'`."""
    if not isinstance(error, ValidationError):
        return f"{origin}: {error}"
    lines = []
    for item in error.errors(include_url=False):
        field = ".".join(str(part) for part in item["loc"]) or "(document)"
        if item["type"] == "extra_forbidden":
            allowed = ", ".join(sorted(_fields_at(model, item["loc"][:-1])))
            lines.append(f"{origin}: {field}: unknown key" + (f"; allowed here: {allowed}" if allowed else ""))
        elif item["type"] == "missing":
            lines.append(f"{origin}: {field}: missing, and it has no default")
        elif item["type"] == "json_invalid":
            lines.append(f"{origin}: not valid JSON: {item['msg']}")
        elif item["type"] == "value_error":  # of a validator: it speaks of several fields, and says all there is to say
            where = f"{field}: " if item["loc"] else ""
            lines.append(f"{origin}: {where}{item['msg'].removeprefix('Value error, ')}")
        else:
            lines.append(f"{origin}: {field}: {item['msg']}, got {_short(item['input'])}")
    return "\n".join(lines)


def _short(value: Any, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}..."


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    current: Any = model
    for part in location:
        if isinstance(part, int):
            continue
        named = {field.alias or name: field for name, field in current.model_fields.items()}
        info = named.get(part)
        if info is None:
            return []
        candidates = [info.annotation, *getattr(info.annotation, "__args__", ())]
        nested = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not nested:
            return []
        current = nested[0]
    return [field.alias or name for name, field in current.model_fields.items()]


def read_yaml(path: Path) -> Any:
    """Plain data of a YAML file.

    Raises:
        UserError: unreadable, not UTF-8, not YAML, or a key given twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a YAML file ({error})") from None
    try:
        loader = _StrictLoader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice (YAML would keep the last one without a word)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)

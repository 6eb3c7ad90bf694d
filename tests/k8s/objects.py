"""Looking things up among rendered objects, and in the guide."""

import re
from pathlib import Path

from k8s.check import Object

GUIDE = (Path(__file__).parents[2] / "k8s" / "README.md").read_text()
_UNITS = {None: 1, "m": 0.001, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def get(objects: list[Object], kind: str, name: str) -> Object:
    """The one object of a kind and name."""
    found = [item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} objects {kind} {name}"
    return found[0]


def names(objects: list[Object], kind: str) -> set[str]:
    """Names of all objects of a kind."""
    return {item["metadata"]["name"] for item in objects if item["kind"] == kind}


def amount(quantity: str) -> float:
    """Bytes, cores or pieces, of an amount as Kubernetes writes it."""
    number, unit = re.fullmatch(r"(\d+)(m|Mi|Gi|Ti)?", quantity).groups()  # type: ignore[union-attr]
    return int(number) * _UNITS[unit]


def documented_secrets() -> dict[str, set[str]]:
    """Secrets that the guide's commands make, with their keys."""
    found: dict[str, set[str]] = {}
    for command in re.findall(r"create secret generic ((?:.|\\\n)*?)(?<!\\)\n", GUIDE):
        secret = command.split()[0]
        found[secret] = set(re.findall(r"--from-literal=(\w+)=", command))
        found[secret] |= set(re.findall(r"--from-file=([\w.-]+)=", command))
    return found

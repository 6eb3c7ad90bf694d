"""Looking things up among rendered objects."""

from k8s.check import Object


def get(objects: list[Object], kind: str, name: str) -> Object:
    """The one object of a kind and name."""
    found = [item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} objects {kind} {name}"
    return found[0]


def names(objects: list[Object], kind: str) -> set[str]:
    """Names of all objects of a kind."""
    return {item["metadata"]["name"] for item in objects if item["kind"] == kind}

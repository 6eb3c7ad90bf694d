"""What a namespace's NetworkPolicies let through, as Kubernetes reads them: sender and receiver must both agree."""

import ipaddress
from dataclasses import dataclass, field

from k8s.check import NAMESPACE, Object


@dataclass(frozen=True)
class Peer:
    """A pod by its labels and namespace, or an address outside of the cluster."""

    labels: dict[str, str] = field(default_factory=dict)
    namespace: str = NAMESPACE
    address: str | None = None


def allows(objects: list[Object], source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    """Whether a connection comes about. Only policies of the namespace are known; elsewhere nothing is denied."""
    policies = [item["spec"] for item in objects if item["kind"] == "NetworkPolicy"]
    out = _passes(policies, "Egress", source, target, port, protocol)
    return out and _passes(policies, "Ingress", target, source, port, protocol)


def _passes(policies: list[Object], direction: str, own: Peer, other: Peer, port: int, protocol: str) -> bool:
    if own.address is not None or own.namespace != NAMESPACE:
        return True
    mine = [spec for spec in policies if direction in spec["policyTypes"] and _selects(spec["podSelector"], own.labels)]
    sides, peers = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    rules = [rule for spec in mine for rule in spec.get(sides, [])]
    return not mine or any(
        any(_is(peer, other) for peer in rule[peers])
        and ("ports" not in rule or any(_opens(opened, port, protocol) for opened in rule["ports"]))
        for rule in rules
    )


def _opens(opened: Object, port: int, protocol: str) -> bool:
    return bool(opened["port"] == port and opened.get("protocol", "TCP") == protocol)


def _is(wanted: Object, peer: Peer) -> bool:
    if "ipBlock" in wanted:
        if peer.address is None:
            return False
        address = ipaddress.ip_address(peer.address)
        without = [ipaddress.ip_network(cidr) for cidr in wanted["ipBlock"].get("except", [])]
        return address in ipaddress.ip_network(wanted["ipBlock"]["cidr"]) and not any(address in net for net in without)
    if peer.address is not None:
        return False
    if "namespaceSelector" in wanted:
        if not _selects(wanted["namespaceSelector"], {"kubernetes.io/metadata.name": peer.namespace}):
            return False
    elif peer.namespace != NAMESPACE:
        return False
    return _selects(wanted.get("podSelector", {}), peer.labels)


def _selects(selector: Object, labels: dict[str, str]) -> bool:
    for expression in selector.get("matchExpressions", []):
        if expression["operator"] == "Exists":
            if expression["key"] not in labels:
                return False
        else:
            assert expression["operator"] == "In"
            if labels.get(expression["key"]) not in expression["values"]:
                return False
    return bool(selector.get("matchLabels", {}).items() <= labels.items())

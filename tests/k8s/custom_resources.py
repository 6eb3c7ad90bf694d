"""Schemas of the custom resources that k8s/ uses: every field of the part that is used, and no other.

Written by hand after the CustomResourceDefinitions of kubernetes-sigs/kueue at ff69552 (0.19),
prometheus-operator/prometheus-operator at 6adcebc and external-secrets/external-secrets at cc5bfbc.
"""

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_NAME: Schema = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"}
_TEXTS: Schema = {"type": "object", "additionalProperties": _TEXT}
_QUANTITY: Schema = {"type": ["string", "integer"], "pattern": r"^[0-9]+(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"}
_DURATION: Schema = {"type": "string", "pattern": r"^([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$"}


def _one_of(*values: str) -> Schema:
    return {"enum": list(values)}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1}


def _map(required: str = "", **fields: Schema) -> Schema:
    return {"type": "object", "properties": fields, "required": required.split(), "additionalProperties": False}


_SELECTOR = _map(
    matchLabels=_TEXTS, matchExpressions=_list(_map("key operator", key=_TEXT, operator=_TEXT, values=_list(_TEXT)))
)
_QUOTA = _map("name nominalQuota", name=_TEXT, nominalQuota=_QUANTITY, borrowingLimit=_QUANTITY, lendingLimit=_QUANTITY)
_SEARCH = _one_of("MayStopSearch", "TryNextFlavor")
_TAINT = _map("key effect", key=_TEXT, value=_TEXT, effect=_one_of("NoSchedule", "PreferNoSchedule", "NoExecute"))
_TOLERATION = _map(
    key=_TEXT, operator=_one_of("Exists", "Equal"), value=_TEXT, effect=_TEXT, tolerationSeconds={"type": "integer"}
)
_RELABELING = _map(
    sourceLabels=_list(_TEXT), targetLabel=_TEXT, action=_TEXT, regex=_TEXT, replacement=_TEXT, separator=_TEXT
)
_RULE = _map(
    "expr", alert=_TEXT, record=_TEXT, expr=_TEXT, labels=_TEXTS, annotations=_TEXTS,
    keep_firing_for=_DURATION, **{"for": _DURATION},
)  # fmt: skip

SPECS: dict[tuple[str, str], Schema] = {
    ("kueue.x-k8s.io/v1beta2", "ResourceFlavor"): _map(
        nodeLabels=_TEXTS, nodeTaints=_list(_TAINT), tolerations=_list(_TOLERATION), topologyName=_NAME
    ),
    ("kueue.x-k8s.io/v1beta2", "ClusterQueue"): _map(
        cohortName=_NAME,
        namespaceSelector=_SELECTOR,
        queueingStrategy=_one_of("StrictFIFO", "BestEffortFIFO"),
        stopPolicy=_one_of("None", "Hold", "HoldAndDrain"),
        flavorFungibility=_map(
            whenCanBorrow=_SEARCH,
            whenCanPreempt=_SEARCH,
            preference=_one_of("BorrowingOverPreemption", "PreemptionOverBorrowing"),
        ),
        preemption=_map(
            reclaimWithinCohort=_one_of("Never", "LowerPriority", "Any"),
            withinClusterQueue=_one_of("Never", "LowerPriority", "LowerOrNewerEqualPriority"),
            borrowWithinCohort=_map(policy=_one_of("Never", "LowerPriority"), maxPriorityThreshold={"type": "integer"}),
        ),
        fairSharing=_map(weight=_QUANTITY),
        resourceGroups=_list(
            _map(
                "coveredResources flavors",
                coveredResources=_list(_TEXT),
                flavors=_list(_map("name resources", name=_NAME, resources=_list(_QUOTA))),
            )
        ),
    ),
    ("kueue.x-k8s.io/v1beta2", "LocalQueue"): _map(
        clusterQueue=_NAME, stopPolicy=_one_of("None", "Hold", "HoldAndDrain"), fairSharing=_map(weight=_QUANTITY)
    ),
    ("monitoring.coreos.com/v1", "PodMonitor"): _map(
        "selector",
        selector=_SELECTOR,
        namespaceSelector=_map(any={"type": "boolean"}, matchNames=_list(_TEXT)),
        jobLabel=_TEXT,
        podTargetLabels=_list(_TEXT),
        podMetricsEndpoints=_list(
            _map(
                port=_TEXT,
                portNumber={"type": "integer"},
                path=_TEXT,
                interval=_DURATION,
                scrapeTimeout=_DURATION,
                scheme=_one_of("http", "https", "HTTP", "HTTPS"),
                relabelings=_list(_RELABELING),
                metricRelabelings=_list(_RELABELING),
            )
        ),
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): _map(
        groups=_list(_map("name rules", name=_TEXT, interval=_DURATION, labels=_TEXTS, rules=_list(_RULE)))
    ),
    ("external-secrets.io/v1", "ExternalSecret"): _map(
        refreshInterval=_TEXT,
        refreshPolicy=_one_of("CreatedOnce", "Periodic", "OnChange"),
        secretStoreRef=_map(kind=_one_of("SecretStore", "ClusterSecretStore"), name=_NAME),
        target=_map(
            name=_NAME,
            creationPolicy=_one_of("Owner", "Orphan", "Merge", "None", "CreateOrMerge"),
            deletionPolicy=_one_of("Delete", "Merge", "Retain"),
            immutable={"type": "boolean"},
        ),
        dataFrom=_list(_map(extract=_map("key", key=_TEXT, property=_TEXT, version=_TEXT))),
    ),
}
_METADATA = _map("name", name=_TEXT, namespace=_TEXT, labels=_TEXTS, annotations=_TEXTS)
_HEAD: dict[str, Schema] = {"apiVersion": _TEXT, "kind": _TEXT, "metadata": _METADATA}


def schema_of(api_version: str, kind: str) -> Schema | None:
    """The schema of a custom resource; None where it is not one of these."""
    if (api_version, kind) == ("kueue.x-k8s.io/v1beta2", "WorkloadPriorityClass"):
        return _map("metadata value", **_HEAD, value={"type": "integer"}, description=_TEXT)
    spec = SPECS.get((api_version, kind))
    return None if spec is None else _map("metadata spec", **_HEAD, spec=spec)

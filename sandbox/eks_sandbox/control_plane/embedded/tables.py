# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Table form of answers: what ``kubectl get`` prints."""

from __future__ import annotations

import typing as t

from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import age
from eks_sandbox.control_plane.objects import condition
from eks_sandbox.control_plane.objects import controller_of
from eks_sandbox.control_plane.objects import dig
from eks_sandbox.control_plane.objects import is_true
from eks_sandbox.control_plane.objects import moment

Cell = str | int
#: Name, and whether only ``-o wide`` shows it.
Column = tuple[str, bool]
_NONE = "<none>"
#: Kinds of which kube-apiserver declares the counts as numbers; elsewhere it calls them text.
_COUNTING = ("DaemonSet", "MutatingWebhookConfiguration", "PodDisruptionBudget", "ReplicaSet")
_INTEGERS = ("Desired", "Current", "Ready", "Up-to-date", "Available", "Webhooks", "Allowed Disruptions")


def duration(seconds: float) -> str:
    """A length of time as kubectl shows it (k8s.io/apimachinery/util/duration)."""
    whole = max(int(seconds), 0)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    return f"{hours}h" if hours < 48 else _two(days, "d", hours % 24 if days < 8 else 0, "h")


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def _age(obj: Object) -> str:
    created = obj["metadata"].get("creationTimestamp")
    return duration(age(created)) if created else "<unknown>"


def _containers(spec: Object) -> tuple[str, str]:
    containers = spec.get("containers") or []
    return ",".join(entry["name"] for entry in containers), ",".join(entry["image"] for entry in containers)


def _selector(selector: Object | None) -> str:
    labels = (selector or {}).get("matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or _NONE


def _pod_status(pod: Object) -> str:
    """The word in the STATUS column (printPod of kube-apiserver)."""
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for number, entry in enumerate(status.get("initContainerStatuses") or []):
        state = entry.get("state") or {}
        ended = state.get("terminated")
        if ended and ended.get("exitCode") == 0:
            continue
        if ended:
            return f"Init:{ended.get('reason') or 'Error'}"
        waiting = (state.get("waiting") or {}).get("reason")
        if waiting and waiting != "PodInitializing":
            return f"Init:{waiting}"
        return f"Init:{number}/{len(pod['spec'].get('initContainers') or [])}"
    word = str(status.get("reason") or status.get("phase") or "Unknown")
    for entry in reversed(status.get("containerStatuses") or []):
        state = entry.get("state") or {}
        for kind in ("waiting", "terminated"):
            word = (state.get(kind) or {}).get("reason") or word
    if word == "Completed" and any("running" in (entry.get("state") or {}) for entry in status["containerStatuses"]):
        return "Running" if is_true(pod, "Ready") else "NotReady"
    return word


def _pod(pod: Object) -> list[Cell]:
    spec, status = pod["spec"], pod.get("status") or {}
    statuses = status.get("containerStatuses") or []
    ready = sum(1 for entry in statuses if entry.get("ready"))
    restarts = sum(entry.get("restartCount", 0) for entry in statuses)
    return [
        pod["metadata"]["name"],
        f"{ready}/{len(spec.get('containers') or [])}",
        _pod_status(pod),
        str(restarts),
        _age(pod),
        status.get("podIP") or _NONE,
        spec.get("nodeName") or _NONE,
        _NONE,
        _NONE,
    ]


def _namespace(obj: Object) -> list[Cell]:
    return [obj["metadata"]["name"], dig(obj, "status.phase") or "", _age(obj)]


def _node(node: Object) -> list[Cell]:
    info = dig(node, "status.nodeInfo") or {}
    addresses = {entry["type"]: entry["address"] for entry in dig(node, "status.addresses") or []}
    state = "Ready" if is_true(node, "Ready") else "NotReady"
    if (node.get("spec") or {}).get("unschedulable"):
        state += ",SchedulingDisabled"
    return [
        node["metadata"]["name"],
        state,
        _NONE,
        _age(node),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", _NONE),
        addresses.get("ExternalIP", _NONE),
        info.get("osImage", "<unknown>"),
        info.get("kernelVersion", "<unknown>"),
        info.get("containerRuntimeVersion", "<unknown>"),
    ]


def _service_account(obj: Object) -> list[Cell]:
    return [obj["metadata"]["name"], len(obj.get("secrets") or []), _age(obj)]


def _config_map(obj: Object) -> list[Cell]:
    return [obj["metadata"]["name"], len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), _age(obj)]


def _secret(obj: Object) -> list[Cell]:
    return [obj["metadata"]["name"], obj.get("type", ""), len(obj.get("data") or {}), _age(obj)]


def _service(obj: Object) -> list[Cell]:
    spec = obj["spec"]
    ports = [f"{port['port']}/{port.get('protocol', 'TCP')}" for port in spec.get("ports") or []]
    selector = _selector({"matchLabels": spec.get("selector") or {}})
    address = spec.get("clusterIP") or _NONE
    return [obj["metadata"]["name"], spec["type"], address, _NONE, ",".join(ports) or _NONE, _age(obj), selector]


def _event(event: Object) -> list[Cell]:
    involved = event.get("involvedObject") or {}
    seen = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
    shown = f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}"
    message = str(event.get("message", "")).strip()
    return [duration(age(seen)), event.get("type", ""), event.get("reason", ""), shown, message]


def _deployment(obj: Object) -> list[Cell]:
    status, spec = obj.get("status") or {}, obj["spec"]
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    counts = [status.get("updatedReplicas", 0), status.get("availableReplicas", 0)]
    wide = [*_containers(spec["template"]["spec"]), _selector(spec["selector"])]
    return [obj["metadata"]["name"], ready, *counts, _age(obj), *wide]


def _replica_set(obj: Object) -> list[Cell]:
    status, spec = obj.get("status") or {}, obj["spec"]
    counts = [spec.get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0)]
    wide = [*_containers(spec["template"]["spec"]), _selector(spec["selector"])]
    return [obj["metadata"]["name"], *counts, _age(obj), *wide]


def _daemon_set(obj: Object) -> list[Cell]:
    status, spec = obj.get("status") or {}, obj["spec"]
    fields = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    template = spec["template"]["spec"]
    nodes = _selector({"matchLabels": template.get("nodeSelector") or {}})
    wide = [*_containers(template), _selector(spec["selector"])]
    return [obj["metadata"]["name"], *(status.get(field, 0) for field in fields), nodes, _age(obj), *wide]


def _stateful_set(obj: Object) -> list[Cell]:
    status, spec = obj.get("status") or {}, obj["spec"]
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    return [obj["metadata"]["name"], ready, _age(obj), *_containers(spec["template"]["spec"])]


def _disruption_budget(obj: Object) -> list[Cell]:
    spec, status = obj["spec"], obj.get("status") or {}
    bounds = [str(spec.get(field, "N/A")) for field in ("minAvailable", "maxUnavailable")]
    return [obj["metadata"]["name"], *bounds, status.get("disruptionsAllowed", 0), _age(obj)]


def _lease(obj: Object) -> list[Cell]:
    return [obj["metadata"]["name"], (obj.get("spec") or {}).get("holderIdentity", ""), _age(obj)]


def _revision(obj: Object) -> list[Cell]:
    owner = controller_of(obj)
    shown = f"{owner['kind'].lower()}.{owner['apiVersion'].partition('/')[0]}/{owner['name']}" if owner else _NONE
    return [obj["metadata"]["name"], shown, obj.get("revision", 0), _age(obj)]


def _job(job: Object) -> list[Cell]:
    spec, status = job["spec"], job.get("status") or {}
    state = next((kind for kind in ("Complete", "Failed", "Suspended") if is_true(job, kind)), "Running")
    succeeded = status.get("succeeded", 0)
    wanted = spec.get("completions")
    done = f"{succeeded}/{wanted}" if wanted is not None else f"{succeeded}/1 of {spec.get('parallelism', 1)}"
    took = ""
    if status.get("startTime"):
        end = status.get("completionTime") or dig(condition(job, "Failed"), "lastTransitionTime")
        began = moment(status["startTime"])
        took = duration((moment(end) - began).total_seconds() if end else age(status["startTime"]))
    wide = [*_containers(spec["template"]["spec"]), _selector(spec.get("selector"))]
    return [job["metadata"]["name"], state, done, took, _age(job), *wide]


def _webhooks(obj: Object) -> list[Cell]:
    return [obj["metadata"]["name"], len(obj.get("webhooks") or []), _age(obj)]


def _plain(obj: Object) -> list[Cell]:
    return [obj["metadata"]["name"], obj["metadata"].get("creationTimestamp", "")]


def _columns(*names: str, wide: t.Sequence[str] = ()) -> list[Column]:
    return [*((name, False) for name in names), *((name, True) for name in wide)]


_CONTAINERS = ("Containers", "Images", "Selector")
_NODE_WIDE = ("Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime")
_POD_WIDE = ("IP", "Node", "Nominated Node", "Readiness Gates")
_COUNTS = ("Desired", "Current", "Ready")

_TABLES: dict[str, tuple[list[Column], t.Callable[[Object], list[Cell]]]] = {
    "Namespace": (_columns("Name", "Status", "Age"), _namespace),
    "Node": (_columns("Name", "Status", "Roles", "Age", "Version", wide=_NODE_WIDE), _node),
    "ServiceAccount": (_columns("Name", "Secrets", "Age"), _service_account),
    "ConfigMap": (_columns("Name", "Data", "Age"), _config_map),
    "Secret": (_columns("Name", "Type", "Data", "Age"), _secret),
    "Pod": (_columns("Name", "Ready", "Status", "Restarts", "Age", wide=_POD_WIDE), _pod),
    "Service": (
        _columns("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", wide=("Selector",)),
        _service,
    ),
    "Event": (_columns("Last Seen", "Type", "Reason", "Object", "Message"), _event),
    "Deployment": (_columns("Name", "Ready", "Up-to-date", "Available", "Age", wide=_CONTAINERS), _deployment),
    "ReplicaSet": (_columns("Name", *_COUNTS, "Age", wide=_CONTAINERS), _replica_set),
    "DaemonSet": (
        _columns("Name", *_COUNTS, "Up-to-date", "Available", "Node Selector", "Age", wide=_CONTAINERS),
        _daemon_set,
    ),
    "StatefulSet": (_columns("Name", "Ready", "Age", wide=_CONTAINERS[:2]), _stateful_set),
    "ControllerRevision": (_columns("Name", "Controller", "Revision", "Age"), _revision),
    "PodDisruptionBudget": (
        _columns("Name", "Min Available", "Max Unavailable", "Allowed Disruptions", "Age"),
        _disruption_budget,
    ),
    "Lease": (_columns("Name", "Holder", "Age"), _lease),
    "Job": (_columns("Name", "Status", "Completions", "Duration", "Age", wide=_CONTAINERS), _job),
    "MutatingWebhookConfiguration": (_columns("Name", "Webhooks", "Age"), _webhooks),
}


def _definition(kind: str, name: str, wide: bool) -> Object:
    return {
        "name": name,
        "type": "integer" if kind in _COUNTING and name in _INTEGERS else "string",
        "format": "name" if name == "Name" else "",
        "description": name,
        "priority": 1 if wide else 0,
    }


def table(resource: Resource, objects: t.Sequence[Object], metadata: Object, include: str) -> Object:
    """Objects as a Table; ``include`` is the query's includeObject: ``None``, ``Metadata`` or ``Object``."""
    columns, row = _TABLES.get(resource.kind, (_columns("Name", "Created At"), _plain))
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [_definition(resource.kind, name, wide) for name, wide in columns],
        "rows": [{"cells": row(obj), "object": _included(obj, include)} for obj in objects],
    }


def _included(obj: Object, include: str) -> Object | None:
    if include == "None":
        return None
    if include == "Object":
        return obj
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}

# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values that the API server fills in for missing fields."""

from __future__ import annotations

import base64
import binascii
import secrets
import typing as t

from eks_sandbox.control_plane.embedded.errors import UndecodableError
from eks_sandbox.control_plane.embedded.quantities import canonical
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.objects import Object

#: Letters of generated names: no vowels, no digits that look like letters (k8s.io/apimachinery/util/rand).
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_FILE_MODE = 0o644


def random_suffix(length: int = 5) -> str:
    """The random end of a generated name."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def set_defaults(resource: Resource, obj: Object) -> None:
    """Fill in the defaults of the object's kind, in place."""
    _DEFAULTS.get(resource.kind, _nothing)(obj)


def _nothing(obj: Object) -> None:
    del obj


def _fill(target: Object, **values: t.Any) -> None:
    for key, value in values.items():
        # Go does not distinguish an empty text from a missing one.
        if target.get(key) in (None, ""):
            target[key] = value


def _namespace(obj: Object) -> None:
    obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")
    obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    obj.setdefault("status", {}).setdefault("phase", "Active")


def _secret(obj: Object) -> None:
    _fill(obj, type="Opaque")
    for key, value in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(str(value).encode()).decode()
    _ensure_base64("Secret", obj.get("data"))


def _config_map(obj: Object) -> None:
    _ensure_base64("ConfigMap", obj.get("binaryData"))


def _ensure_base64(kind: str, data: t.Mapping[str, str] | None) -> None:
    try:
        for value in (data or {}).values():
            base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        why = "illegal base64 data at input byte 0"
        raise UndecodableError(f'{kind} in version "v1" cannot be handled as a {kind}: {why}') from error


def _pod(obj: Object) -> None:
    set_pod_defaults(obj.setdefault("spec", {}))
    _fill(obj["spec"], enableServiceLinks=True)


def set_pod_defaults(spec: Object) -> None:
    """Defaults of a PodSpec, in a pod or in a template."""
    _fill(
        spec,
        restartPolicy="Always",
        dnsPolicy="ClusterFirst",
        schedulerName="default-scheduler",
        terminationGracePeriodSeconds=30,
        securityContext={},
    )
    if account := spec.get("serviceAccount") or spec.get("serviceAccountName"):
        spec.setdefault("serviceAccountName", account)
        spec.setdefault("serviceAccount", spec["serviceAccountName"])
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        _container(container)
        if spec.get("hostNetwork"):
            for port in container.get("ports") or []:
                _fill(port, hostPort=port.get("containerPort"))
    for volume in spec.get("volumes") or []:
        _volume(volume)


def _container(container: Object) -> None:
    image = str(container.get("image", ""))
    tag = image.rpartition("/")[2].partition(":")[2]
    is_latest = tag in ("", "latest") and "@" not in image
    _fill(
        container,
        imagePullPolicy="Always" if is_latest else "IfNotPresent",
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    for port in container.get("ports") or []:
        _fill(port, protocol="TCP")
    for variable in container.get("env") or []:
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference:
            _fill(reference, apiVersion="v1")
    _resources(container["resources"])
    for hook in (container.get("lifecycle") or {}).values():
        _http(hook)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe := container.get(name):
            _fill(probe, failureThreshold=3, periodSeconds=10, successThreshold=1, timeoutSeconds=1)
            _http(probe)


def _http(handler: Object) -> None:
    if action := handler.get("httpGet"):
        _fill(action, path="/", scheme="HTTP")


def _resources(resources: Object) -> None:
    """Quantities are written in one way, and a limit is a request too unless another is named."""
    for kind in ("limits", "requests"):
        for name, quantity in (resources.get(kind) or {}).items():
            resources[kind][name] = canonical(quantity)
    if resources.get("limits"):
        resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}


def _volume(volume: Object) -> None:
    for name in ("configMap", "secret", "downwardAPI", "projected"):
        if source := volume.get(name):
            _fill(source, defaultMode=_FILE_MODE)
    if set(volume) == {"name"}:
        volume["emptyDir"] = {}
    for item in (volume.get("downwardAPI") or {}).get("items") or []:
        _field_reference(item)
    if host_path := volume.get("hostPath"):
        _fill(host_path, type="")
    for source in (volume.get("projected") or {}).get("sources") or []:
        if token := source.get("serviceAccountToken"):
            _fill(token, expirationSeconds=3600)
        for item in (source.get("downwardAPI") or {}).get("items") or []:
            _field_reference(item)


def _field_reference(item: Object) -> None:
    if reference := item.get("fieldRef"):
        _fill(reference, apiVersion="v1")


def _template(obj: Object) -> Object:
    spec: Object = obj.setdefault("spec", {})
    template = spec.get("template")
    if isinstance(template, dict) and isinstance(template.get("spec"), dict):
        set_pod_defaults(template["spec"])
    return spec


def _job(obj: Object) -> None:
    spec = _template(obj)
    _fill(
        spec,
        backoffLimit=6,
        completionMode="NonIndexed",
        suspend=False,
        manualSelector=False,
        podReplacementPolicy="TerminatingOrFailed",
    )
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    _fill(spec, parallelism=1)
    uid = obj["metadata"].get("uid")
    if uid and not spec["manualSelector"] and isinstance(spec.get("template"), dict):
        _job_selector(obj, spec, uid)


def _job_selector(obj: Object, spec: Object, uid: str) -> None:
    """The job's uid identifies the job's pods (batch strategy of kube-apiserver)."""
    name = obj["metadata"].get("name", "")
    generated = {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    metadata = spec["template"].setdefault("metadata", {})
    metadata["labels"] = {**(metadata.get("labels") or {}), **generated}
    if not obj["metadata"].get("labels"):
        # A job without labels gets those of its pods.
        obj["metadata"]["labels"] = dict(metadata["labels"])
    spec.setdefault("selector", {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}})


def _deployment(obj: Object) -> None:
    spec = _template(obj)
    _fill(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600, strategy={})
    _fill(spec["strategy"], type="RollingUpdate")
    if spec["strategy"]["type"] == "RollingUpdate":
        _fill(spec["strategy"].setdefault("rollingUpdate", {}), maxUnavailable="25%", maxSurge="25%")


def _replica_set(obj: Object) -> None:
    _fill(_template(obj), replicas=1)


def _daemon_set(obj: Object) -> None:
    spec = _template(obj)
    _fill(spec, revisionHistoryLimit=10, updateStrategy={})
    _fill(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _fill(spec["updateStrategy"].setdefault("rollingUpdate", {}), maxUnavailable=1, maxSurge=0)


def _stateful_set(obj: Object) -> None:
    spec = _template(obj)
    _fill(
        spec,
        replicas=1,
        podManagementPolicy="OrderedReady",
        revisionHistoryLimit=10,
        updateStrategy={},
        persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"},
    )
    _fill(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _fill(spec["updateStrategy"].setdefault("rollingUpdate", {}), partition=0)


def _service(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _fill(spec, type="ClusterIP", sessionAffinity="None")
    for port in spec.get("ports") or []:
        _fill(port, protocol="TCP", targetPort=port.get("port"))
    if spec["type"] == "ExternalName":
        return
    _fill(spec, internalTrafficPolicy="Cluster", ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")
    if not spec.get("clusterIP"):
        # EKS's default service network; nothing routes to it here.
        spec["clusterIP"] = f"10.100.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
    _fill(spec, clusterIPs=[spec["clusterIP"]])
    if spec["type"] in ("NodePort", "LoadBalancer"):
        _fill(spec, externalTrafficPolicy="Cluster")
        for port in spec.get("ports") or []:
            _fill(port, nodePort=30000 + secrets.randbelow(2768))
    if spec["type"] == "LoadBalancer":
        _fill(spec, allocateLoadBalancerNodePorts=True)


def _node(obj: Object) -> None:
    status = obj.setdefault("status", {})
    _fill(status, daemonEndpoints={"kubeletEndpoint": {"Port": 0}})
    for field in ("capacity", "allocatable"):
        for name, quantity in (status.get(field) or {}).items():
            status[field][name] = canonical(quantity)


def _event(obj: Object) -> None:
    _fill(obj, source={}, reportingComponent="", reportingInstance="")


def _mutating_webhooks(obj: Object) -> None:
    for webhook in obj.get("webhooks") or []:
        _fill(
            webhook,
            failurePolicy="Fail",
            matchPolicy="Equivalent",
            namespaceSelector={},
            objectSelector={},
            reinvocationPolicy="Never",
            timeoutSeconds=10,
        )
        for rule in webhook.get("rules") or []:
            _fill(rule, scope="*")


_DEFAULTS: dict[str, t.Callable[[Object], None]] = {
    "Namespace": _namespace,
    "ConfigMap": _config_map,
    "Secret": _secret,
    "Pod": _pod,
    "Job": _job,
    "Deployment": _deployment,
    "ReplicaSet": _replica_set,
    "DaemonSet": _daemon_set,
    "StatefulSet": _stateful_set,
    "Node": _node,
    "Event": _event,
    "Service": _service,
    "MutatingWebhookConfiguration": _mutating_webhooks,
}

# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an object must satisfy besides the types of its fields; messages are kube-apiserver's."""

from __future__ import annotations

import re
import typing as t

from eks_sandbox.control_plane.embedded.errors import Cause
from eks_sandbox.control_plane.embedded.errors import duplicate
from eks_sandbox.control_plane.embedded.errors import forbidden_field
from eks_sandbox.control_plane.embedded.errors import invalid_value
from eks_sandbox.control_plane.embedded.errors import required
from eks_sandbox.control_plane.embedded.errors import too_long
from eks_sandbox.control_plane.embedded.errors import unsupported_value
from eks_sandbox.control_plane.embedded.names import config_key
from eks_sandbox.control_plane.embedded.names import dns_label
from eks_sandbox.control_plane.embedded.names import dns_label_1035
from eks_sandbox.control_plane.embedded.names import dns_subdomain
from eks_sandbox.control_plane.embedded.names import labels
from eks_sandbox.control_plane.embedded.names import qualified
from eks_sandbox.control_plane.embedded.pod_validation import EFFECTS
from eks_sandbox.control_plane.embedded.pod_validation import NOT_NEGATIVE
from eks_sandbox.control_plane.embedded.pod_validation import pod_spec
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import labels_of
from eks_sandbox.control_plane.objects import matches_selector

#: Which parts of a pod an update may change.
_POD_UPDATE_TEXT = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_STATEFUL_UPDATE_TEXT = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_STATEFUL_LOOSE = (
    "minReadySeconds",
    "ordinals",
    "persistentVolumeClaimRetentionPolicy",
    "replicas",
    "revisionHistoryLimit",
    "template",
    "updateStrategy",
)
_ANNOTATIONS_LIMIT = 256 * 1024
_DATA_LIMIT = 1024 * 1024
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_STANDARD_FINALIZERS = ("kubernetes", "foregroundDeletion", "orphan")
_PERCENT = re.compile(r"[0-9]+%")
#: Keys that a secret of a type must hold.
_SECRET_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
Causes = t.Iterator[Cause]


def validate(resource: Resource, obj: Object, old: Object | None = None) -> list[Cause]:
    """Everything that is wrong with a new object, or with an update of ``old``."""
    causes = [*_metadata(resource, obj)]
    if old is not None:
        causes += _metadata_changes(old, obj)
    if specific := _KINDS.get(resource.kind):
        causes += specific(obj)
    if old is not None and (changes := _CHANGES.get(resource.kind)):
        causes += changes(old, obj)
    return causes


def _metadata(resource: Resource, obj: Object) -> Causes:
    metadata = obj["metadata"]
    name = metadata.get("name")
    if metadata.get("generateName"):
        # What a random end would follow must be a name with any end.
        yield from _name(resource, "metadata.generateName", metadata["generateName"].rstrip("-.") or "x")
    if not name:
        yield required("metadata.name", "name or generateName is required")
    else:
        yield from _name(resource, "metadata.name", name)
    yield from labels("metadata.labels", metadata.get("labels") or {})
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        yield from qualified("metadata.annotations", key.lower())
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _ANNOTATIONS_LIMIT:
        yield too_long("metadata.annotations", _ANNOTATIONS_LIMIT)
    yield from _owners(metadata.get("ownerReferences") or [])
    for index, finalizer in enumerate(metadata.get("finalizers") or []):
        yield from qualified("metadata.finalizers", finalizer)
        yield from _finalizer(f"metadata.finalizers[{index}]", finalizer)


def _owners(owners: t.Sequence[Object]) -> Causes:
    field = "metadata.ownerReferences"
    for owner in owners:
        if not owner.get("apiVersion"):
            yield invalid_value(f"{field}.apiVersion", "", "version must not be empty")
        for key in ("kind", "name", "uid"):
            if not owner.get(key):
                yield invalid_value(f"{field}.{key}", "", "must not be empty")
    if sum(1 for owner in owners if owner.get("controller")) > 1:
        yield invalid_value(field, list(owners), "Only one reference can have Controller set to true")


def _finalizer(field: str, name: str) -> Causes:
    if "/" not in name and name not in _STANDARD_FINALIZERS:
        yield invalid_value(field, name, "name is neither a standard finalizer name nor is it fully qualified")


def _name(resource: Resource, field: str, name: str) -> Causes:
    if resource.kind == "Namespace":
        yield from dns_label(field, name)
    elif resource.kind == "Service":
        yield from dns_label_1035(field, name)
    elif resource.kind == "StatefulSet" and "." in name:
        yield invalid_value(field, name, "must not contain dots")
    else:
        yield from dns_subdomain(field, name)


def _metadata_changes(old: Object, new: Object) -> Causes:
    if not old["metadata"].get("deletionTimestamp"):
        return
    known = old["metadata"].get("finalizers") or []
    added = [entry for entry in new["metadata"].get("finalizers") or [] if entry not in known]
    if added:
        listed = ", ".join(f'"{entry}"' for entry in added)
        why = "no new finalizers can be added if the object is being deleted, found new finalizers"
        yield forbidden_field("metadata.finalizers", f"{why} []string{{{listed}}}")


def _namespace(obj: Object) -> Causes:
    for finalizer in (obj.get("spec") or {}).get("finalizers") or []:
        yield from _finalizer("spec.finalizers", finalizer)


def _config(obj: Object) -> Causes:
    for field in ("data", "binaryData"):
        for key in obj.get(field) or {}:
            yield from config_key(f"{field}[{key}]", key)
    if obj.get("kind") == "ConfigMap":
        for key in (obj.get("data") or {}).keys() & (obj.get("binaryData") or {}).keys():
            yield invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData")
    size = sum(len(value.encode()) for value in (obj.get("data") or {}).values())
    if size > _DATA_LIMIT:
        # Go's empty path.
        yield too_long("[]" if obj.get("kind") == "ConfigMap" else "data", _DATA_LIMIT)


def _secret(obj: Object) -> Causes:
    yield from _config(obj)
    for key in _SECRET_KEYS.get(obj.get("type", ""), ()):
        if key not in (obj.get("data") or {}):
            yield required(f"data[{key}]")
    account = "kubernetes.io/service-account.name"
    is_token = obj.get("type") == "kubernetes.io/service-account-token"
    if is_token and account not in (obj["metadata"].get("annotations") or {}):
        yield required(f"metadata.annotations[{account}]")


def _pod(obj: Object) -> Causes:
    yield from pod_spec("spec", obj.get("spec") or {})


def _node(obj: Object) -> Causes:
    for index, taint in enumerate((obj.get("spec") or {}).get("taints") or []):
        yield from qualified(f"metadata.taints[{index}].key", taint.get("key", ""))
        if taint.get("effect") not in EFFECTS:
            yield unsupported_value(f"metadata.taints[{index}].effect", taint.get("effect"), EFFECTS)


def _template(obj: Object, restart_policies: t.Sequence[str]) -> Causes:
    template = (obj.get("spec") or {}).get("template") or {}
    yield from labels("spec.template.labels", labels_of(template))
    spec = template.get("spec") or {}
    yield from pod_spec("spec.template.spec", spec)
    policy, field = spec.get("restartPolicy"), "spec.template.spec.restartPolicy"
    if policy == "Always" and "Always" not in restart_policies:
        # Jobs have a different message if the policy is the default, which no job may have.
        yield required(field, 'valid values: "OnFailure", "Never"')
    elif policy not in restart_policies:
        yield unsupported_value(field, policy, restart_policies)
    if spec.get("activeDeadlineSeconds") is not None and "Always" in restart_policies:
        why = "activeDeadlineSeconds in ReplicaSet is not Supported"
        yield forbidden_field("spec.template.spec.activeDeadlineSeconds", why)


def _not_negative(spec: Object, *fields: str) -> Causes:
    for field in fields:
        if (spec.get(field) or 0) < 0:
            yield invalid_value(f"spec.{field}", spec[field], NOT_NEGATIVE)


def _job(obj: Object) -> Causes:
    spec = obj.get("spec") or {}
    counts = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")
    yield from _not_negative(spec, *counts)
    mode = spec.get("completionMode")
    if mode not in ("NonIndexed", "Indexed"):
        yield unsupported_value("spec.completionMode", mode, ("NonIndexed", "Indexed"))
    elif mode == "Indexed" and spec.get("completions") is None:
        yield required("spec.completions", f"when completion mode is {mode}")
    if not spec.get("manualSelector"):
        own = {"matchLabels": {"batch.kubernetes.io/controller-uid": obj["metadata"].get("uid")}}
        if spec.get("selector") != own:
            yield invalid_value("spec.selector", spec.get("selector"), "`selector` not auto-generated")
    yield from _template(obj, ("OnFailure", "Never"))
    name = obj["metadata"].get("name") or ""
    if len(name) > 63 and "generateName" not in obj["metadata"]:
        yield invalid_value("metadata.name", name, "must be no more than 63 characters")


def _selector(obj: Object) -> Causes:
    """The selector of an object with a template: it must not be empty, and its own pods must match it."""
    spec = obj.get("spec") or {}
    selector, template = spec.get("selector"), spec.get("template") or {}
    wrong = list(_expressions("spec.selector", selector or {}))
    yield from wrong
    if wrong:
        yield invalid_value("spec.selector", selector, "invalid label selector")
    elif selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield invalid_value("spec.selector", {}, f"empty selector is invalid for {obj['kind'].lower()}")
    elif not matches_selector(selector, labels_of(template)):
        shown = (template.get("metadata") or {}).get("labels")
        yield invalid_value("spec.template.metadata.labels", shown, "`selector` does not match template `labels`")


def _expressions(path: str, selector: Object) -> Causes:
    for index, expression in enumerate(selector.get("matchExpressions") or []):
        place, operator = f"{path}.matchExpressions[{index}]", expression.get("operator")
        if operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            yield invalid_value(f"{place}.operator", operator, "not a valid selector operator")
        elif operator in ("In", "NotIn") and not expression.get("values"):
            yield required(f"{place}.values", "must be specified when `operator` is 'In' or 'NotIn'")


def _replica_set(obj: Object) -> Causes:
    spec = obj.get("spec") or {}
    yield from _not_negative(spec, "replicas", "minReadySeconds")
    yield from _selector(obj)
    yield from _template(obj, ("Always",))


def _deployment(obj: Object) -> Causes:
    yield from _replica_set(obj)
    spec = obj.get("spec") or {}
    yield from _not_negative(spec, "revisionHistoryLimit")
    strategy, field = spec.get("strategy") or {}, "spec.strategy"
    if strategy.get("type") not in ("Recreate", "RollingUpdate"):
        yield unsupported_value(field, strategy, ("Recreate", "RollingUpdate"))
    elif strategy["type"] == "Recreate" and strategy.get("rollingUpdate") is not None:
        why = "may not be specified when strategy `type` is 'Recreate'"
        yield forbidden_field(f"{field}.rollingUpdate", why)
    elif strategy["type"] == "RollingUpdate":
        rolling = strategy.get("rollingUpdate") or {}
        yield from _shares(f"{field}.rollingUpdate", rolling)
        if _is_nothing(rolling.get("maxUnavailable")) and _is_nothing(rolling.get("maxSurge")):
            why = "may not be 0 when `maxSurge` is 0"
            yield invalid_value(f"{field}.rollingUpdate.maxUnavailable", rolling.get("maxUnavailable"), why)
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        yield invalid_value("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def _shares(path: str, settings: Object, fields: t.Sequence[str] = ("maxUnavailable", "maxSurge")) -> Causes:
    """Numbers or percentages."""
    for field in fields:
        value = settings.get(field, 0)
        if isinstance(value, str) and not _PERCENT.fullmatch(value):
            why = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
            yield invalid_value(f"{path}.{field}", value, why + "regex used for validation is '[0-9]+%')")
        elif isinstance(value, str) and int(value[:-1]) > 100 and field != "maxSurge":
            yield invalid_value(f"{path}.{field}", value, "must not be greater than 100%")
        elif isinstance(value, int) and value < 0:
            yield invalid_value(f"{path}.{field}", value, NOT_NEGATIVE)


def _is_nothing(value: int | str | None) -> bool:
    return value in (0, "0%", None)


def _daemon_set(obj: Object) -> Causes:
    spec = obj.get("spec") or {}
    yield from _selector(obj)
    yield from _template(obj, ("Always",))
    strategy, field = spec.get("updateStrategy") or {}, "spec.updateStrategy"
    if strategy.get("type") not in ("RollingUpdate", "OnDelete"):
        yield unsupported_value(field, strategy, ("RollingUpdate", "OnDelete"))
    elif strategy["type"] == "RollingUpdate":
        rolling = strategy.get("rollingUpdate") or {}
        yield from _shares(f"{field}.rollingUpdate", rolling)
        if _is_nothing(rolling.get("maxUnavailable")) and _is_nothing(rolling.get("maxSurge")):
            yield required(f"{field}.rollingUpdate.maxUnavailable", "cannot be 0 when maxSurge is 0")


def _stateful_set(obj: Object) -> Causes:
    spec = obj.get("spec") or {}
    yield from _not_negative(spec, "replicas", "minReadySeconds", "revisionHistoryLimit")
    yield from _selector(obj)
    yield from _template(obj, ("Always",))
    policy = spec.get("podManagementPolicy")
    if policy not in ("OrderedReady", "Parallel"):
        yield invalid_value("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    strategy, field = spec.get("updateStrategy") or {}, "spec.updateStrategy"
    if strategy.get("type") not in ("RollingUpdate", "OnDelete"):
        yield invalid_value(field, strategy, "must be 'RollingUpdate' or 'OnDelete'")
    partition = (strategy.get("rollingUpdate") or {}).get("partition", 0)
    if partition < 0:
        yield invalid_value(f"{field}.rollingUpdate.partition", partition, NOT_NEGATIVE)


def _disruption_budget(obj: Object) -> Causes:
    spec = obj.get("spec") or {}
    if "minAvailable" in spec and "maxUnavailable" in spec:
        yield invalid_value("spec", spec, "minAvailable and maxUnavailable cannot be both set")
    yield from _shares("spec", spec, ("minAvailable", "maxUnavailable"))
    yield from _expressions("spec.selector", spec.get("selector") or {})


def _service(obj: Object) -> Causes:
    spec = obj.get("spec") or {}
    if spec.get("type") not in _SERVICE_TYPES:
        yield unsupported_value("spec.type", spec.get("type"), _SERVICE_TYPES)
    if spec.get("type") == "ExternalName":
        yield from dns_subdomain("spec.externalName", spec.get("externalName") or "")
        return
    ports = spec.get("ports") or []
    if not ports and spec.get("clusterIP") != "None":
        yield required("spec.ports")
    names: set[str] = set()
    for index, port in enumerate(ports):
        place, name = f"spec.ports[{index}]", port.get("name", "")
        if not name and len(ports) > 1:
            yield required(f"{place}.name")
        elif name in names and name:
            yield duplicate(f"{place}.name", name)
        names.add(name)
        for field in ("port", "targetPort"):
            if isinstance(port.get(field), int) and not 1 <= port[field] <= 65535:
                yield invalid_value(f"{place}.{field}", port[field], "must be between 1 and 65535, inclusive")


def _event(obj: Object) -> Causes:
    involved, own = obj.get("involvedObject") or {}, obj["metadata"].get("namespace", "")
    if (involved.get("namespace") or "default") != own:
        yield invalid_value("involvedObject.namespace", involved.get("namespace", ""), "does not match event.namespace")


def _mutating_webhooks(obj: Object) -> Causes:
    for index, webhook in enumerate(obj.get("webhooks") or []):
        place, name = f"webhooks[{index}]", webhook.get("name", "")
        yield from dns_subdomain(f"{place}.name", name)
        if name.count(".") < 2:
            why = "should be a domain with at least three segments separated by dots"
            yield invalid_value(f"{place}.name", name, why)
        yield from _webhook_client(f"{place}.clientConfig", webhook.get("clientConfig") or {})
        choices = (("sideEffects", ("None", "NoneOnDryRun")), ("failurePolicy", ("Fail", "Ignore")))
        for field, supported in choices:
            if webhook.get(field) not in supported:
                yield unsupported_value(f"{place}.{field}", webhook.get(field), supported)
        seconds = webhook.get("timeoutSeconds", 10)
        if not 1 <= seconds <= 30:
            why = "the timeout value must be between 1 and 30 seconds"
            yield invalid_value(f"{place}.timeoutSeconds", seconds, why)
        for position, rule in enumerate(webhook.get("rules") or []):
            for number, operation in enumerate(rule.get("operations") or []):
                if operation not in _OPERATIONS:
                    yield unsupported_value(f"{place}.rules[{position}].operations[{number}]", operation, _OPERATIONS)


def _webhook_client(path: str, configuration: Object) -> Causes:
    url = configuration.get("url")
    if bool(url) == bool(configuration.get("service")):
        yield required(path, "exactly one of url or service is required")
    elif url and not url.startswith("https://"):
        why = "'https' is the only allowed URL scheme; desired format: https://host[/path]"
        yield invalid_value(f"{path}.url", url.partition(":")[0], why)


_KINDS: dict[str, t.Callable[[Object], Causes]] = {
    "ConfigMap": _config,
    "DaemonSet": _daemon_set,
    "Deployment": _deployment,
    "Event": _event,
    "Job": _job,
    "MutatingWebhookConfiguration": _mutating_webhooks,
    "Namespace": _namespace,
    "Node": _node,
    "Pod": _pod,
    "PodDisruptionBudget": _disruption_budget,
    "ReplicaSet": _replica_set,
    "Secret": _secret,
    "Service": _service,
    "StatefulSet": _stateful_set,
}


def _pod_changes(old: Object, new: Object) -> Causes:
    for field in ("containers", "initContainers"):
        if len(old["spec"].get(field) or []) != len(new["spec"].get(field) or []):
            yield forbidden_field(f"spec.{field}", "pod updates may not add or remove containers")
            return
    kept = new["spec"].get("tolerations") or []
    lost = [entry for entry in old["spec"].get("tolerations") or [] if entry not in kept]
    if _fixed_part(old) != _fixed_part(new) or lost:
        yield forbidden_field("spec", _POD_UPDATE_TEXT)


def _fixed_part(pod: Object) -> Object:
    loose = ("tolerations", "activeDeadlineSeconds", "terminationGracePeriodSeconds", "containers", "initContainers")
    spec = {key: value for key, value in pod["spec"].items() if key not in loose}
    for field in ("containers", "initContainers"):
        spec[field] = [
            {key: value for key, value in container.items() if key != "image"}
            for container in pod["spec"].get(field) or []
        ]
    return spec


def _immutable(*fields: str) -> t.Callable[[Object, Object], Causes]:
    def check(old: Object, new: Object) -> Causes:
        for field in fields:
            before, after = old["spec"].get(field), (new.get("spec") or {}).get(field)
            if before != after:
                yield invalid_value(f"spec.{field}", after, "field is immutable")

    return check


def _stateful_changes(old: Object, new: Object) -> Causes:
    def fixed(obj: Object) -> Object:
        return {key: value for key, value in obj["spec"].items() if key not in _STATEFUL_LOOSE}

    if fixed(old) != fixed(new):
        yield forbidden_field("spec", _STATEFUL_UPDATE_TEXT)


def _service_changes(old: Object, new: Object) -> Causes:
    before, after = old["spec"].get("clusterIP"), new["spec"].get("clusterIP")
    if before and before != after and new["spec"].get("type") != "ExternalName":
        yield invalid_value("spec.clusterIPs[0]", [after], "may not change once set")


def _frozen_data(old: Object, new: Object) -> Causes:
    if old.get("immutable"):
        if not new.get("immutable"):
            yield forbidden_field("immutable", "field is immutable when `immutable` is set")
        for field in ("data", "binaryData"):
            if old.get(field) != new.get(field):
                yield forbidden_field(field, "field is immutable when `immutable` is set")
    if old.get("type") != new.get("type"):
        yield invalid_value("type", new.get("type"), "field is immutable")


_CHANGES: dict[str, t.Callable[[Object, Object], Causes]] = {
    "Pod": _pod_changes,
    "Job": _immutable("selector", "template", "completions", "completionMode"),
    "Deployment": _immutable("selector"),
    "ReplicaSet": _immutable("selector"),
    "DaemonSet": _immutable("selector"),
    "StatefulSet": _stateful_changes,
    "Service": _service_changes,
    "ConfigMap": _frozen_data,
    "Secret": _frozen_data,
}

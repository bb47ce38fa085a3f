# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a pod's spec must satisfy, in a pod or in a template; messages are kube-apiserver's."""

from __future__ import annotations

import re
import typing as t

from eks_sandbox.control_plane.embedded.errors import Cause
from eks_sandbox.control_plane.embedded.errors import duplicate
from eks_sandbox.control_plane.embedded.errors import field_not_found
from eks_sandbox.control_plane.embedded.errors import forbidden_field
from eks_sandbox.control_plane.embedded.errors import invalid_value
from eks_sandbox.control_plane.embedded.errors import required
from eks_sandbox.control_plane.embedded.errors import unsupported_value
from eks_sandbox.control_plane.embedded.names import dns_label
from eks_sandbox.control_plane.embedded.names import dns_subdomain
from eks_sandbox.control_plane.embedded.names import labels
from eks_sandbox.control_plane.embedded.names import port_name
from eks_sandbox.control_plane.embedded.names import qualified
from eks_sandbox.control_plane.embedded.names import variable_name
from eks_sandbox.control_plane.embedded.quantities import amount
from eks_sandbox.control_plane.objects import Object

Causes = t.Iterator[Cause]

RESTART_POLICIES = ("Always", "OnFailure", "Never")
NOT_NEGATIVE = "must be greater than or equal to 0"
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_VALUE_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_SELECTOR_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
_MOST_GROUP = 2147483647
#: Fields of a pod that its environment may show, and those that its files may show.
_VARIABLE_FIELDS = re.compile(
    r"metadata\.(name|namespace|uid|(labels|annotations)\['.+'\])"
    r"|spec\.(nodeName|serviceAccountName)|status\.(hostIP|hostIPs|podIP|podIPs)"
)
_FILE_FIELDS = re.compile(r"metadata\.(name|namespace|uid|labels|annotations|(labels|annotations)\['.+'\])")


def pod_spec(path: str, spec: Object) -> Causes:
    """Everything that is wrong with a PodSpec whose fields have the right types."""
    yield from _volumes(f"{path}.volumes", spec.get("volumes") or [])
    yield from _containers(path, spec)
    yield from _scheduling(path, spec)
    yield from _choices(path, spec)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and deadline < 1:
        yield invalid_value(f"{path}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            yield from dns_label(f"{path}.{field}", spec[field])
    for field in ("nodeName", "serviceAccountName"):
        if spec.get(field):
            yield from dns_subdomain(f"{path}.{field}", spec[field])
    yield from _security(f"{path}.securityContext", spec.get("securityContext") or {})


def _choices(path: str, spec: Object) -> Causes:
    choices = (("restartPolicy", RESTART_POLICIES), ("dnsPolicy", _DNS_POLICIES))
    for field, supported in choices:
        if spec.get(field) not in supported:
            yield unsupported_value(f"{path}.{field}", spec.get(field), supported)
    system = (spec.get("os") or {}).get("name", "linux")
    if system not in ("linux", "windows"):
        yield unsupported_value(f"{path}.os", system, ("linux", "windows"))


def _security(path: str, context: Object) -> Causes:
    for field in ("fsGroup", "runAsGroup", "runAsUser"):
        value = context.get(field)
        if value is not None and not 0 <= value <= _MOST_GROUP:
            yield invalid_value(f"{path}.{field}", value, f"must be between 0 and {_MOST_GROUP}, inclusive")


def _scheduling(path: str, spec: Object) -> Causes:
    yield from labels(f"{path}.nodeSelector", spec.get("nodeSelector") or {})
    for index, toleration in enumerate(spec.get("tolerations") or []):
        yield from _toleration(f"{path}.tolerations[{index}]", toleration)
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    wanted = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if wanted is None:
        return
    field = f"{path}.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
    if not wanted.get("nodeSelectorTerms"):
        yield required(field, "must have at least one node selector term")
    for index, term in enumerate(wanted.get("nodeSelectorTerms") or []):
        for place, expression in enumerate(term.get("matchExpressions") or []):
            if expression.get("operator") not in _SELECTOR_OPERATORS:
                operator = f"{field}[{index}].matchExpressions[{place}].operator"
                yield invalid_value(operator, expression.get("operator"), "not a valid selector operator")


def _toleration(path: str, toleration: Object) -> Causes:
    key, operator = toleration.get("key"), toleration.get("operator") or "Equal"
    effect = toleration.get("effect")
    if key:
        yield from qualified(f"{path}.key", key)
    elif operator != "Exists":
        why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield invalid_value(f"{path}.operator", toleration.get("operator", ""), why)
    if "tolerationSeconds" in toleration and effect != "NoExecute":
        yield invalid_value(
            f"{path}.effect", effect or "", "effect must be 'NoExecute' when `tolerationSeconds` is set"
        )
    if operator not in ("Equal", "Exists"):
        yield unsupported_value(f"{path}.operator", operator, ("Equal", "Exists"))
    elif operator == "Exists" and toleration.get("value"):
        why = "value must be empty when `operator` is 'Exists'"
        yield invalid_value(f"{path}.operator", toleration["value"], why)
    if effect and effect not in EFFECTS:
        yield unsupported_value(f"{path}.effect", effect, EFFECTS)


def _volumes(path: str, volumes: t.Sequence[Object]) -> Causes:
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        place, name = f"{path}[{index}]", volume.get("name", "")
        if name:
            yield from dns_label(f"{place}.name", name)
        else:
            yield required(f"{place}.name")
        if name in names:
            yield duplicate(f"{place}.name", name)
        names.add(name)
        # Where nothing is named, a volume is an emptyDir; the defaults have seen to that.
        for extra in [field for field in volume if field != "name"][1:]:
            yield forbidden_field(f"{place}.{extra}", "may not specify more than 1 volume type")
        yield from _volume_source(place, volume)


def _volume_source(path: str, volume: Object) -> Causes:
    for field, key in (("configMap", "name"), ("secret", "secretName"), ("hostPath", "path")):
        if field in volume and not volume[field].get(key):
            yield required(f"{path}.{field}.{key}")
    if ".." in str((volume.get("hostPath") or {}).get("path", "")).split("/"):
        yield invalid_value(f"{path}.hostPath.path", volume["hostPath"]["path"], "must not contain '..'")
    if "persistentVolumeClaim" in volume and not volume["persistentVolumeClaim"].get("claimName"):
        yield required(f"{path}.persistentVolumeClaim.claimName")
    yield from _downward_files(f"{path}.downwardAPI", volume.get("downwardAPI") or {})
    for source in (volume.get("projected") or {}).get("sources") or []:
        yield from _downward_files(f"{path}.projected", source.get("downwardAPI") or {})
    for index, source in enumerate((volume.get("projected") or {}).get("sources") or []):
        if token := source.get("serviceAccountToken"):
            yield from _projected_token(f"{path}.projected", index, token)


def _downward_files(path: str, source: Object) -> Causes:
    for item in source.get("items") or []:
        field = (item.get("fieldRef") or {}).get("fieldPath", "metadata.name")
        yield from _field_path(f"{path}.fieldRef.fieldPath", field, _FILE_FIELDS)
        yield from _local_path(f"{path}.path", item.get("path", ""))


def _projected_token(path: str, index: int, token: Object) -> Causes:
    seconds = token.get("expirationSeconds", 3600)
    field = f"{path}.sources[{index}].serviceAccountToken.expirationSeconds"
    if seconds < 600:
        yield invalid_value(field, seconds, "may not specify a duration less than 10 minutes")
    if seconds > 1 << 32:
        yield invalid_value(field, seconds, "may not specify a duration larger than 2^32 seconds")
    if not token.get("path"):
        yield required(f"{path}.path")
    else:
        yield from _local_path(f"{path}.path", token["path"])


def _local_path(field: str, path: str) -> Causes:
    if path.startswith("/"):
        yield invalid_value(field, path, "must be a relative path")
    if ".." in path.split("/"):
        yield invalid_value(field, path, "must not contain '..'")


def _field_path(field: str, value: str, known: re.Pattern[str]) -> Causes:
    if not known.fullmatch(value):
        yield invalid_value(field, value, f"error converting fieldPath: field label not supported: {value}")


def _containers(path: str, spec: Object) -> Causes:
    volumes = [volume.get("name", "") for volume in spec.get("volumes") or []]
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    if spec.get("ephemeralContainers"):
        yield forbidden_field(f"{path}.ephemeralContainers", "cannot be set on create")
    names: set[str] = set()
    # A name that both lists have is the init container's mistake.
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or []):
            place, name = f"{path}.{field}[{index}]", container.get("name", "")
            if name in names:
                yield duplicate(f"{place}.name", name)
            names.add(name)
            yield from _container(place, container, volumes)
            yield from _ports(f"{place}.ports", container, on_host=bool(spec.get("hostNetwork")))


def _container(path: str, container: Object, volumes: t.Sequence[str]) -> Causes:
    if container.get("name"):
        yield from dns_label(f"{path}.name", container["name"])
    image = container.get("image")
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        yield invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace")
    yield from _environment(path, container)
    yield from _mounts(path, container, volumes)
    yield from _probes(path, container)
    yield from _resources(f"{path}.resources", container.get("resources") or {})
    if container.get("imagePullPolicy") not in _PULL_POLICIES:
        yield unsupported_value(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL_POLICIES)
    policies, policy = ("File", "FallbackToLogsOnError"), container.get("terminationMessagePolicy")
    if policy not in policies:
        yield unsupported_value(f"{path}.terminationMessagePolicy", policy, policies)


def _ports(path: str, container: Object, *, on_host: bool) -> Causes:
    names: set[str] = set()
    for index, port in enumerate(container.get("ports") or []):
        place, number, host = f"{path}[{index}]", port.get("containerPort", 0), port.get("hostPort", 0)
        if name := port.get("name"):
            yield from port_name(f"{place}.name", name)
            if name in names:
                yield duplicate(f"{place}.name", name)
            names.add(name)
        if number == 0:
            yield required(f"{place}.containerPort")
        elif not 1 <= number <= 65535:
            yield invalid_value(f"{place}.containerPort", number, "must be between 1 and 65535, inclusive")
        if host and not 1 <= host <= 65535:
            yield invalid_value(f"{place}.hostPort", host, "must be between 1 and 65535, inclusive")
        elif on_host and host != number:
            yield invalid_value(f"{place}.hostPort", host, "must match `containerPort` when `hostNetwork` is true")
        if port.get("protocol") not in _PROTOCOLS:
            yield unsupported_value(f"{place}.protocol", port.get("protocol"), _PROTOCOLS)


def _environment(path: str, container: Object) -> Causes:
    for index, variable in enumerate(container.get("env") or []):
        place = f"{path}.env[{index}]"
        if not variable.get("name"):
            yield required(f"{place}.name")
        else:
            yield from variable_name(f"{place}.name", variable["name"])
        source = variable.get("valueFrom")
        if source is None:
            continue
        if not any(kind in source for kind in _VALUE_SOURCES):
            listed = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
            yield invalid_value(f"{place}.valueFrom", "", f"must specify one of: {listed}")
        elif variable.get("value"):
            yield invalid_value(f"{place}.valueFrom", "", "may not be specified when `value` is not empty")
        if field := (source.get("fieldRef") or {}).get("fieldPath"):
            yield from _field_path(f"{place}.valueFrom.fieldRef.fieldPath", field, _VARIABLE_FIELDS)
    for source in container.get("envFrom") or []:
        if "configMapRef" not in source and "secretRef" not in source:
            yield invalid_value(f"{path}.envFrom", "", "must specify one of: `configMapRef` or `secretRef`")


def _mounts(path: str, container: Object, volumes: t.Sequence[str]) -> Causes:
    paths: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or []):
        place, target = f"{path}.volumeMounts[{index}]", mount.get("mountPath", "")
        if mount.get("name") not in volumes:
            yield field_not_found(f"{place}.name", mount.get("name"))
        if target in paths:
            yield invalid_value(f"{place}.mountPath", target, "must be unique")
        paths.add(target)
        yield from _local_path(f"{path}.volumeMounts.subPath", mount.get("subPath") or "")


def _probes(path: str, container: Object) -> Causes:
    for hook, handler in (container.get("lifecycle") or {}).items():
        if isinstance(handler, dict):
            yield from _handler(f"{path}.lifecycle.{hook}", handler)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is None:
            continue
        yield from _handler(f"{path}.{name}", probe)
        for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
            if (probe.get(field) or 0) < 0:
                yield invalid_value(f"{path}.{name}.{field}", probe[field], NOT_NEGATIVE)
        if name != "readinessProbe" and probe.get("successThreshold", 1) > 1:
            yield invalid_value(f"{path}.{name}.successThreshold", probe["successThreshold"], "must be 1")


def _handler(path: str, handler: Object) -> Causes:
    kinds = [kind for kind in (*_HANDLERS, "sleep") if handler.get(kind) is not None]
    if not kinds:
        yield required(path, "must specify a handler type")
    for kind in kinds[1:]:
        yield forbidden_field(f"{path}.{kind}", "may not specify more than 1 handler type")
    for kind in ("httpGet", "tcpSocket"):
        port = (handler.get(kind) or {}).get("port")
        if isinstance(port, str):
            yield from port_name(f"{path}.{kind}.port", port)
        elif port is not None and not 1 <= port <= 65535:
            yield invalid_value(f"{path}.{kind}.port", port, "must be between 1 and 65535, inclusive")


def _resources(path: str, resources: Object) -> Causes:
    limits = resources.get("limits") or {}
    for kind in ("limits", "requests"):
        for name, quantity in (resources.get(kind) or {}).items():
            place = f"{path}.{kind}[{name}]"
            if "/" not in name and name not in _RESOURCES and not name.startswith("hugepages-"):
                yield invalid_value(place, name, "must be a standard resource type or fully qualified")
                yield invalid_value(place, name, "must be a standard resource for containers")
            if amount(quantity) < 0:
                yield invalid_value(place, quantity, NOT_NEGATIVE)
            if kind == "requests" and name in limits and amount(quantity) > amount(limits[name]):
                why = f"must be less than or equal to {name} limit of {limits[name]}"
                yield invalid_value(f"{path}.requests", quantity, why)

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
from eks_sandbox.control_plane.embedded.errors import unsupported_value
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import labels_of
from eks_sandbox.control_plane.objects import matches_selector

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_QUALIFIED_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_VARIABLE = re.compile(r"[^=\x00-\x1f\x7f]+")

_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_NAME_PART_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_CONFIG_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
    "or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
#: Which parts of a pod an update may change.
_POD_UPDATE_TEXT = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
Causes = t.Iterator[Cause]


def validate(resource: Resource, obj: Object, old: Object | None = None) -> list[Cause]:
    """Everything that is wrong with a new object, or with an update of ``old``."""
    causes = [*_metadata(resource, obj)]
    if specific := _KINDS.get(resource.kind):
        causes += specific(obj)
    if old is not None and (changes := _CHANGES.get(resource.kind)):
        causes += changes(old, obj)
    return causes


def _metadata(resource: Resource, obj: Object) -> Causes:
    metadata = obj["metadata"]
    name = metadata.get("name")
    if not name:
        yield required("metadata.name", "name or generateName is required")
    else:
        yield from _name(resource, name)
    yield from _labels("metadata.labels", metadata.get("labels") or {})
    for key in metadata.get("annotations") or {}:
        yield from _qualified("metadata.annotations", key.lower())
    for index, owner in enumerate(metadata.get("ownerReferences") or []):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                yield invalid_value(f"metadata.ownerReferences[{index}].{field}", "", "must not be empty")


def _name(resource: Resource, name: str) -> Causes:
    field = "metadata.name"
    if resource.kind == "Namespace":
        yield from _dns_label(field, name)
    elif resource.kind == "Service":
        if not _LABEL_1035.fullmatch(name) or len(name) > 63:
            yield invalid_value(field, name, _LABEL_1035_TEXT)
    else:
        yield from _dns_subdomain(field, name)


def _dns_subdomain(field: str, value: str) -> Causes:
    if len(value) > 253:
        yield invalid_value(field, value, "must be no more than 253 characters")
    elif not _SUBDOMAIN.fullmatch(value):
        yield invalid_value(field, value, _SUBDOMAIN_TEXT)


def _dns_label(field: str, value: str) -> Causes:
    if len(value) > 63:
        yield invalid_value(field, value, "must be no more than 63 characters")
    elif not _LABEL.fullmatch(value):
        yield invalid_value(field, value, _LABEL_TEXT)


def _qualified(field: str, key: str) -> Causes:
    prefix, slash, name = key.rpartition("/")
    if slash and (not prefix or not _SUBDOMAIN.fullmatch(prefix)):
        yield invalid_value(field, key, f"prefix part {_SUBDOMAIN_TEXT}")
    if not name or len(name) > 63:
        why = "name part must be non-empty" if not name else "name part must be no more than 63 characters"
        yield invalid_value(field, key, why)
    elif not _QUALIFIED_NAME.fullmatch(name):
        yield invalid_value(field, key, _NAME_PART_TEXT)


def _labels(field: str, labels: t.Mapping[str, str]) -> Causes:
    for key, value in labels.items():
        yield from _qualified(field, key)
        if len(value) > 63:
            yield invalid_value(field, value, "must be no more than 63 characters")
        elif not _LABEL_VALUE.fullmatch(value):
            yield invalid_value(field, value, _LABEL_VALUE_TEXT)


def _config(obj: Object) -> Causes:
    for field in ("data", "binaryData"):
        for key in obj.get(field) or {}:
            if not _CONFIG_KEY.fullmatch(key) or len(key) > 253:
                yield invalid_value(f"{field}[{key}]", key, _CONFIG_KEY_TEXT)
    size = sum(len(key) + len(value) for key, value in (obj.get("data") or {}).items())
    if size > 1024 * 1024:
        yield Cause("data", "Too long: may not be more than 1048576 bytes", "FieldValueTooLong")


def _pod(obj: Object) -> Causes:
    yield from _pod_spec("spec", obj.get("spec") or {})


def _pod_spec(path: str, spec: Object) -> Causes:
    volumes = [volume.get("name", "") for volume in spec.get("volumes") or []]
    yield from _volumes(f"{path}.volumes", spec.get("volumes") or [])
    names: set[str] = set()
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or []):
            place = f"{path}.{field}[{index}]"
            name = container.get("name", "")
            if name in names:
                yield duplicate(f"{place}.name", name)
            names.add(name)
            yield from _container(place, container, volumes)
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    if spec.get("restartPolicy") not in ("Always", "OnFailure", "Never"):
        yield unsupported_value(f"{path}.restartPolicy", spec.get("restartPolicy"), ("Always", "OnFailure", "Never"))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and deadline < 1:
        yield invalid_value(f"{path}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")
    yield from _labels(f"{path}.nodeSelector", spec.get("nodeSelector") or {})
    for index, toleration in enumerate(spec.get("tolerations") or []):
        if not toleration.get("key") and toleration.get("operator") != "Exists":
            why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            yield invalid_value(f"{path}.tolerations[{index}].operator", toleration.get("operator", ""), why)


def _volumes(path: str, volumes: t.Sequence[Object]) -> Causes:
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        name = volume.get("name", "")
        yield from _dns_label(f"{path}[{index}].name", name)
        if name in names:
            yield duplicate(f"{path}[{index}].name", name)
        names.add(name)
        for position, source in enumerate((volume.get("projected") or {}).get("sources") or []):
            place = f"{path}[{index}].projected.sources[{position}].serviceAccountToken"
            seconds = (source.get("serviceAccountToken") or {}).get("expirationSeconds", 600)
            if seconds < 600:
                yield invalid_value(
                    f"{place}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"
                )


def _container(path: str, container: Object, volumes: t.Sequence[str]) -> Causes:
    name = container.get("name", "")
    if name:
        yield from _dns_label(f"{path}.name", name)
    if not container.get("image"):
        yield required(f"{path}.image")
    elif container["image"] != container["image"].strip():
        why = "must not have leading or trailing whitespace"
        yield invalid_value(f"{path}.image", container["image"], why)
    yield from _environment(path, container)
    yield from _mounts(path, container, volumes)
    if container.get("imagePullPolicy") not in ("Always", "IfNotPresent", "Never"):
        choices = ("Always", "IfNotPresent", "Never")
        yield unsupported_value(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), choices)


def _environment(path: str, container: Object) -> Causes:
    for index, variable in enumerate(container.get("env") or []):
        place = f"{path}.env[{index}]"
        if not variable.get("name"):
            yield required(f"{place}.name")
        elif not _VARIABLE.fullmatch(variable["name"]):
            yield invalid_value(
                f"{place}.name", variable["name"], "a valid environment variable name must not contain '='"
            )
        if variable.get("value") and variable.get("valueFrom"):
            yield invalid_value(f"{place}.valueFrom", "", "may not be specified when `value` is not empty")


def _mounts(path: str, container: Object, volumes: t.Sequence[str]) -> Causes:
    paths: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or []):
        place = f"{path}.volumeMounts[{index}]"
        if mount.get("name") not in volumes:
            yield Cause(f"{place}.name", f'Not found: "{mount.get("name")}"', "FieldValueNotFound")
        if mount.get("mountPath", "") in paths:
            yield invalid_value(f"{place}.mountPath", mount["mountPath"], "must be unique")
        paths.add(mount.get("mountPath", ""))


def _template(obj: Object, restart_policies: t.Sequence[str]) -> Causes:
    template = (obj.get("spec") or {}).get("template") or {}
    yield from _labels("spec.template.labels", labels_of(template))
    spec = template.get("spec") or {}
    yield from _pod_spec("spec.template.spec", spec)
    if spec.get("restartPolicy") in ("Always", "OnFailure", "Never") and spec["restartPolicy"] not in restart_policies:
        field = "spec.template.spec.restartPolicy"
        yield unsupported_value(field, spec["restartPolicy"], restart_policies)


def _job(obj: Object) -> Causes:
    spec = obj.get("spec") or {}
    pod = (spec.get("template") or {}).get("spec") or {}
    # Jobs say it in their own words when the policy is the default, which no job may have.
    if pod.get("restartPolicy") == "Always":
        yield required("spec.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')
    yield from _template(obj, ("OnFailure", "Never", "Always"))
    for field in ("backoffLimit", "completions", "parallelism", "ttlSecondsAfterFinished", "activeDeadlineSeconds"):
        if (spec.get(field) or 0) < 0:
            yield invalid_value(f"spec.{field}", spec[field], "must be greater than or equal to 0")
    if len(obj["metadata"].get("name") or "") > 63:
        yield invalid_value("metadata.name", obj["metadata"]["name"], "must be no more than 63 characters")


def _replicated(obj: Object) -> Causes:
    spec = obj.get("spec") or {}
    selector = spec.get("selector")
    if not (selector or {}).get("matchLabels") and not (selector or {}).get("matchExpressions"):
        yield invalid_value("spec.selector", "{}", "empty selector is invalid for deployment")
    elif not matches_selector(selector, labels_of(spec.get("template") or {})):
        shown = (spec.get("template") or {}).get("metadata", {}).get("labels")
        yield invalid_value("spec.template.metadata.labels", str(shown), "`selector` does not match template `labels`")
    if (spec.get("replicas") or 0) < 0:
        yield invalid_value("spec.replicas", spec["replicas"], "must be greater than or equal to 0")
    yield from _template(obj, ("Always",))


def _mutating_webhooks(obj: Object) -> Causes:
    for index, webhook in enumerate(obj.get("webhooks") or []):
        place = f"webhooks[{index}]"
        configuration = webhook.get("clientConfig") or {}
        if bool(configuration.get("url")) == bool(configuration.get("service")):
            yield required(f"{place}.clientConfig", "exactly one of url or service is required")
        elif configuration.get("url") and not str(configuration["url"]).startswith("https://"):
            why = "'https' is the only allowed URL scheme; desired format: https://host[/path]"
            yield invalid_value(f"{place}.clientConfig.url", configuration["url"], why)
        if webhook.get("sideEffects") not in ("None", "NoneOnDryRun"):
            yield unsupported_value(f"{place}.sideEffects", webhook.get("sideEffects"), ("None", "NoneOnDryRun"))


_KINDS: dict[str, t.Callable[[Object], Causes]] = {
    "ConfigMap": _config,
    "Secret": _config,
    "Pod": _pod,
    "Job": _job,
    "Deployment": _replicated,
    "ReplicaSet": _replicated,
    "DaemonSet": _replicated,
    "MutatingWebhookConfiguration": _mutating_webhooks,
}


def _pod_changes(old: Object, new: Object) -> Causes:
    if _fixed_part(old) != _fixed_part(new):
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
                yield invalid_value(f"spec.{field}", str(after), "field is immutable")

    return check


def _frozen_data(old: Object, new: Object) -> Causes:
    fixed = ("data", "binaryData")
    if old.get("immutable") and any(old.get(field) != new.get(field) for field in fixed):
        yield forbidden_field("data", "field is immutable when `immutable` is set")
    if old.get("type") != new.get("type"):
        yield invalid_value("type", new.get("type"), "field is immutable")


_CHANGES: dict[str, t.Callable[[Object, Object], Causes]] = {
    "Pod": _pod_changes,
    "Job": _immutable("selector", "template", "completions", "completionMode"),
    "Deployment": _immutable("selector"),
    "ReplicaSet": _immutable("selector"),
    "DaemonSet": _immutable("selector"),
    "ConfigMap": _frozen_data,
    "Secret": _frozen_data,
}

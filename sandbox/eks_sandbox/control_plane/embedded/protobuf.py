# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Protobuf bodies, which ``kubectl create serviceaccount`` and its sisters send.

The field numbers are those of ``generated.proto`` in k8s.io/api and k8s.io/apimachinery, for what kubectl's own
commands create. A field that is not listed here is refused rather than lost. Answers are always JSON.
"""

from __future__ import annotations

import base64
import typing as t

from eks_sandbox.control_plane.embedded.errors import bad_request
from eks_sandbox.control_plane.embedded.errors import not_implemented
from eks_sandbox.control_plane.objects import Object

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

#: Message -> number -> name and type. ``int?``: zero is a value; ``[]``: repeated; ``-``: only the server sets it.
_MESSAGES: dict[str, dict[int, tuple[str, str]]] = {
    "Unknown": {1: ("typeMeta", "TypeMeta"), 2: ("raw", "bytes"), 3: ("encoding", "string"), 4: ("type", "string")},
    "TypeMeta": {1: ("apiVersion", "string"), 2: ("kind", "string")},
    "ObjectMeta": {
        1: ("name", "string"),
        2: ("generateName", "string"),
        3: ("namespace", "string"),
        4: ("selfLink", "string"),
        5: ("uid", "string"),
        6: ("resourceVersion", "string"),
        7: ("generation", "int"),
        8: ("creationTimestamp", "-"),
        11: ("labels", "map"),
        12: ("annotations", "map"),
        14: ("finalizers", "[]string"),
    },
    "Namespace": {1: ("metadata", "ObjectMeta"), 2: ("spec", "-"), 3: ("status", "-")},
    "ServiceAccount": {1: ("metadata", "ObjectMeta"), 4: ("automountServiceAccountToken", "bool?")},
    "ConfigMap": {
        1: ("metadata", "ObjectMeta"),
        2: ("data", "map"),
        3: ("binaryData", "bytes map"),
        4: ("immutable", "bool?"),
    },
    "Secret": {
        1: ("metadata", "ObjectMeta"),
        2: ("data", "bytes map"),
        3: ("type", "string"),
        4: ("stringData", "map"),
        5: ("immutable", "bool?"),
    },
    "TokenRequest": {1: ("metadata", "ObjectMeta"), 2: ("spec", "TokenRequestSpec"), 3: ("status", "-")},
    "TokenRequestSpec": {
        1: ("audiences", "[]string"),
        3: ("boundObjectRef", "BoundObjectReference"),
        4: ("expirationSeconds", "int?"),
    },
    "BoundObjectReference": {
        1: ("kind", "string"),
        2: ("apiVersion", "string"),
        3: ("name", "string"),
        4: ("uid", "string"),
    },
    "SelfSubjectReview": {1: ("metadata", "ObjectMeta"), 2: ("status", "-")},
    "SelfSubjectAccessReview": {1: ("metadata", "ObjectMeta"), 2: ("spec", "AccessReviewSpec"), 3: ("status", "-")},
    "AccessReviewSpec": {
        1: ("resourceAttributes", "ResourceAttributes"),
        2: ("nonResourceAttributes", "NonResourceAttributes"),
    },
    "ResourceAttributes": {
        1: ("namespace", "string"),
        2: ("verb", "string"),
        3: ("group", "string"),
        4: ("version", "string"),
        5: ("resource", "string"),
        6: ("subresource", "string"),
        7: ("name", "string"),
    },
    "NonResourceAttributes": {1: ("path", "string"), 2: ("verb", "string")},
    "Deployment": {1: ("metadata", "ObjectMeta"), 2: ("spec", "DeploymentSpec"), 3: ("status", "-")},
    "DeploymentSpec": {
        1: ("replicas", "int?"),
        2: ("selector", "LabelSelector"),
        3: ("template", "PodTemplateSpec"),
        4: ("strategy", "DeploymentStrategy"),
        5: ("minReadySeconds", "int"),
        7: ("paused", "bool"),
    },
    "DeploymentStrategy": {1: ("type", "string")},
    "LabelSelector": {1: ("matchLabels", "map"), 2: ("matchExpressions", "[]LabelSelectorRequirement")},
    "LabelSelectorRequirement": {1: ("key", "string"), 2: ("operator", "string"), 3: ("values", "[]string")},
    "PodDisruptionBudget": {1: ("metadata", "ObjectMeta"), 2: ("spec", "PodDisruptionBudgetSpec"), 3: ("status", "-")},
    "PodDisruptionBudgetSpec": {
        1: ("minAvailable", "IntOrString?"),
        2: ("selector", "LabelSelector"),
        3: ("maxUnavailable", "IntOrString?"),
        4: ("unhealthyPodEvictionPolicy", "string"),
    },
    "Eviction": {1: ("metadata", "ObjectMeta"), 2: ("deleteOptions", "DeleteOptions")},
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "int?"),
        2: ("preconditions", "Preconditions"),
        3: ("orphanDependents", "bool?"),
        4: ("propagationPolicy", "string"),
        5: ("dryRun", "[]string"),
    },
    "Preconditions": {1: ("uid", "string"), 2: ("resourceVersion", "string")},
    "Service": {1: ("metadata", "ObjectMeta"), 2: ("spec", "ServiceSpec"), 3: ("status", "-")},
    "ServiceSpec": {
        1: ("ports", "[]ServicePort"),
        2: ("selector", "map"),
        3: ("clusterIP", "string"),
        4: ("type", "string"),
        10: ("externalName", "string"),
    },
    "ServicePort": {
        1: ("name", "string"),
        2: ("protocol", "string"),
        3: ("port", "int"),
        4: ("targetPort", "IntOrString"),
        5: ("nodePort", "int"),
    },
    "PodTemplateSpec": {1: ("metadata", "ObjectMeta"), 2: ("spec", "PodSpec")},
    "PodSpec": {
        2: ("containers", "[]Container"),
        3: ("restartPolicy", "string"),
        4: ("terminationGracePeriodSeconds", "int?"),
        5: ("activeDeadlineSeconds", "int?"),
        6: ("dnsPolicy", "string"),
        7: ("nodeSelector", "map"),
        8: ("serviceAccountName", "string"),
        9: ("serviceAccount", "string"),
        10: ("nodeName", "string"),
        11: ("hostNetwork", "bool"),
        12: ("hostPID", "bool"),
        13: ("hostIPC", "bool"),
        16: ("hostname", "string"),
        17: ("subdomain", "string"),
        19: ("schedulerName", "string"),
        24: ("priorityClassName", "string"),
    },
    "Container": {
        1: ("name", "string"),
        2: ("image", "string"),
        3: ("command", "[]string"),
        4: ("args", "[]string"),
        5: ("workingDir", "string"),
        6: ("ports", "[]ContainerPort"),
        7: ("env", "[]EnvVar"),
        8: ("resources", "-"),
        13: ("terminationMessagePath", "string"),
        14: ("imagePullPolicy", "string"),
        16: ("stdin", "bool"),
        17: ("stdinOnce", "bool"),
        18: ("tty", "bool"),
        20: ("terminationMessagePolicy", "string"),
    },
    "ContainerPort": {
        1: ("name", "string"),
        2: ("hostPort", "int"),
        3: ("containerPort", "int"),
        4: ("protocol", "string"),
        5: ("hostIP", "string"),
    },
    "EnvVar": {1: ("name", "string"), 2: ("value", "string")},
    "Job": {1: ("metadata", "ObjectMeta"), 2: ("spec", "JobSpec"), 3: ("status", "-")},
    "JobSpec": {
        1: ("parallelism", "int?"),
        2: ("completions", "int?"),
        3: ("activeDeadlineSeconds", "int?"),
        6: ("template", "PodTemplateSpec"),
        7: ("backoffLimit", "int?"),
        8: ("ttlSecondsAfterFinished", "int?"),
    },
}


def decode(body: bytes) -> Object:
    """The object in a body.

    :raises ApiError: 400 for invalid protobuf, 501 for kinds and fields that only other clients send.
    """
    try:
        if not body.startswith(_MAGIC):
            raise ValueError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
        envelope = _message("Unknown", body[len(_MAGIC) :])
        types = envelope["typeMeta"]
        if types["kind"] not in _MESSAGES:
            raise not_implemented(f"protobuf of kind {types['kind']}")
        return {**types, **_message(types["kind"], base64.b64decode(envelope.get("raw", "")))}
    except (ValueError, KeyError, IndexError) as error:
        raise bad_request(f"unable to decode the protobuf body: {error}") from error


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def _fields(data: bytes) -> t.Iterator[tuple[int, int | bytes]]:
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, place = _varint(data, place)
            yield number, value - (1 << 64) if value >= 1 << 63 else value
            continue
        if wire == _BYTES:
            size, place = _varint(data, place)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"unknown wire type {wire}")
        if place + size > len(data):
            raise ValueError("unexpected end of the message")
        yield number, data[place : place + size]
        place += size


def _message(kind: str, data: bytes) -> Object:
    found: Object = {}
    known = _MESSAGES[kind]
    for number, value in _fields(data):
        if number not in known:
            if value not in (0, b""):
                raise not_implemented(f"field {number} of a protobuf {kind}")
            continue
        name, form = known[number]
        if form.startswith("[]"):
            found.setdefault(name, []).append(_value(form[2:], value))
        elif form.endswith("map"):
            key, entry = _entry(value, is_binary=form == "bytes map")
            found.setdefault(name, {})[key] = entry
        elif form != "-":
            decoded = _value(form, value)
            # Go writes fields that are not pointers even if they are not set.
            if form.endswith("?") or decoded not in ("", 0, False, {}):
                found[name] = decoded
    return found


def _value(form: str, value: int | bytes) -> t.Any:
    scalar = form.rstrip("?")
    if scalar in ("int", "bool"):
        if not isinstance(value, int):
            raise ValueError("a number is expected")
        return bool(value) if scalar == "bool" else value
    if not isinstance(value, bytes):
        raise ValueError("text or a message is expected")
    if scalar == "string":
        return value.decode()
    if scalar == "IntOrString":
        return _number_or_text(value)
    return base64.b64encode(value).decode() if scalar == "bytes" else _message(scalar, value)


def _number_or_text(data: bytes) -> int | str:
    parts = dict(_fields(data))
    chosen = parts.get(3, b"") if parts.get(1, 0) else parts.get(2, 0)
    return chosen.decode() if isinstance(chosen, bytes) else chosen


def _entry(value: int | bytes, *, is_binary: bool) -> tuple[str, str]:
    if not isinstance(value, bytes):
        raise ValueError("a map entry is expected")
    parts = dict(_fields(value))
    key, content = parts.get(1, b""), parts.get(2, b"")
    if not isinstance(key, bytes) or not isinstance(content, bytes):
        raise ValueError("a map of texts is expected")
    return key.decode(), base64.b64encode(content).decode() if is_binary else content.decode()

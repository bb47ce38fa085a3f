# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Workloads as their users declare them, with the calls that are to prove what they may do."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import listing
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import plain
from ansible_collections.podidentity.eks.plugins.module_utils._workload import spec

#: What ``prove`` may say: the calls, and where the pod of a verification runs.
PROVE_KEYS = tuple(spec.PROVE)
#: What a call may say, and what it must.
CALL_KEYS = set(spec.CALL)
CALL_REQUIRED = ("service", "operation")

EXAMPLE_IMAGE = "public.ecr.aws/lambda/python:3.13"
EXAMPLE_CALL = "{service: s3, operation: list_buckets}"
EXAMPLE_LABEL = '{kubernetes.io/arch: arm64, gpu: "true"}'
EXAMPLE_TOLERATION = "[{key: gpu, operator: Exists}]"


class DeclarationError(ValueError):
    """A workload that cannot be verified as it is declared; the message is one sentence for the user."""


@dataclasses.dataclass(frozen=True)
class Call:
    """One AWS call that a pod makes to prove something."""

    service: str
    operation: str
    #: ``allow`` or ``deny``
    expected: str
    parameters: t.Mapping[str, t.Any]
    #: JMESPath of what to show of the answer, empty for nothing.
    show: str

    def as_document(self) -> dict[str, t.Any]:
        """The form that the script in the pod reads."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Workload:
    """A service account of a namespace and what its pods are to prove."""

    namespace: str
    service_account: str
    calls: tuple[Call, ...]
    #: What is declared for the role that its pods hold: names or ARNs of managed policies, and the inline policy.
    managed_policies: tuple[str, ...] = ()
    inline_policy: t.Mapping[str, t.Any] | None = None

    @property
    def account(self) -> tuple[str, str]:
        """By which its associations and pods are found."""
        return self.namespace, self.service_account

    def __str__(self) -> str:
        return "/".join(self.account)


def read_workloads(declared: t.Any) -> list[Workload]:
    """The declared workloads; :class:`DeclarationError` names the first one that cannot be verified and why."""
    if not isinstance(declared, (list, tuple)):
        raise DeclarationError(f"The workloads are to be a list, not {json.dumps(declared, default=str)[:80]}.")
    return [read_workload(item, f"workload {number}") for number, item in enumerate(declared, start=1)]


def read_workload(declared: t.Any, where: str) -> Workload:
    """One workload; ``where`` says in messages which one."""
    if not isinstance(declared, t.Mapping):
        raise DeclarationError(f"{where} is to be a mapping with namespace and service_account.")
    names = [declared.get(key) for key in ("namespace", "service_account")]
    if not all(isinstance(name, str) and name for name in names):
        raise DeclarationError(f"{where} lacks a namespace or a service_account.")
    where = "/".join(map(str, names))
    prove = declared.get("prove") or {}
    if not isinstance(prove, t.Mapping) or set(map(str, prove)) - set(PROVE_KEYS):
        raise DeclarationError(f"{where}: prove is to be a mapping of {', '.join(PROVE_KEYS)}, nothing else.")
    check_place(prove, where)
    calls = [
        read_call(call, expected, f"{where}: prove.{expected}")
        for expected in ("allow", "deny")
        for call in listed(prove.get(expected), f"{where}: prove.{expected}")
    ]
    # With a target role the pods hold that one.
    role = declared.get("target_role") or declared.get("role")
    held = role if isinstance(role, t.Mapping) else {}
    inline = held.get("inline_policy")
    return Workload(
        namespace=str(names[0]),
        service_account=str(names[1]),
        calls=tuple(calls),
        managed_policies=tuple(map(str, listing(held.get("managed_policies")))),
        inline_policy=inline if isinstance(inline, t.Mapping) else None,
    )


def listed(calls: t.Any, where: str) -> t.Sequence[t.Any]:
    """The calls of a list that may be left out."""
    if not isinstance(calls or [], (list, tuple)):
        raise DeclarationError(f"{where} is to be a list of calls, such as [{EXAMPLE_CALL}].")
    return calls or []


def check_place(prove: t.Mapping[str, t.Any], where: str) -> None:
    """What ``prove`` says about the pod itself; Kubernetes would refuse anything else in words of its own."""
    image, labels, tolerations = (prove.get(key) for key in ("image", "node_selector", "tolerations"))
    if image is not None and not (isinstance(image, str) and image):
        raise DeclarationError(f"{where}: prove.image is to be the name of an image, such as {EXAMPLE_IMAGE}.")
    is_labels = isinstance(labels, t.Mapping) and all(isinstance(value, str) for value in labels.values())
    if labels is not None and not is_labels:
        raise DeclarationError(
            f"{where}: prove.node_selector is to be a mapping of labels to texts, such as {EXAMPLE_LABEL}."
        )
    is_list = isinstance(tolerations, (list, tuple)) and all(isinstance(item, t.Mapping) for item in tolerations)
    if tolerations is not None and not is_list:
        raise DeclarationError(f"{where}: prove.tolerations is to be a list of mappings, such as {EXAMPLE_TOLERATION}.")


def read_call(declared: t.Any, expected: str, where: str) -> Call:
    """One call of the lists ``allow`` or ``deny``."""
    if not isinstance(declared, t.Mapping) or any(not isinstance(declared.get(key), str) for key in CALL_REQUIRED):
        raise DeclarationError(f"{where}: each call names a service and an operation of boto3, such as {EXAMPLE_CALL}.")
    unknown = sorted(str(key) for key in set(declared) - CALL_KEYS)
    if unknown:
        raise DeclarationError(f"{where}: a call takes {', '.join(sorted(CALL_KEYS))}, not {', '.join(unknown)}.")
    parameters = declared.get("parameters") or {}
    if not isinstance(parameters, t.Mapping):
        raise DeclarationError(f"{where}: parameters of {declared['operation']} are to be a mapping.")
    show = str(declared.get("show") or "")
    return Call(declared["service"], declared["operation"], expected, plain(parameters), show)

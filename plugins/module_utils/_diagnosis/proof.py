# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The proof of a workload: what was observed, judged. Proven is only what was seen in full."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import POD_IDENTITY_METHOD
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import is_met
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import results
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.causes import find_cause
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.causes_running import RunCase
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.causes_running import find_running_cause
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import CONTAINER
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import CallResult
from ansible_collections.podidentity.eks.plugins.module_utils._workload.prove import Call

#: EKS names the sessions ``eks-CLUSTER-POD-UUID`` and shortens long ones, so only the prefix is certain.
SESSION_PREFIX = "eks-"


def prove(case: RunCase) -> dict[str, t.Any]:
    """The proof object of one workload, with ``cause`` and ``advice`` when it is not proven."""
    association, identity = case.association, case.document.identity if case.document else None
    proof: dict[str, t.Any] = {
        "cluster": case.cluster,
        "namespace": case.workload.namespace,
        "service_account": case.workload.service_account,
        "association_id": association.id if association else None,
        "role_arn": association.role_arn if association else None,
        "target_role_arn": association.target_role_arn or None if association else None,
        "identity": dataclasses.asdict(identity) if identity else None,
        "region": case.document.region or None if case.document else None,
        "calls": [describe_call(call, result) for call, result in results(case)],
        **describe_run(case),
        "proven": is_proven(case),
    }
    if proof["proven"]:
        return proof
    cause = find_running_cause(case) or find_cause(case)
    unknown = "".join(f" (Not looked up: {message}.)" for message in case.surroundings.unknown)
    return proof | {"cause": {"id": cause.id, "text": cause.text}, "advice": cause.advice + unknown}


def describe_run(case: RunCase) -> dict[str, t.Any]:
    """How it was found out, and what else was seen."""
    target = case.execution.target if case.execution else None
    return {
        "mode": "exec" if case.execution else "job",
        "pod": case.pod.name or None if case.pod else None,
        "container": target.container if target else CONTAINER if case.pod else None,
        "seconds": case.document.seconds if case.document else 0.0,
        "warnings": [*case.warnings, *other_region(case)],
    }


def other_region(case: RunCase) -> t.Iterator[str]:
    """The pod asks AWS in another region than its cluster's, where the workload need not have what it has here."""
    cluster = case.association.cluster_arn.split(":")[3:4] if case.association else []
    region = case.document.region if case.document else ""
    if region and cluster and [region] != cluster:
        yield f"The pod's region is {region}, the cluster's is {cluster[0]}."


def describe_call(call: Call, result: CallResult) -> dict[str, t.Any]:
    """One call for the reader of a proof; the error only where it is not what was expected."""
    described: dict[str, t.Any] = {
        "service": call.service,
        "operation": call.operation,
        "expected": call.expected,
        "outcome": result.outcome,
        "ok": is_met(call, result),
    }
    if call.show:
        described["shown"] = result.shown
    if result.show_error:
        described["show_error"] = result.show_error
    if result.fault:
        described |= {"code": result.fault.code or result.fault.type, "message": result.fault.message}
    return described


def holds_identity(case: RunCase) -> bool:
    """Whether the pod's session is one of the association's role, made by EKS Pod Identity."""
    identity = case.document.identity if case.document else None
    role = case.role
    if case.document is None or identity is None or role is None:
        return False
    return (
        case.document.method == POD_IDENTITY_METHOD
        and (identity.account, identity.role) == (role.account, role.name)
        and identity.session_name.startswith(SESSION_PREFIX)
    )


def is_proven(case: RunCase) -> bool:
    """The right identity, and every declared call tried and gone as declared."""
    pairs = results(case)
    return holds_identity(case) and len(pairs) == len(case.workload.calls) and all(is_met(*pair) for pair in pairs)

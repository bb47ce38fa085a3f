# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""One verification with all that is known about it, and what a cause is."""

from __future__ import annotations

import dataclasses

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import Association
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import CallResult
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import Document
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import Pod
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import Role
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.surroundings import Surroundings
from ansible_collections.podidentity.eks.plugins.module_utils._workload.prove import Call
from ansible_collections.podidentity.eks.plugins.module_utils._workload.prove import Workload

AGENT = "eks-pod-identity-agent"
#: The provider of boto3's chain that asks the EKS Pod Identity agent.
POD_IDENTITY_METHOD = "container-role"


@dataclasses.dataclass(frozen=True)
class Cause:
    """Why a workload is not proven: a stable identifier, what is so, and what to do; one sentence each."""

    id: str
    text: str
    advice: str


@dataclasses.dataclass(frozen=True)
class Case:
    """All that is known about one verification."""

    cluster: str
    workload: Workload
    association: Association | None
    job: str = ""
    #: What the API server answered when it refused the Job.
    refused: str = ""
    pod: Pod | None = None
    document: Document | None = None
    log: str = ""
    #: For how long the pod was waited for, in seconds.
    timeout: int = 0
    surroundings: Surroundings = dataclasses.field(default_factory=Surroundings)

    @property
    def role(self) -> Role | None:
        """The role that the pod should hold."""
        return self.association.role if self.association else None


def results(case: Case) -> list[tuple[Call, CallResult]]:
    """The declared calls with what became of them; empty unless the pod tells about every one, in order."""
    declared = case.workload.calls
    found = case.document.calls if case.document else ()
    named = [(result.service, result.operation, result.expected) for result in found]
    if named != [(call.service, call.operation, call.expected) for call in declared]:
        return []
    return list(zip(declared, found, strict=True))


def is_met(call: Call, result: CallResult) -> bool:
    """Whether a call went as declared; ``deny`` is met by a refusal only, not by any other failure."""
    return result.outcome == {"allow": "allowed", "deny": "denied"}[call.expected]


def agent_answer(case: Case) -> str:
    """What boto3 said when it could not get credentials from the agent, empty for any other trouble."""
    fault = case.document.credentials_fault if case.document else None
    if fault is None or fault.type not in ("CredentialRetrievalError", "ValueError"):
        return ""
    return fault.message

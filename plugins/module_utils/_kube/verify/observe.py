# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What is read for a verification: the workloads' own pods, and after a failure what is around them."""

from __future__ import annotations

import typing as t

from ..._diagnosis.case import AGENT
from ..._diagnosis.reading import sentence
from ..._diagnosis.reading import text
from ..._eks import common
from ..._eks.addon import looking as addons
from ..._eks.role import accounts
from ..._eks.role import looking as roles
from ..causes import Refusal
from ..observation import ClusterObserver
from ..observation import path_of

if t.TYPE_CHECKING:
    import collections.abc as c

    from ..connection import Answer
    from ..connection import Listing

Proof = t.Mapping[str, t.Any]
#: Causes that are explained better when the roles are known.
CAUSES_OF_ROLES = frozenset(
    {
        "trust_refused",
        "permission_missing",
        "boundary_denies",
        "policy_denies",
        "session_policy_denies",
        "deny_allowed",
    }
)
AGENT_LABEL = f"app.kubernetes.io/name={AGENT}"
#: Nodes of these types have no agent of the add-on's own.
SPECIAL_NODES = "eks.amazonaws.com/compute-type in (fargate, hybrid)"
NOT_FOUND = 404


class Observer(ClusterObserver):
    """Reads the workloads' own pods."""

    def own_pods(self) -> Listing:
        """The running pods, in one read however many namespaces there are."""
        return self.api.objects(path_of("Pod", self.namespace), fields="status.phase=Running")


class Surroundings:
    """Looks up what may explain why something is not proven. Each look-up may fail for want of a permission."""

    def __init__(self, observer: Observer, unproven: c.Sequence[Proof]) -> None:
        self._observer = observer
        self._unproven = unproven
        self._unknown: list[str] = []

    def read(self) -> dict[str, t.Any]:
        """What :func:`read_surroundings` takes: only what concerns a cause that was found."""
        found: dict[str, t.Any] = {}
        if unreachable := self._with_cause("agent_unreachable"):
            found["addons"] = self._aws(
                lambda: addons.look_up(self._observer.eks, self._observer.cluster_name, [AGENT])
            )
            found["agent_pods"] = self._objects("Pod", "kube-system", labels=AGENT_LABEL)
            found["nodes"] = self._objects("Node", "", labels=SPECIAL_NODES)
            found["network_policies"] = self._of_namespaces("NetworkPolicy", unreachable)
        if self._with_cause("not_injected"):
            found["webhook"] = self._webhook()
        if self._with_cause("association_missing"):
            # Names are enough.
            found["associations"] = self._aws(lambda: self._observer.listed_associations(describe=False))
        if puzzling := self._with_cause(*CAUSES_OF_ROLES):
            found["roles"] = self._roles(puzzling)
        if without_pod := self._with_cause("pod_not_created"):
            found["events"] = self._of_namespaces("Event", without_pod, fields="involvedObject.kind=Job")
        return {**found, "unknown": self._unknown}

    def _with_cause(self, *causes: str) -> list[Proof]:
        return [one for one in self._unproven if one["cause"]["id"] in causes]

    def _aws(self, look_up: c.Callable[[], list[t.Any]]) -> list[t.Any] | None:
        try:
            return look_up()
        except common.AnsibleEKSError as error:
            self._unknown.append(sentence(common.explained(error)))
            return None

    def _objects(self, kind: str, namespace: str, **selectors: str) -> list[t.Any] | None:
        answer = self._observer.api.objects(path_of(kind, namespace), **selectors)
        if isinstance(answer, Refusal):
            self._unknown.append(sentence(answer.message))
            return None
        return answer

    def _of_namespaces(self, kind: str, proofs: c.Iterable[Proof], **selectors: str) -> list[t.Any]:
        namespaces = dict.fromkeys(str(one["namespace"]) for one in proofs)
        return [one for namespace in namespaces for one in self._objects(kind, namespace, **selectors) or ()]

    def _webhook(self) -> t.Any:
        answer: Answer = self._observer.api.webhook()
        if not isinstance(answer, Refusal):
            return answer
        if answer.status == NOT_FOUND:
            return {}
        self._unknown.append(sentence(answer.message))
        return None

    def _roles(self, puzzling: c.Sequence[Proof]) -> dict[str, list[t.Any]]:
        """The roles of proofs, those of each account with the credentials for it."""
        arns = [text(one[key]) for key in ("role_arn", "target_role_arn") for one in puzzling]
        by_account: dict[str, list[str]] = {}
        for arn in filter(None, arns):
            by_account.setdefault((arn.split(":") + [""] * 5)[4], []).append(arn)
        ways = accounts.ways_of(self._observer.module.params["accounts"])
        found: dict[str, list[t.Any]] = {"roles": [], "missing": [], "unread": []}
        for account, wanted in by_account.items():
            try:
                way = ways.get(account, accounts.Way())
                credentials = accounts.credentials_for(self._observer.module, way)
                answer = roles.read_all(self._observer.module, wanted, credentials)
            except common.AnsibleEKSError as error:
                self._unknown.append(sentence(common.explained(error)))
                continue
            for key in found:
                found[key] += answer[key]
        return found

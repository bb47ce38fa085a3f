# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What is looked up only after a verification has failed: the agent, the roles and what happened to the Jobs.

Each part comes as the registered result of an Ansible task, and each may be unknown: whoever verifies need not have the
permission to look at all of it, and a diagnosis with less knowledge is better than none.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import dig
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import listing
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import mapping
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import sentence
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import text

#: Under which key each look-up has its answer.
ANSWERS: t.Mapping[str, str] = {
    "addon": "addon",
    "agent_pods": "resources",
    "roles": "iam_roles",
    "events": "resources",
}


@dataclasses.dataclass(frozen=True)
class Addon:
    """The add-on ``eks-pod-identity-agent``."""

    exists: bool
    status: str = ""
    issues: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class RoleFacts:
    """What IAM says about a role."""

    exists: bool
    arn: str = ""
    trust: t.Any = None
    policies: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """Everything looked up; None and missing keys stand for what is not known."""

    addon: Addon | None = None
    #: Names of the nodes on which an agent is ready.
    agent_nodes: frozenset[str] | None = None
    #: By name of the role.
    roles: t.Mapping[str, RoleFacts] = dataclasses.field(default_factory=dict)
    #: The last event of a Job, by namespace and name.
    job_events: t.Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    #: Why something could not be looked up, one sentence each.
    unknown: tuple[str, ...] = ()

    def role(self, arn: str) -> RoleFacts | None:
        """The facts of just this role: IAM was asked by name, and a role of another account may have the same one."""
        facts = self.roles.get(arn.rpartition("/")[2])
        return facts if facts is not None and facts.arn in ("", arn) else None


def read_surroundings(looked_up: t.Any) -> Surroundings:
    """The registered results under ``addon``, ``agent_pods``, ``roles`` and ``events``, each of them optional."""
    found = mapping(looked_up)
    return Surroundings(
        addon=read_addon(found.get("addon")),
        agent_nodes=read_agent_nodes(found.get("agent_pods")),
        roles=dict(read_role(result) for result in answers(found.get("roles"), "iam_roles")),
        job_events=read_events(found.get("events")),
        unknown=tuple(dict.fromkeys(read_failures(found))),
    )


def answers(registered: t.Any, key: str) -> list[t.Mapping[str, t.Any]]:
    """The successful results of a loop."""
    results = [mapping(result) for result in listing(dig(registered, "results"))]
    return [result for result in results if isinstance(result.get(key), (list, tuple))]


def read_addon(registered: t.Any) -> Addon | None:
    """The add-on by a check-mode run of ``eks_addon``, which predicts one without an ARN where there is none."""
    addon = mapping(dig(registered, "addon"))
    if not addon:
        return None
    issues = [
        f"{text(dig(issue, 'code'))}: {sentence(text(dig(issue, 'message')))}"
        for issue in listing(dig(addon, "health", "issues"))
    ]
    return Addon(bool(text(addon.get("arn"))), text(addon.get("status")), tuple(issues))


def read_agent_nodes(registered: t.Any) -> frozenset[str] | None:
    """The nodes with a ready agent, by the list of the agent's pods."""
    pods = dig(registered, "resources")
    if not isinstance(pods, (list, tuple)):
        return None
    return frozenset(text(dig(pod, "spec", "nodeName")) for pod in pods if is_ready(pod))


def is_ready(pod: t.Any) -> bool:
    conditions = listing(dig(pod, "status", "conditions"))
    return any((dig(item, "type"), dig(item, "status")) == ("Ready", "True") for item in conditions)


def read_role(result: t.Mapping[str, t.Any]) -> tuple[str, RoleFacts]:
    """One role by ``iam_role_info``, whose list is empty for a role that does not exist."""
    name = text(result.get("item"))
    found = listing(result.get("iam_roles"))
    if not found:
        return name, RoleFacts(exists=False)
    managed = [text(dig(policy, "policy_name")) for policy in listing(dig(found[0], "managed_policies"))]
    inline = [f"{text(policy)} (inline)" for policy in listing(dig(found[0], "inline_policies"))]
    trust = dig(found[0], "assume_role_policy_document")
    return name, RoleFacts(True, text(dig(found[0], "arn")), trust, tuple(managed + inline))


def read_events(registered: t.Any) -> dict[tuple[str, str], str]:
    """The last warning about each Job, for a Job whose pods are refused says so only in its events."""
    events: dict[tuple[str, str], str] = {}
    for result in answers(registered, "resources"):
        for event in listing(result["resources"]):
            about = mapping(dig(event, "involvedObject"))
            if dig(event, "type") == "Warning" and text(dig(event, "message")):
                events[text(about.get("namespace")), text(about.get("name"))] = text(dig(event, "message"))
    return events


def read_failures(found: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """What each failed look-up said: a result with a message in place of what was asked for."""
    for part, key in ANSWERS.items():
        loop = listing(dig(found, part, "results"))
        for result in loop or [found.get(part)]:
            message = text(dig(result, "msg"))
            if message and key not in mapping(result) and dig(result, "skipped") is not True:
                yield sentence(message, 200)

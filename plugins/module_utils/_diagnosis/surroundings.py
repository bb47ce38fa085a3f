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
    "nodes": "resources",
    "network_policies": "resources",
    "webhook": "resources",
    "associations": "associations",
    "roles": "iam_roles",
    "inline_policies": "policies",
    "events": "resources",
}
COMPUTE_TYPE = "eks.amazonaws.com/compute-type"


@dataclasses.dataclass(frozen=True)
class Addon:
    """The add-on ``eks-pod-identity-agent``."""

    exists: bool
    status: str = ""
    issues: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class AgentPod:
    """The agent's pod on one node."""

    ready: bool
    #: Since when it is ready, as Kubernetes writes times.
    since: str = ""
    #: Why its container does not stay up.
    trouble: str = ""


@dataclasses.dataclass(frozen=True)
class RoleFacts:
    """What IAM says about a role."""

    exists: bool
    arn: str = ""
    trust: t.Any = None
    managed: tuple[str, ...] = ()
    inline: tuple[str, ...] = ()

    @property
    def policies(self) -> tuple[str, ...]:
        """The names of all its policies."""
        return (*self.managed, *(f"{name} (inline)" for name in self.inline))


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """Everything looked up; None and missing keys stand for what is not known."""

    addon: Addon | None = None
    #: By name of the node.
    agents: t.Mapping[str, AgentPod] | None = None
    #: By name of the node: the compute type of nodes that AWS does not run the agent's DaemonSet on.
    special_nodes: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: The network policies of the namespaces that were looked at, as Kubernetes returns them.
    network_policies: tuple[t.Mapping[str, t.Any], ...] = ()
    #: The configuration of the pod identity webhook, empty where there is none.
    webhook: t.Mapping[str, t.Any] | None = None
    #: Namespace and service account of every association of the cluster.
    associated: tuple[tuple[str, str], ...] = ()
    #: By name of the role.
    roles: t.Mapping[str, RoleFacts] = dataclasses.field(default_factory=dict)
    #: The documents of a role's inline policies, by name of the role.
    inline_policies: t.Mapping[str, tuple[t.Any, ...]] = dataclasses.field(default_factory=dict)
    #: The last event of a Job, by namespace and name.
    job_events: t.Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    #: Why something could not be looked up, one sentence each.
    unknown: tuple[str, ...] = ()

    def role(self, arn: str) -> RoleFacts | None:
        """The facts of just this role: IAM was asked by name, and a role of another account may have the same one."""
        facts = self.roles.get(arn.rpartition("/")[2])
        return facts if facts is not None and facts.arn in ("", arn) else None


def read_surroundings(looked_up: t.Any) -> Surroundings:
    """The registered results under the keys of :data:`ANSWERS`, each of them optional."""
    found = mapping(looked_up)
    return Surroundings(
        addon=read_addon(found.get("addon")),
        agents=read_agents(found.get("agent_pods")),
        special_nodes=dict(map(read_compute_type, listing(dig(found, "nodes", "resources")))),
        network_policies=tuple(map(mapping, read_loop(found.get("network_policies"), "resources"))),
        webhook=read_webhook(found.get("webhook")),
        associated=tuple(map(read_key, listing(dig(found, "associations", "associations")))),
        roles=dict(read_role(result) for result in answers(found.get("roles"), "iam_roles")),
        inline_policies=dict(read_documents(result) for result in answers(found.get("inline_policies"), "policies")),
        job_events=read_events(found.get("events")),
        unknown=tuple(dict.fromkeys(read_failures(found))),
    )


def answers(registered: t.Any, key: str) -> list[t.Mapping[str, t.Any]]:
    """The successful results of a loop."""
    results = [mapping(result) for result in listing(dig(registered, "results"))]
    return [result for result in results if isinstance(result.get(key), (list, tuple))]


def read_loop(registered: t.Any, key: str) -> list[t.Any]:
    """The items of all successful results of a loop."""
    return [item for result in answers(registered, key) for item in result[key]]


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


def read_agents(registered: t.Any) -> dict[str, AgentPod] | None:
    """The agents by the nodes they are on; a ready one counts before one that is on its way out."""
    pods = dig(registered, "resources")
    if not isinstance(pods, (list, tuple)):
        return None
    found: dict[str, AgentPod] = {}
    for pod in pods:
        node, agent = text(dig(pod, "spec", "nodeName")), read_agent(pod)
        if agent.ready or node not in found:
            found[node] = agent
    return found


def read_agent(pod: t.Any) -> AgentPod:
    """One pod of the agent's DaemonSet."""
    for condition in listing(dig(pod, "status", "conditions")):
        if (dig(condition, "type"), dig(condition, "status")) == ("Ready", "True"):
            return AgentPod(True, since=text(dig(condition, "lastTransitionTime")))
    return AgentPod(False, trouble=read_trouble(pod))


def read_trouble(pod: t.Any) -> str:
    """Why a container waits to be started again, and how it ended; empty while one only takes its time."""
    for container in listing(dig(pod, "status", "containerStatuses")):
        reason = text(dig(container, "state", "waiting", "reason"))
        ended = mapping(dig(container, "state", "terminated")) or mapping(dig(container, "lastState", "terminated"))
        if ended or reason.startswith(("Err", "Image", "CrashLoop", "CreateContainer", "RunContainer")):
            said = text(ended.get("message")) or text(dig(container, "state", "waiting", "message"))
            told = [reason or "Error", f"exit code {ended['exitCode']}" if "exitCode" in ended else "", sentence(said)]
            return ", ".join(filter(None, told))
    return ""


def read_compute_type(node: t.Any) -> tuple[str, str]:
    """Name and compute type of a node."""
    return text(dig(node, "metadata", "name")), text(dig(node, "metadata", "labels", COMPUTE_TYPE))


def read_webhook(registered: t.Any) -> t.Mapping[str, t.Any] | None:
    """The MutatingWebhookConfiguration, empty if the cluster has none of this name."""
    found = dig(registered, "resources")
    if not isinstance(found, (list, tuple)):
        return None
    return mapping(found[0]) if found else {}


def read_key(association: t.Any) -> tuple[str, str]:
    """Whom an association is for."""
    return text(dig(association, "namespace")), text(dig(association, "service_account"))


def read_role(result: t.Mapping[str, t.Any]) -> tuple[str, RoleFacts]:
    """One role by ``iam_role_info``, whose list is empty for a role that does not exist."""
    name = text(result.get("item"))
    found = listing(result.get("iam_roles"))
    if not found:
        return name, RoleFacts(exists=False)
    managed = [text(dig(policy, "policy_name")) for policy in listing(dig(found[0], "managed_policies"))]
    inline = map(text, listing(dig(found[0], "inline_policies")))
    trust = dig(found[0], "assume_role_policy_document")
    return name, RoleFacts(True, text(dig(found[0], "arn")), trust, tuple(managed), tuple(inline))


def read_documents(result: t.Mapping[str, t.Any]) -> tuple[str, tuple[t.Any, ...]]:
    """A role's inline policies by ``iam_policy_info``."""
    return text(result.get("item")), tuple(dig(policy, "policy_document") for policy in listing(result["policies"]))


def read_events(registered: t.Any) -> dict[tuple[str, str], str]:
    """The last warning about each Job, for a Job whose pods are refused says so only in its events."""
    events: dict[tuple[str, str], str] = {}
    for event in read_loop(registered, "resources"):
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

# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What is looked up only after a verification has failed: the agent, the roles and what happened to the Jobs.

Each part may be unknown: the user who verifies need not have the permission to read all of it, and a diagnosis with
less knowledge is better than none.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import dig
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import listing
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import mapping
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import sentence
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import text

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
    trust: t.Any = None
    managed: tuple[str, ...] = ()
    #: Documents by name.
    inline: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)

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
    #: By ARN.
    roles: t.Mapping[str, RoleFacts] = dataclasses.field(default_factory=dict)
    #: The last event of a Job, by namespace and name.
    job_events: t.Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    #: Why something could not be looked up, one sentence each.
    unknown: tuple[str, ...] = ()


def read_surroundings(looked_up: t.Any) -> Surroundings:
    """What was looked up: lists of objects and answers by name, each of them optional.

    ``addons`` is a list with the add-on or without, ``agent_pods``, ``nodes``, ``network_policies`` and ``events`` are
    lists of objects, ``webhook`` is the configuration, empty if there is none, ``associations`` are those of the
    cluster, ``roles`` is what ``eks_pod_identity_role_info`` returns, and ``unknown`` says what could not be looked up.
    """
    found = mapping(looked_up)
    return Surroundings(
        addon=read_addons(found.get("addons")),
        agents=read_agents(found.get("agent_pods")),
        special_nodes=dict(map(read_compute_type, listing(found.get("nodes")))),
        network_policies=tuple(map(mapping, listing(found.get("network_policies")))),
        webhook=found["webhook"] if isinstance(found.get("webhook"), t.Mapping) else None,
        associated=tuple(map(read_key, listing(found.get("associations")))),
        roles=read_roles(found.get("roles")),
        job_events=read_events(found.get("events")),
        unknown=tuple(dict.fromkeys([*map(text, listing(found.get("unknown"))), *read_unread(found.get("roles"))])),
    )


def read_addons(addons: t.Any) -> Addon | None:
    """The add-on, None if it is not known."""
    if not isinstance(addons, (list, tuple)):
        return None
    return read_addon(addons[0]) if addons else Addon(False)


def read_addon(addon: t.Any) -> Addon:
    """The add-on as ``eks_addon_info`` returns it."""
    issues = [
        f"{text(dig(issue, 'code'))}: {sentence(text(dig(issue, 'message')))}"
        for issue in listing(dig(addon, "health", "issues"))
    ]
    return Addon(True, text(dig(addon, "status")), tuple(issues))


def read_agents(pods: t.Any) -> dict[str, AgentPod] | None:
    """The agents by the nodes they are on; a ready one counts before one that is on its way out."""
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
    ready = ready_condition(pod)
    if ready is None:
        return AgentPod(False, trouble=read_trouble(pod))
    return AgentPod(True, since=text(dig(ready, "lastTransitionTime")))


def is_ready(pod: t.Any) -> bool:
    return ready_condition(pod) is not None


def ready_condition(pod: t.Any) -> t.Any:
    """The condition that says that a pod is ready, None while it is not."""
    conditions = listing(dig(pod, "status", "conditions"))
    return next((item for item in conditions if (dig(item, "type"), dig(item, "status")) == ("Ready", "True")), None)


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


def read_key(association: t.Any) -> tuple[str, str]:
    """Whom an association is for."""
    return text(dig(association, "namespace")), text(dig(association, "service_account"))


def read_roles(answer: t.Any) -> dict[str, RoleFacts]:
    """The roles, as ``eks_pod_identity_role_info`` returns them."""
    found = {text(dig(role, "arn")): read_role(role) for role in listing(dig(answer, "roles"))}
    return found | {text(arn): RoleFacts(False) for arn in listing(dig(answer, "missing"))}


def read_unread(answer: t.Any) -> list[str]:
    """Why roles could not be read."""
    return [
        f"role {text(dig(role, 'arn'))}: {sentence(text(dig(role, 'message')))}"
        for role in listing(dig(answer, "unread"))
    ]


def read_role(role: t.Any) -> RoleFacts:
    return RoleFacts(
        exists=True,
        trust=dig(role, "trust_policy"),
        managed=tuple(map(text, mapping(dig(role, "managed_policies")).values())),
        inline=mapping(dig(role, "inline_policies")),
    )


def read_events(found: t.Any) -> dict[tuple[str, str], str]:
    """The last warning about each Job, for a Job whose pods are refused says so only in its events."""
    events: dict[tuple[str, str], str] = {}
    for event in listing(found):
        about = mapping(dig(event, "involvedObject"))
        if dig(event, "type") == "Warning" and text(dig(event, "message")):
            events[text(about.get("namespace")), text(about.get("name"))] = text(dig(event, "message"))
    return events

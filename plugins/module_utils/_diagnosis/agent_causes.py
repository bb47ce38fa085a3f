# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Causes between the pod and EKS: the agent of the node, and what it may and can ask of EKS Auth."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import AGENT
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import Case
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import Cause
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import agent_answer
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.network import in_the_way
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import sentence
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.surroundings import AgentPod

#: How boto3 begins to say that no answer came from the agent's address.
NO_ANSWER = "Received error when attempting to retrieve container metadata"
#: How the agent says that it did not reach EKS Auth, which are the words of Go's network library.
UNREACHED = re.compile(
    r"unable to reach|request send failed|context deadline exceeded|dial tcp|no such host|i/o timeout|"
    r"connection refused",
    re.I,
)


def agent_down(case: Case) -> Cause | None:
    """No answer from the agent at all: not there, not ready, not on this node, or not to be reached."""
    if NO_ANSWER not in agent_answer(case):
        return None
    return next(filter(None, (recognise(case) for recognise in DOWN)), None) or agent_unreachable(case)


def node_of(case: Case) -> str:
    return (case.pod.node if case.pod else "") or "unknown"


def agent_on_node(case: Case) -> AgentPod | None:
    """The agent's pod on the verification's node, None if there is none or nobody could look."""
    return (case.surroundings.agents or {}).get(node_of(case))


def agent_missing(case: Case) -> Cause | None:
    addon = case.surroundings.addon
    if addon is None or addon.exists or case.surroundings.agents:
        return None
    return Cause(
        "agent_missing",
        f"Nothing answered at the Pod Identity agent's address, and cluster {case.cluster} has no add-on {AGENT}.",
        f"Install the add-on {AGENT} (the role podidentity.eks.agent does) and run the verification again.",
    )


def node_unsupported(case: Case) -> Cause | None:
    kind = case.surroundings.special_nodes.get(node_of(case))
    agent = agent_on_node(case)
    if not kind or (agent and agent.ready):
        return None
    hybrid = kind == "hybrid"
    return Cause(
        "node_unsupported",
        f"The pod ran on node {node_of(case)} of compute type {kind}, where no Pod Identity agent runs.",
        "Give the node's nodeadm configuration enableCredentialsFile and the add-on its DaemonSet for hybrid nodes."
        if hybrid
        else "Run such pods on EC2 nodes (verify_node_selector does for the verification): EKS Pod Identity does not "
        "work on Fargate, where IAM roles for service accounts do.",
    )


def agent_crashing(case: Case) -> Cause | None:
    agent = agent_on_node(case)
    if agent is None or agent.ready or not agent.trouble:
        return None
    return Cause(
        "agent_crashing",
        f"The Pod Identity agent on the pod's node {node_of(case)} does not stay up: {agent.trouble}.",
        "Look at the log of its pod. The add-on's configuration, another program on port 80 of the node and, with "
        "'cannot assign requested address', switched-off IPv6 (the agent argument -b 169.254.170.23 helps) do this.",
    )


def agent_not_active(case: Case) -> Cause | None:
    addon, agent = case.surroundings.addon, agent_on_node(case)
    if addon is None or not addon.exists or addon.status == "ACTIVE" or (agent and agent.ready):
        return None
    issues = f" ({'; '.join(addon.issues)})" if addon.issues else ""
    return Cause(
        "agent_not_active",
        f"Nothing answered at the Pod Identity agent's address, and the add-on {AGENT} is {addon.status}{issues}.",
        f"Wait until the add-on {AGENT} is ACTIVE, or mend what its health issues name.",
    )


def agent_not_on_node(case: Case) -> Cause | None:
    agent = agent_on_node(case)
    if case.surroundings.agents is None or (agent and agent.ready):
        return None
    node = node_of(case)
    return Cause(
        "agent_not_on_node",
        f"Nothing answered at the Pod Identity agent's address, and no ready agent runs on the pod's node {node}.",
        f"Look at the DaemonSet {AGENT} and its pod on that node: taints, affinity, pod limit, port 80, IPv6.",
    )


def agent_late(case: Case) -> Cause | None:
    agent, started = agent_on_node(case), case.pod.started if case.pod else ""
    # Times of Kubernetes, all in UTC and of one form, are in order as texts are.
    if agent is None or not agent.ready or not started or agent.since <= started:
        return None
    return Cause(
        "agent_late",
        f"The pod started at {started}, and the Pod Identity agent on its node {node_of(case)} is ready only since "
        f"{agent.since}.",
        "Run the verification again. Keep pods from new nodes until the agent is ready (a startup taint does), or let "
        "them try again.",
    )


def network_policy(case: Case) -> Cause | None:
    labels = case.pod.labels if case.pod else {}
    names = in_the_way(case.surroundings.network_policies, case.workload.namespace, labels)
    if not names:
        return None
    return Cause(
        "network_policy",
        f"Nothing answered at the Pod Identity agent's address from the pod on node {node_of(case)}, which network "
        f"policy {' and '.join(names)} of namespace {case.workload.namespace} keeps from it.",
        "Allow egress to 169.254.170.23/32 and fd00:ec2::23/128, TCP port 80, in a network policy of that namespace.",
    )


def agent_slow(case: Case) -> Cause | None:
    """A ready agent took the request, and its answer did not come in time: it was waiting for one itself."""
    agent = agent_on_node(case)
    if not agent or not agent.ready or "Read timeout" not in agent_answer(case):
        return None
    return eks_auth_unreachable(f"the agent on node {node_of(case)} gave no answer in time")


def agent_unreachable(case: Case) -> Cause:
    return Cause(
        "agent_unreachable",
        f"Nothing answered at the Pod Identity agent's address from the pod on node {node_of(case)}.",
        "Allow egress to 169.254.170.23 and [fd00:ec2::23], port 80, in network policies and in security groups for "
        f"pods, and make sure that the DaemonSet {AGENT} runs on that node.",
    )


#: Why nothing answers, from what must be there first to what stands in between last.
DOWN: tuple[t.Callable[[Case], Cause | None], ...] = (
    agent_missing,
    node_unsupported,
    agent_crashing,
    agent_not_active,
    agent_not_on_node,
    agent_slow,
    agent_late,
    network_policy,
)


def eks_auth_unreachable(said: str) -> Cause:
    return Cause(
        "eks_auth_unreachable",
        f"The agent did not reach the service eks-auth: {said}.",
        "Make sure that the nodes reach eks-auth of the region: over a NAT gateway, or over an interface endpoint with "
        "private DNS, whose security group lets the nodes in.",
    )


def node_role_forbidden(case: Case) -> Cause | None:
    answer = agent_answer(case)
    if "eks-auth:AssumeRoleForPodIdentity" not in answer:
        return None
    match = re.search(r"arn:[^\s:]+:sts::\d+:assumed-role/([^/\s]+)/", answer)
    role = f"node role {match[1]}" if match else "the node's role"
    return Cause(
        "node_role_forbidden",
        f"The agent may not ask EKS for credentials: {role} lacks eks-auth:AssumeRoleForPodIdentity.",
        f"Attach AmazonEKSWorkerNodePolicy or AmazonEKSWorkerNodeMinimalPolicy to {role}.",
    )


def agent_refused(case: Case) -> Cause | None:
    """Any other answer of the agent, by the error code of EKS Auth or the agent's own words."""
    answer = agent_answer(case)
    if not answer:
        return None
    said = sentence(answer)
    if "ThrottlingException" in answer or " 429 " in answer:
        return Cause(
            "agent_throttled",
            f"The agent or EKS Auth took no more requests: {said}.",
            f"Run again later, start fewer pods at once, and keep the add-on {AGENT} up to date.",
        )
    if "oken" in answer:
        return Cause(
            "token_refused",
            f"The pod's service account token was refused: {said}.",
            "Check the clocks of the nodes, and that the token's volume was not changed by another webhook.",
        )
    if UNREACHED.search(answer):
        return eks_auth_unreachable(said)
    return Cause(
        "eks_auth_failed",
        f"The agent could not get credentials from EKS: {said}.",
        "Run again later; if it stays so, look at the agent's log and at the AWS Health Dashboard.",
    )

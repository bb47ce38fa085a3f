# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which nodes have no working Pod Identity Agent."""

from __future__ import annotations

DOCUMENTATION = r"""
name: eks_nodes_without_agent
short_description: Name the nodes on which the Pod Identity Agent does not run, and why
version_added: 0.1.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Compares nodes with the pods of the agent's daemon set, as role P(podidentity.eks.agent#role) does it before it
    calls the agent ready. Nothing is called.
  - Nodes that need no agent are passed over, unless O(explain) is set. These are Windows nodes, Fargate, EKS Auto Mode
    (which has it built in), hybrid nodes (which have a daemon set of their own), and nodes that are not ready, on which
    nothing can start.
positional: _input, pods
options:
  _input:
    description: Kubernetes C(Node) objects.
    type: list
    elements: dict
    required: true
  pods:
    description: The C(Pod) objects of the agent.
    type: list
    elements: dict
    required: true
  version:
    description: Version of the installed add-on, such as V(v1.3.9-eksbuild.3). With it reasons name what is too old.
    type: str
    version_added: 0.2.0
  explain:
    description: Whether nodes that need no agent are returned too, each with the reason.
    type: bool
    default: false
    version_added: 0.2.0
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example" with the node group "nodes".

- name: Look up the cluster
  podidentity.eks.eks_cluster_info:
    name: example
  register: found

- name: Ask its API for the nodes and for the pods of the agent
  kubernetes.core.k8s_info:
    kind: "{{ item.kind }}"
    label_selectors: "{{ item.labels }}"
    host: "{{ found.clusters[0].endpoint }}"
    ca_cert: "{{ lookup('podidentity.eks.eks_ca_file', found.clusters[0].certificate_authority) }}"
    api_key: "{{ lookup('podidentity.eks.eks_token', 'example') }}"
  loop:
    - kind: Node
      labels: []
    - kind: Pod
      labels:
        - app.kubernetes.io/name = eks-pod-identity-agent
  loop_control:
    label: "{{ item.kind }}"
  register: asked

- name: Say on which nodes pods get no credentials, and why
  ansible.builtin.debug:
    msg: >-
      {{ asked.results[0].resources | podidentity.eks.eks_nodes_without_agent(asked.results[1].resources) }}
"""

RETURN = r"""
_value:
  description: One item for each node that lacks the agent.
  type: list
  elements: dict
  contains:
    node:
      description: The node's name.
      type: str
    reason:
      description: What is wrong there, such as C(has no agent pod), or why nothing is needed.
      type: str
    needed:
      description: Whether the agent is needed there.
      type: bool
"""

import re
import typing as t

Resource = t.Mapping[str, t.Any]

COMPUTE_TYPE = "eks.amazonaws.com/compute-type"
#: The affinity of the agent's daemon set leaves these out.
WITHOUT_AGENT = {
    "auto": "is of EKS Auto Mode, which has the agent built in",
    "fargate": "is of Fargate, which has no EKS Pod Identity",
    "hybrid": "is a hybrid node, which has a daemon set of its own",
}
#: Before it the daemon set tolerated no taint (https://github.com/aws/containers-roadmap/issues/2261).
FIRST_ON_TAINTED_NODES = (1, 2, 0)


def eks_nodes_without_agent(
    nodes: t.Sequence[Resource], pods: t.Sequence[Resource], version: str | None = None, explain: bool = False
) -> list[dict[str, t.Any]]:
    """The filter; see its documentation above."""
    by_node: dict[str, list[Resource]] = {}
    for pod in pods:
        by_node.setdefault(pod.get("spec", {}).get("nodeName", ""), []).append(pod)
    told = []
    for node in nodes:
        found = by_node.get(node["metadata"]["name"], [])
        needless = why_no_agent(node)
        if needless and explain:
            told.append({"node": node["metadata"]["name"], "reason": needless, "needed": False})
        elif not needless and not any(is_ready(pod) for pod in found):
            reason = trouble(found[0]) if found else why_no_pod(node, version)
            told.append({"node": node["metadata"]["name"], "reason": reason, "needed": True})
    return told


def why_no_agent(node: Resource) -> str:
    """Why the agent's daemon set is not meant for a node, or cannot run there now; empty for every other node."""
    labels = node["metadata"].get("labels") or {}
    if labels.get("kubernetes.io/os", "linux") != "linux":
        return "does not run Linux, so it has no EKS Pod Identity"
    if labels.get(COMPUTE_TYPE) in WITHOUT_AGENT:
        return WITHOUT_AGENT[labels[COMPUTE_TYPE]]
    return "" if is_ready(node) else "is not ready, so nothing can start there"


def why_no_pod(node: Resource, version: str | None) -> str:
    """Why there is no pod of the agent on a node that needs one, as far as the node itself tells."""
    taints = node.get("spec", {}).get("taints") or []
    hard = [f"{taint['key']}:{taint['effect']}" for taint in taints if taint["effect"] != "PreferNoSchedule"]
    if not hard:
        return "has no agent pod"
    named = f"has no agent pod: of its taints {', '.join(hard)} "
    numbers = tuple(int(number) for number in re.findall(r"[0-9]+", (version or "").split("-", 1)[0]))
    if numbers and numbers < FIRST_ON_TAINTED_NODES:
        return f"{named}version {version} of the add-on tolerates none, v1.2.0 and later ones tolerate all"
    return f"{named}the tolerations in the add-on's configuration must allow all"


def is_ready(resource: Resource) -> bool:
    """The condition Ready of a node or pod."""
    conditions = resource.get("status", {}).get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def trouble(pod: Resource) -> str:
    """Why an agent pod is not ready, as its containers tell."""
    status = pod.get("status", {})
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    reasons = [
        waiting["reason"]
        for container in containers
        if (waiting := (container.get("state") or {}).get("waiting") or {}).get("reason")
    ]
    phase = status.get("phase", "Unknown")
    return f"has agent pod {pod['metadata']['name']} that is not ready ({', '.join([phase, *reasons])})"


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"eks_nodes_without_agent": eks_nodes_without_agent}

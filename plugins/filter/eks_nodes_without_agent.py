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
  - Nodes that need no agent are passed over. These are Windows nodes, Fargate, EKS Auto Mode (which has it built in),
    hybrid nodes (which have a daemon set of their own), and nodes that are not ready, on which nothing can start.
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
      description: What is wrong there, such as C(has no agent pod).
      type: str
"""

import typing as t

Resource = t.Mapping[str, t.Any]

COMPUTE_TYPE = "eks.amazonaws.com/compute-type"
#: The affinity of the agent's daemon set leaves these out.
WITHOUT_AGENT = frozenset({"fargate", "hybrid", "auto"})


def eks_nodes_without_agent(nodes: t.Sequence[Resource], pods: t.Sequence[Resource]) -> list[dict[str, str]]:
    """The filter; see its documentation above."""
    by_node: dict[str, list[Resource]] = {}
    for pod in pods:
        by_node.setdefault(pod.get("spec", {}).get("nodeName", ""), []).append(pod)
    lacking = []
    for node in filter(needs_agent, nodes):
        found = by_node.get(node["metadata"]["name"], [])
        if not any(is_ready(pod) for pod in found):
            reason = trouble(found[0]) if found else "has no agent pod"
            lacking.append({"node": node["metadata"]["name"], "reason": reason})
    return lacking


def needs_agent(node: Resource) -> bool:
    """Whether the agent's daemon set is meant for a node, and the node is able to run it now."""
    labels = node["metadata"].get("labels") or {}
    return (
        labels.get("kubernetes.io/os", "linux") == "linux"
        and labels.get(COMPUTE_TYPE) not in WITHOUT_AGENT
        and is_ready(node)
    )


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

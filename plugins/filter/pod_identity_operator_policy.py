# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The IAM policy of whoever runs the playbooks."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_operator_policy
short_description: The IAM policy that whoever runs the playbooks needs
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Returns the policy document with what the given chapters of the playbooks ask of AWS, and no more. Tests run the
    whole story with exactly this policy, and see it fail where any one action is missing.
  - What EC2 has is changed and removed only where it carries the tag C(podidentity.eks/cluster), which all that is made
    here has.
  - What Kubernetes asks is not part of it.
  - What cannot be right in the parameters is said at once, one sentence for each problem.
positional: _input
options:
  _input:
    description:
      - The chapters, which are the tags of the playbook C(podidentity.eks.site), and V(access) and V(inventory) for the
        playbook C(podidentity.eks.access) and the inventory plugin C(podidentity.eks.aws_eks).
      - V(target_role) is what is asked in the accounts of target roles; where such an account is another one, the
        policy for it has this chapter alone.
      - One name, or a list. An empty list stands for all of them.
    type: list
    elements: str
    choices:
      - cluster
      - agent
      - addons
      - iam_role
      - service_account
      - association
      - target_role
      - probe
      - restart
      - verify
      - access
      - inventory
    required: true
  level:
    description:
      - V(check) is what check mode and a second run read. V(apply) also makes what is declared and changes it.
      - V(remove) also takes away, by C(state=absent), a purge, C(replace), fewer NAT gateways or the playbook
        C(podidentity.eks.teardown).
    type: str
    choices: [check, apply, remove]
    default: remove
  partition:
    description: The partition of the ARNs, such as V(aws-cn).
    type: str
    default: aws
  region:
    description: The region of the clusters, V(*) for any.
    type: str
    default: "*"
  cluster_names:
    description: Names of the clusters, such as V(shop-*).
    type: list
    elements: str
    default: ["*"]
  cluster_role_names:
    description:
      - Names of the roles of control planes and nodes, those that are given by their ARNs included; with their paths
        without the first slash, where they have any.
      - No other managed policies can be attached to them than those of AWS that begin with C(AmazonEKS), and the one
        for pulling images.
    type: list
    elements: str
    default: ["*-cluster", "*-nodes"]
  role_names:
    description:
      - Names of the roles of workloads and add-ons, those that are given by their ARNs included; with their paths
        without the first slash, where they have any.
      - Who may change every role of an account and pass it to pods can have all that any of them may. So this should be
        narrower than V(*).
    type: list
    elements: str
    default: ["*"]
  policy_arns:
    description: ARNs of the managed policies that may be attached to roles of workloads, V(*) within them included.
    type: list
    elements: str
    default: ["arn:*:iam::*:policy/*"]
  permissions_boundary:
    description:
      - ARN of the managed policy that every role must have as its permissions boundary, that of a workload as
        C(role.boundary), those of a cluster as C(cluster_permissions_boundary). Roles without it can be made by nobody
        with this policy, nor given any policies.
    type: str
    default: ""
  assume_role_arns:
    description: ARNs of the roles in other accounts that are assumed for clusters or target roles there.
    type: list
    elements: str
    default: []
notes:
  - V(service_account), V(probe) and V(restart) ask little of AWS, and most of Kubernetes.
  - With all chapters and without parameters it is the file C(docs/permissions/operator-policy.json).
seealso:
  - plugin: podidentity.eks.pod_identity_policy
    plugin_type: filter
"""

EXAMPLES = r"""
- name: The policy of those who work on the clusters of the shop, and of jobs that only look at them
  amazon.aws.iam_managed_policy:
    name: "{{ item.name }}"
    policy: "{{ [] | podidentity.eks.pod_identity_operator_policy(
      level=item.level, cluster_names=['shop-*'], role_names=['shop-*'], permissions_boundary=boundary) }}"
  loop:
    - name: shop-operators
      level: remove
    - name: shop-checks
      level: check
  vars:
    boundary: arn:aws:iam::111122223333:policy/shop-boundary

- name: For the roles and associations alone, on clusters that others make
  amazon.aws.iam_managed_policy:
    name: shop-workloads
    policy: "{{ ['iam_role', 'association', 'verify'] | podidentity.eks.pod_identity_operator_policy(
      cluster_names=['shop-*'], role_names=['shop-*']) }}"
"""

RETURN = r"""
_value:
  description: The policy document.
  type: dict
  sample:
    Version: "2012-10-17"
    Statement:
      - Sid: Clusters
        Effect: Allow
        Action: ['eks:DescribeCluster']
        Resource: ['arn:aws:eks:*:*:cluster/*']
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import plain
from ansible_collections.podidentity.eks.plugins.plugin_utils import operator_policy
from ansible_collections.podidentity.eks.plugins.plugin_utils import policy_library


def pod_identity_operator_policy(
    chapters: str | t.Sequence[str], /, level: str = "remove", **parameters: t.Any
) -> dict[str, t.Any]:
    """The filter; see its documentation above."""
    try:
        return operator_policy.policy(plain(chapters), plain(level)).document(plain(parameters))
    except policy_library.PolicyError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_operator_policy": pod_identity_operator_policy}

#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_foundation_info
version_added: 0.2.0
short_description: Look up what an EKS cluster of the role cluster stands on
description:
  - Returns a cluster together with what P(podidentity.eks.cluster#role) made for it, known by the tag
    C(podidentity.eks/cluster), in one task that reads everything side by side.
  - Beside that, it looks up by name or ID what is given or what somebody else may have under the names of what is to
    be made.
  - Of a cluster without the tag, which is somebody else's, only the cluster itself is looked up.
author:
  - podidentity.eks contributors (@podidentity)
options:
  cluster_name:
    description:
      - Name of the EKS cluster. It need not exist yet, nor any more.
    type: str
    required: true
  roles:
    description:
      - Names of IAM roles to look up.
    type: list
    elements: str
    default: []
  node_role:
    description:
      - Name of the IAM role that the nodes work with. It is looked up as well, and whether it may do what EKS Pod
        Identity needs.
    type: str
  cluster_role:
    description:
      - Name of an IAM role of others that a new cluster is to have. It is looked up where the cluster does not exist.
    type: str
    version_added: 0.2.0
  subnet_ids:
    description:
      - IDs of subnets to look up.
    type: list
    elements: str
    default: []
  security_groups:
    description:
      - Names of security groups to look up, whoever made them.
    type: list
    elements: str
    default: []
  launch_templates:
    description:
      - Names of launch templates to look up, whoever made them.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - podidentity.eks.attributes.info
seealso:
  - module: podidentity.eks.eks_cluster_info
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example"; the IAM role "eks-node"; and the list "subnet_ids" with the IDs of two subnets.

- name: Look up what a cluster stands on
  podidentity.eks.eks_foundation_info:
    cluster_name: not-yet
    node_role: eks-node
    subnet_ids: "{{ subnet_ids }}"
  register: found

- name: Show in which zones its subnets are, and whether its nodes can give pods an identity
  ansible.builtin.debug:
    msg: >-
      {{ found.foundation.given_subnets | map(attribute='availability_zone') | join(', ') }};
      {{ found.foundation.roles[0].pod_identity }}

- name: Look up a cluster that somebody else made
  podidentity.eks.eks_foundation_info:
    cluster_name: example
  register: theirs
  failed_when: not theirs.foundation.foreign
"""

RETURN = r"""
foundation:
  description: What was found.
  returned: success
  type: dict
  contains:
    cluster:
      description: The cluster as RV(podidentity.eks.eks_cluster_info#module:clusters), or null.
      type: dict
      sample: {"name": "example", "status": "ACTIVE"}
    foreign:
      description: Whether there is a cluster of this name that does not carry the tag. Then all lists are empty.
      type: bool
      sample: false
    nodegroups:
      description: All node groups of the cluster, each as RV(podidentity.eks.eks_nodegroup#module:nodegroup).
      type: list
      elements: dict
      sample: [{"nodegroup_name": "general", "status": "ACTIVE"}]
    vpcs:
      description: VPCs with the tag.
      type: list
      elements: dict
      sample: [{"vpc_id": "vpc-0123456789abcdef0", "cidr_block": "10.42.0.0/16"}]
    subnets:
      description: Subnets with the tag.
      type: list
      elements: dict
      sample: [{"subnet_id": "subnet-0123456789abcdef0", "availability_zone": "eu-west-1a"}]
    route_tables:
      description: Route tables with the tag.
      type: list
      elements: dict
      sample: [{"route_table_id": "rtb-0123456789abcdef0"}]
    internet_gateways:
      description: Internet gateways with the tag.
      type: list
      elements: dict
      sample: [{"internet_gateway_id": "igw-0123456789abcdef0"}]
    nat_gateways:
      description: NAT gateways with the tag, without those that failed or are deleted.
      type: list
      elements: dict
      sample: [{"nat_gateway_id": "nat-0123456789abcdef0", "state": "available"}]
    addresses:
      description: Elastic IP addresses with the tag.
      type: list
      elements: dict
      sample: [{"allocation_id": "eipalloc-0123456789abcdef0", "public_ip": "203.0.113.7"}]
    given_subnets:
      description: The subnets of O(subnet_ids).
      type: list
      elements: dict
      sample: [{"subnet_id": "subnet-0123456789abcdef0", "availability_zone": "eu-west-1a"}]
    security_groups:
      description: Security groups with the tag or with one of the names.
      type: list
      elements: dict
      sample: [{"group_id": "sg-0123456789abcdef0", "group_name": "example-metrics"}]
    launch_templates:
      description: Launch templates with the tag or with one of the names, and the C(data) of their latest versions.
      type: list
      elements: dict
      sample: [{"launch_template_name": "example-nodes", "latest_version_number": 1, "data": {}}]
    roles:
      description:
        - The IAM roles that exist, with C(name), C(arn), C(trust_policy), the ARNs C(managed_policies), the ARN
          C(permissions_boundary) or null, and C(tags).
        - The role of O(node_role) has C(pod_identity), whether it may call C(eks-auth:AssumeRoleForPodIdentity); null
          where the caller may not ask IAM.
      type: list
      elements: dict
      sample: [{"name": "example-nodes", "arn": "arn:aws:iam::111122223333:role/example-nodes", "pod_identity": true}]
"""

from ansible_collections.podidentity.eks.plugins.module_utils._eks import argspec
from ansible_collections.podidentity.eks.plugins.module_utils._eks import foundation
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import CONCURRENCY
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSError
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSModule

NAMES: dict[str, object] = {"type": "list", "elements": "str", "default": []}
OPTIONS: argspec.ArgumentSpec = {
    "cluster_name": {"type": "str", "required": True},
    "roles": NAMES,
    "node_role": {"type": "str"},
    "cluster_role": {"type": "str"},
    "subnet_ids": NAMES,
    "security_groups": NAMES,
    "launch_templates": NAMES,
}


def main() -> None:
    module = AnsibleEKSModule(argument_spec=OPTIONS, supports_check_mode=True)
    try:
        eks, iam, ec2 = module.eks_client(), module.watched_client("iam"), module.watched_client("ec2")
        spec = foundation.spec_from(module.params)
        found = foundation.look_up(foundation.Clients(eks, iam, ec2), spec, CONCURRENCY)
    except AnsibleEKSError as error:
        module.fail_json_aws_error(error)
    for warning in foundation.unread(found):
        module.warn(warning)
    module.exit_json(changed=False, foundation=found)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_cluster_plan
version_added: 0.2.0
short_description: Plan an EKS cluster with its network, roles, security groups and launch templates
description:
  - Compares a declared cluster with what exists of it, and returns what P(podidentity.eks.cluster#role) creates,
    updates or removes beside the cluster and its node groups. It changes nothing.
  - Everything that is wrong about the declaration is refused at once, before any call. What stops the run because of
    what exists, such as roles of the same names that are not managed by this collection, is refused as well.
  - Resources that the role has created are found by the tag C(podidentity.eks/cluster), others by their name or ID.
    Everything is read side by side.
  - Around a cluster that exists without the tag, or with O(cluster_manage=false), nothing is read.
  - Made for that role, whose options it takes. What it returns changes with that role.
author:
  - podidentity.eks contributors (@podidentity)
options:
  account:
    description:
      - ID of the AWS account, with which check mode predicts ARNs. If it is not set, it is that of existing or given
        roles, or that of the caller.
    type: str
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - podidentity.eks.attributes.info
  - podidentity.eks.cluster_declaration
seealso:
  - module: podidentity.eks.eks_cluster
  - module: podidentity.eks.eks_nodegroup
  - module: podidentity.eks.eks_cluster_info
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example"; the IAM role "eks-node"; and the list "subnet_ids" with the IDs of two subnets.

- name: Plan a cluster with a network of its own
  podidentity.eks.eks_cluster_plan:
    cluster_name: not-yet
    cluster_zones: [eu-west-1a, eu-west-1b]
    cluster_nodegroups:
      - name: workers
        metadata_options: {http_put_response_hop_limit: 1}
  register: planned

- name: Show what would be created
  ansible.builtin.debug:
    msg: "{{ item.action }} {{ item.kind }} {{ item.name }}"
  loop: "{{ planned.plan.changes.foundation + planned.plan.changes.nodes }}"
  loop_control:
    label: "{{ item.name }}"

- name: Plan the same cluster in existing subnets, with an existing role for its nodes
  podidentity.eks.eks_cluster_plan:
    cluster_name: not-yet
    cluster_subnet_ids: "{{ subnet_ids }}"
    cluster_node_role_arn: arn:aws:iam::111122223333:role/eks-node
    cluster_nodegroups:
      - name: workers
  register: planned
  failed_when: planned.plan.network is not none or planned.plan.roles | map(attribute='name') != ['not-yet-cluster']

- name: Check that a cluster without the tag is left alone
  podidentity.eks.eks_cluster_plan:
    cluster_name: example
  register: planned
  failed_when: planned.plan.managed
"""

RETURN = r"""
plan:
  description: What exists, and what would be done.
  returned: success
  type: dict
  contains:
    cluster:
      description: The cluster as RV(podidentity.eks.eks_cluster_info#module:clusters), or null.
      type: dict
      sample: {"name": "example", "status": "ACTIVE"}
    managed:
      description: Whether the cluster is managed by this collection, or would be.
      type: bool
      sample: true
    notice:
      description: A sentence about a cluster that is not managed, empty for others.
      type: str
      sample: ""
    arn:
      description: ARN of the cluster, in check mode also of one that does not exist; null where it is not known.
      returned: a managed cluster with O(cluster_state=present)
      type: str
      sample: arn:aws:eks:eu-west-1:111122223333:cluster/example
    role_arns:
      description: ARNs of the roles that are made, by name, in check mode also of those that do not exist.
      returned: a managed cluster with O(cluster_state=present)
      type: dict
      sample: {"example-nodes": "arn:aws:iam::111122223333:role/example-nodes"}
    roles:
      description: IAM roles to create or update, with C(name), C(description), C(trust), C(policies) and C(boundary).
      returned: a managed cluster with O(cluster_state=present)
      type: list
      elements: dict
      sample: []
    network:
      description:
        - What the network lacks, with options of the modules that make it. Null for a complete network and for given
          subnets. C(missing) says it in words.
      returned: a managed cluster with O(cluster_state=present)
      type: dict
      sample: {"missing": ["NAT gateway in eu-west-1a"]}
    control_plane_subnets:
      description: Names of the subnets of a new cluster.
      returned: a managed cluster with O(cluster_state=present)
      type: list
      elements: str
      sample: ["public in eu-west-1a", "public in eu-west-1b"]
    subnet_ids:
      description: IDs of subnets by name. One that does not exist has an ID that cannot be.
      returned: a managed cluster with O(cluster_state=present)
      type: dict
      sample: {"public in eu-west-1a": "subnet-0123456789abcdef0"}
    security_groups:
      description: Security groups to create or update, with C(name), C(full_name), C(description) and C(rules).
      returned: a managed cluster with O(cluster_state=present)
      type: list
      elements: dict
      sample: []
    security_group_ids:
      description: IDs of security groups by name. One that does not exist has an ID that cannot be.
      returned: a managed cluster with O(cluster_state=present)
      type: dict
      sample: {"metrics": "sg-0123456789abcdef0"}
    launch_templates:
      description: Launch templates to create or update, with options of C(amazon.aws.ec2_launch_template).
      returned: a managed cluster with O(cluster_state=present)
      type: list
      elements: dict
      sample: []
    nodegroups:
      description:
        - The declared node groups with options of M(podidentity.eks.eks_nodegroup), the names of their C(subnets), null
          for those that they have, and the name and latest version of their launch C(template), null without one.
      returned: a managed cluster with O(cluster_state=present)
      type: list
      elements: dict
      sample: [{"name": "general", "subnets": null, "template": null}]
    removal:
      description: All that was made for the cluster, by kind.
      returned: a managed cluster with O(cluster_state=absent)
      type: dict
      sample: {"vpcs": [{"vpc_id": "vpc-0123456789abcdef0"}]}
    changes:
      description:
        - One item for each resource that is created, updated or deleted, with C(kind), C(name), C(action) and
          C(changes). C(foundation) are those before the cluster, C(nodes) those before the node groups.
      returned: O(cluster_state=present)
      type: dict
      sample: {"foundation": [{"kind": "VPC", "name": "example", "action": "create", "changes": {}}], "nodes": []}
"""

from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSError
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSModule
from ansible_collections.podidentity.eks.plugins.module_utils._eks.foundation import options
from ansible_collections.podidentity.eks.plugins.module_utils._eks.foundation import task


def main() -> None:
    module = AnsibleEKSModule(
        argument_spec={**options.CLUSTER, "account": {"type": "str"}},
        supports_check_mode=True,
    )
    try:
        plan, warnings = task.observe_and_plan(module)
    except AnsibleEKSError as error:
        module.fail_json_aws_error(error)
    for warning in warnings:
        module.warn(warning)
    module.exit_json(changed=False, plan=plan)


if __name__ == "__main__":
    main()

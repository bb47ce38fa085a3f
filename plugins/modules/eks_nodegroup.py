#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_nodegroup
version_added: 0.1.0
short_description: Manage a managed node group of an EKS cluster
description:
  - Creates, updates and deletes a managed node group of an Amazon EKS cluster.
  - Options that are not set leave that part of the node group as it is; in a new one EKS's own default applies.
  - What EKS cannot change in an existing node group is refused before any call that writes, with the old and the new
    value; O(replace=true) is the way out.
author:
  - podidentity.eks contributors (@podidentity)
options:
  cluster_name:
    description:
      - Name of the EKS cluster.
    type: str
    required: true
  name:
    description:
      - Name of the node group.
    type: str
    required: true
  state:
    description:
      - V(present) makes sure that the node group exists as declared.
      - V(absent) makes sure that it does not, its nodes included, nor one that has replaced it. A cluster that does not
        exist has no node groups, so nothing is changed.
    type: str
    choices: [present, absent]
    default: present
  replace:
    description:
      - Whether a node group that EKS cannot change as declared, or that has failed, is replaced by another one. Without
        it the task fails before any call that writes.
      - The new group is made first, with the settings of the old one where nothing is declared, and with the cluster's
        Kubernetes version. When it is V(ACTIVE), the old one gets the taint C(podidentity.eks/replaced), so that no pod
        comes to its nodes any more, and is deleted. EKS drains its nodes then, each for five minutes at most.
      - Names are unique in a cluster, so the name of the new group is O(name) with a hyphen and a hash of its settings.
        It has the tag C(podidentity.eks/nodegroup) with O(name) as its value. By that tag this module finds it again as
        the node group that is declared, whatever O(replace) says later.
      - A task that was interrupted goes on in the next run. Of several groups the one that fits stays, the others go.
      - Needs O(wait=true).
    type: bool
    default: false
    version_added: 0.2.0
  node_role_arn:
    description:
      - ARN of the IAM role that the nodes work with.
      - For EKS Pod Identity it needs C(eks-auth:AssumeRoleForPodIdentity), which the managed policies
        V(AmazonEKSWorkerNodePolicy) and V(AmazonEKSWorkerNodeMinimalPolicy) contain.
      - Needed for a new node group; cannot be changed afterwards without O(replace).
    type: str
  subnet_ids:
    description:
      - Subnets for the nodes.
      - Needed for a new node group; cannot be changed afterwards without O(replace).
    type: list
    elements: str
  instance_types:
    description:
      - EC2 instance types of the nodes. EKS's default is V(t3.medium), if the launch template names none.
      - An empty list leaves it to the launch template also where O(replace) would take those of the old node group.
      - Cannot be changed afterwards without O(replace).
    type: list
    elements: str
  ami_type:
    description:
      - Kind of machine image, such as V(AL2023_x86_64_STANDARD). EKS chooses one that fits when not set.
      - Cannot be changed afterwards without O(replace).
    type: str
  capacity_type:
    description:
      - How the instances are bought. EKS's default is V(ON_DEMAND).
      - Cannot be changed afterwards without O(replace).
    type: str
    choices: [ON_DEMAND, SPOT, CAPACITY_BLOCK]
  disk_size:
    description:
      - Size of the nodes' volumes in GiB. With O(launch_template) it has to be set in the template.
      - Cannot be changed afterwards without O(replace).
    type: int
  remote_access:
    description:
      - Access to the nodes by SSH. With O(launch_template) it has to be set in the template.
      - Cannot be changed afterwards without O(replace).
    type: dict
    version_added: 0.2.0
    suboptions:
      ec2_ssh_key:
        description:
          - Name of the EC2 key pair.
        type: str
      source_security_group_ids:
        description:
          - Security groups from which the nodes can be reached. Without any, EKS opens the port to everybody.
        type: list
        elements: str
  version:
    description:
      - Kubernetes version of the nodes, in quotes. EKS accepts no other than the cluster's for a new node group.
      - It never goes backwards, and never beyond the cluster's version. Update the control plane first.
      - When not set, the nodes keep their version also when the cluster is updated.
    type: str
    version_added: 0.2.0
  release_version:
    description:
      - Version of the machine image. When it is left out and the nodes are replaced by new ones for another reason, EKS
        takes the newest one of the Kubernetes version.
      - It never goes backwards.
    type: str
    version_added: 0.2.0
  force_update:
    description:
      - Whether an update of O(version), O(release_version) or O(launch_template.version) ends pods that a disruption
        budget keeps from being evicted. Without it such an update fails.
    type: bool
    default: false
    version_added: 0.2.0
  scaling:
    description:
      - How many nodes there are. What is left out stays as it is.
    type: dict
    suboptions:
      min_size:
        description:
          - The fewest nodes. Needed with O(scaling) in a new node group.
        type: int
      max_size:
        description:
          - The most nodes. Needed with O(scaling) in a new node group.
        type: int
      desired_size:
        description:
          - How many nodes there are to be now. A new node group gets O(scaling.min_size) when it is left out.
          - Leave it out when an autoscaler decides; it is moved then only when new limits make it necessary.
        type: int
  update_config:
    description:
      - How many nodes may be unavailable while the nodes are replaced by new ones. EKS's default is one node.
    type: dict
    suboptions:
      max_unavailable:
        description:
          - A number of nodes.
        type: int
      max_unavailable_percentage:
        description:
          - A percentage of the nodes.
        type: int
      update_strategy:
        description:
          - V(DEFAULT) starts new nodes before old ones end. V(MINIMAL) ends old ones first, for where there is no room
            for both.
        type: str
        choices: [DEFAULT, MINIMAL]
        version_added: 0.2.0
  repair_config:
    description:
      - Whether and how EKS replaces or reboots nodes that are not healthy. What is left out stays as it is.
      - Of each number and its percentage only one can be set.
    type: dict
    version_added: 0.2.0
    suboptions:
      enabled:
        description:
          - Whether nodes are repaired. EKS's default is V(false).
        type: bool
      max_unhealthy_node_threshold_count:
        description:
          - With more unhealthy nodes than this nothing is repaired any more.
        type: int
      max_unhealthy_node_threshold_percentage:
        description:
          - With a higher percentage of unhealthy nodes than this nothing is repaired any more.
        type: int
      max_parallel_nodes_repaired_count:
        description:
          - How many nodes are repaired at a time.
        type: int
      max_parallel_nodes_repaired_percentage:
        description:
          - What percentage of the unhealthy nodes is repaired at a time.
        type: int
      node_repair_config_overrides:
        description:
          - What is to be done about single reasons. They replace all that the node group has.
        type: list
        elements: dict
        suboptions:
          node_monitoring_condition:
            description:
              - Condition of the node that the node monitoring agent sets, such as V(AcceleratedInstanceNotReady).
            type: str
            required: true
          node_unhealthy_reason:
            description:
              - Reason that the agent gives for it, such as V(NvidiaXID13Error).
            type: str
            required: true
          min_repair_wait_time_mins:
            description:
              - How many minutes the node has to be like that.
            type: int
            required: true
          repair_action:
            description:
              - What is done then.
            type: str
            choices: [Replace, Reboot, NoAction]
            required: true
  labels:
    description:
      - Kubernetes labels of the nodes. They replace all labels that the node group has; an empty mapping removes them.
    type: dict
  taints:
    description:
      - Kubernetes taints of the nodes. They replace all taints that the node group has; an empty list removes them.
    type: list
    elements: dict
    suboptions:
      key:
        description:
          - Key of the taint.
        type: str
        required: true
      value:
        description:
          - Value of the taint.
        type: str
      effect:
        description:
          - What happens to pods that do not tolerate it, as the EKS API spells it.
        type: str
        choices: [NO_SCHEDULE, NO_EXECUTE, PREFER_NO_SCHEDULE]
        required: true
  launch_template:
    description:
      - An EC2 launch template for the nodes.
      - Another version of the same template replaces the nodes by new ones; another template needs another node group,
        which O(replace) makes.
    type: dict
    suboptions:
      id:
        description:
          - ID of the launch template.
        type: str
      name:
        description:
          - Name of the launch template.
        type: str
      version:
        description:
          - Number of the template's version. A new node group gets the template's default version when it is left out,
            and an existing one keeps the version it has.
        type: str
  wait_timeout:
    description:
      - For how many seconds to wait at most for each thing that is waited for. When they are over the task fails and
        says which state was reached; the next run goes on from there.
      - Nodes of a large group that are replaced by new ones can take longer.
    type: int
    default: 2400
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - podidentity.eks.creation_tags
  - podidentity.eks.planned_cluster
  - amazon.aws.boto3
  - podidentity.eks.attributes
  - podidentity.eks.wait
seealso:
  - module: podidentity.eks.eks_cluster
  - name: Managed node groups
    description: What managed node groups are, in the EKS user guide.
    link: https://docs.aws.amazon.com/eks/latest/userguide/managed-node-groups.html
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example"; the IAM role "eks-node" in the account 111122223333, whose trust policy allows
# ec2.amazonaws.com to call sts:AssumeRole and which has the policies that nodes need; and the list "subnet_ids" with
# the IDs of two subnets of the cluster.

- name: Create a node group
  podidentity.eks.eks_nodegroup:
    cluster_name: example
    name: general
    node_role_arn: arn:aws:iam::111122223333:role/eks-node
    subnet_ids: "{{ subnet_ids }}"
    instance_types:
      - m5.large
    disk_size: 20
    scaling:
      min_size: 1
      max_size: 3
      desired_size: 2
    update_config:
      max_unavailable: 1
    labels:
      pool: general
    tags:
      team: platform
  register: created

- name: Show how it is
  ansible.builtin.debug:
    msg: "{{ created.nodegroup.nodegroup_name }} is {{ created.nodegroup.status }}"

- name: Allow more nodes, whatever their number is now
  podidentity.eks.eks_nodegroup:
    cluster_name: example
    name: general
    scaling:
      max_size: 4

- name: Keep the nodes for pods that ask for them
  podidentity.eks.eks_nodegroup:
    cluster_name: example
    name: general
    labels:
      pool: batch
    taints:
      - key: dedicated
        value: batch
        effect: NO_SCHEDULE

- name: Take the taint away again
  podidentity.eks.eks_nodegroup:
    cluster_name: example
    name: general
    taints: []

- name: See what larger nodes would take, which EKS cannot give to a node group that exists
  podidentity.eks.eks_nodegroup:
    cluster_name: example
    name: general
    instance_types:
      - m5.xlarge
    replace: true
  check_mode: true
  diff: true
  register: planned

- name: Make a node group with larger nodes, and let the old one go when they are there
  podidentity.eks.eks_nodegroup:
    cluster_name: example
    name: general
    instance_types:
      - m5.xlarge
    replace: true
  when: planned is changed
  register: larger

- name: Show which one it is now
  ansible.builtin.debug:
    msg: "{{ larger.nodegroup.nodegroup_name }} has replaced {{ larger.replaced | join(', ') }}"

- name: Delete it
  podidentity.eks.eks_nodegroup:
    cluster_name: example
    name: general
    state: absent
"""

RETURN = r"""
actions:
  description: The operations of the EKS API that changed something, in their order; in check mode, those that would.
  returned: success
  type: list
  elements: str
  sample: [update_nodegroup_config]
changes:
  description:
    - The fields that change, each with its value before and after; empty when nothing changes. It is the same in check
      mode.
  returned: success
  type: dict
  sample: {"labels": {"before": {}, "after": {"pool": "batch"}}}
plan_item:
  description:
    - The item of this resource in the plan of a run, with its C(kind) and C(name), the C(action), which is V(create),
      V(update), V(replace) or V(delete), and C(changes). It is the same in check mode.
    - Null when nothing changes.
  returned: success
  type: dict
  sample: {"kind": "node group", "name": "general", "action": "update", "changes": {}}
nodegroup:
  description:
    - The node group as it is after the task.
    - In check mode it is the node group as it would be; what only EKS can know of a new one is missing then.
    - Null when the node group does not exist.
    - One that has replaced another one has a name of its own, see O(replace).
  returned: success
  type: dict
  contains:
    nodegroup_name:
      description: Name of the node group.
      type: str
      sample: general
    nodegroup_arn:
      description: ARN of the node group.
      type: str
      sample: arn:aws:eks:eu-west-1:111122223333:nodegroup/example/general/12345678-90ab-cdef-1234-567890abcdef
    cluster_name:
      description: Name of the cluster.
      type: str
      sample: example
    status:
      description: State of the node group.
      type: str
      sample: ACTIVE
    version:
      description: Kubernetes version of the nodes.
      type: str
      sample: "1.34"
    release_version:
      description: Version of the machine image.
      type: str
      sample: 1.34.1-20261101
    node_role:
      description: ARN of the nodes' IAM role.
      type: str
      sample: arn:aws:iam::111122223333:role/eks-node
    subnets:
      description: IDs of the subnets.
      type: list
      elements: str
      sample: [subnet-0123456789abcdef0, subnet-0123456789abcdef1]
    instance_types:
      description: EC2 instance types.
      type: list
      elements: str
      sample: [m5.large]
    ami_type:
      description: Kind of machine image.
      type: str
      sample: AL2023_x86_64_STANDARD
    capacity_type:
      description: How the instances are bought.
      type: str
      sample: ON_DEMAND
    disk_size:
      description: Size of the nodes' volumes in GiB.
      type: int
      sample: 20
    remote_access:
      description: Access to the nodes by SSH, with C(ec2_ssh_key) and C(source_security_groups).
      type: dict
      sample: {"ec2_ssh_key": "operators", "source_security_groups": ["sg-0123456789abcdef0"]}
    node_repair_config:
      description: Whether and how nodes are repaired, as O(repair_config) has it.
      type: dict
      sample: {"enabled": true}
    scaling_config:
      description: How many nodes there are.
      type: dict
      sample: {"min_size": 1, "max_size": 3, "desired_size": 2}
    update_config:
      description: How many nodes may be unavailable in an update, and in which order nodes come and go.
      type: dict
      sample: {"max_unavailable": 1}
    labels:
      description: Kubernetes labels of the nodes.
      type: dict
      sample: {"pool": "general"}
    taints:
      description: Kubernetes taints of the nodes.
      type: list
      elements: dict
      sample: [{"key": "dedicated", "value": "batch", "effect": "NO_SCHEDULE"}]
    launch_template:
      description: The launch template with C(id), C(name) and C(version).
      type: dict
      sample: {"id": "lt-0123456789abcdef0", "name": "nodes", "version": "1"}
    health:
      description: What EKS finds wrong with the node group.
      type: dict
      contains:
        issues:
          description: One entry for each issue, with C(code), C(message) and C(resource_ids).
          type: list
          elements: dict
          sample: []
    tags:
      description: Tags of the node group.
      type: dict
      sample: {"team": "platform"}
    created_at:
      description: When it was created.
      type: str
      sample: "2026-11-23T10:15:30+00:00"
    modified_at:
      description: When it was changed last.
      type: str
      sample: "2026-11-23T10:15:30+00:00"
replaced:
  description: Names of the node groups that have gone, or in check mode would go, because of O(replace).
  returned: success
  type: list
  elements: str
  sample: [general]
"""

from ansible_collections.podidentity.eks.plugins.module_utils._eks import argspec
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSError
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSModule
from ansible_collections.podidentity.eks.plugins.module_utils._eks.nodegroup.declared import REPAIR_RIVALS
from ansible_collections.podidentity.eks.plugins.module_utils._eks.nodegroup.declared import UPDATE_RIVALS
from ansible_collections.podidentity.eks.plugins.module_utils._eks.nodegroup.declared import spec_from
from ansible_collections.podidentity.eks.plugins.module_utils._eks.nodegroup.reconciling import ensure

SCALING: argspec.ArgumentSpec = {
    "min_size": {"type": "int"},
    "max_size": {"type": "int"},
    "desired_size": {"type": "int"},
}
UPDATE_CONFIG: argspec.ArgumentSpec = {
    "max_unavailable": {"type": "int"},
    "max_unavailable_percentage": {"type": "int"},
    "update_strategy": {"type": "str", "choices": ["DEFAULT", "MINIMAL"]},
}
REPAIR_OVERRIDE: argspec.ArgumentSpec = {
    "node_monitoring_condition": {"type": "str", "required": True},
    "node_unhealthy_reason": {"type": "str", "required": True},
    "min_repair_wait_time_mins": {"type": "int", "required": True},
    "repair_action": {"type": "str", "required": True, "choices": ["Replace", "Reboot", "NoAction"]},
}
REPAIR_CONFIG: argspec.ArgumentSpec = {
    "enabled": {"type": "bool"},
    "max_unhealthy_node_threshold_count": {"type": "int"},
    "max_unhealthy_node_threshold_percentage": {"type": "int"},
    "max_parallel_nodes_repaired_count": {"type": "int"},
    "max_parallel_nodes_repaired_percentage": {"type": "int"},
    "node_repair_config_overrides": {"type": "list", "elements": "dict", "options": REPAIR_OVERRIDE},
}
REMOTE_ACCESS: argspec.ArgumentSpec = {
    "ec2_ssh_key": {"type": "str", "no_log": False},
    "source_security_group_ids": {"type": "list", "elements": "str"},
}
TAINT: argspec.ArgumentSpec = {
    "key": {"type": "str", "required": True, "no_log": False},
    "value": {"type": "str"},
    "effect": {"type": "str", "required": True, "choices": ["NO_SCHEDULE", "NO_EXECUTE", "PREFER_NO_SCHEDULE"]},
}
LAUNCH_TEMPLATE: argspec.ArgumentSpec = {
    "id": {"type": "str"},
    "name": {"type": "str"},
    "version": {"type": "str"},
}
OPTIONS: argspec.ArgumentSpec = {
    "cluster_name": {"type": "str", "required": True},
    **argspec.PLANNED_CLUSTER,
    "name": {"type": "str", "required": True},
    "replace": {"type": "bool", "default": False},
    "node_role_arn": {"type": "str"},
    "subnet_ids": {"type": "list", "elements": "str"},
    "instance_types": {"type": "list", "elements": "str"},
    "ami_type": {"type": "str"},
    "capacity_type": {"type": "str", "choices": ["ON_DEMAND", "SPOT", "CAPACITY_BLOCK"]},
    "disk_size": {"type": "int"},
    "remote_access": {"type": "dict", "options": REMOTE_ACCESS, "required_one_of": [tuple(REMOTE_ACCESS)]},
    "version": {"type": "str"},
    "release_version": {"type": "str"},
    "force_update": {"type": "bool", "default": False},
    "scaling": {"type": "dict", "options": SCALING},
    "update_config": {
        "type": "dict",
        "options": UPDATE_CONFIG,
        "mutually_exclusive": UPDATE_RIVALS,
        "required_one_of": [tuple(UPDATE_CONFIG)],
    },
    "repair_config": {
        "type": "dict",
        "options": REPAIR_CONFIG,
        "mutually_exclusive": REPAIR_RIVALS,
        "required_one_of": [tuple(REPAIR_CONFIG)],
    },
    "labels": {"type": "dict"},
    "taints": {"type": "list", "elements": "dict", "options": TAINT},
    "launch_template": {
        "type": "dict",
        "options": LAUNCH_TEMPLATE,
        "mutually_exclusive": [("id", "name")],
        "required_one_of": [("id", "name")],
    },
}
WAIT_TIMEOUT: argspec.ArgumentSpec = {"wait_timeout": {"type": "int", "default": 2400}}


def main() -> None:
    module = AnsibleEKSModule(
        argument_spec=argspec.merged(
            OPTIONS, argspec.STATE, argspec.TAGS, argspec.CREATION_TAGS, argspec.WAIT, WAIT_TIMEOUT
        ),
        supports_check_mode=True,
    )
    try:
        change, found = ensure(
            module.eks_client(), spec_from(module.params), argspec.patience(module.params), module.check_mode
        )
    except AnsibleEKSError as error:
        module.fail_json_aws_error(error)
    replaced = [group["nodegroup_name"] for group in change.leaving]
    item = ("node group", module.params["name"])
    module.exit_with(change, item=item, nodegroup=found, replaced=replaced)


if __name__ == "__main__":
    main()

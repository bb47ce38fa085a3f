#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_nodegroup_info
version_added: 0.1.0
short_description: Look up the managed node groups of an EKS cluster
description:
  - Returns one node group of a cluster, or all of them, always as a list.
author:
  - podidentity.eks contributors (@podidentity)
options:
  cluster_name:
    description:
      - Name of the EKS cluster. The list is empty when it does not exist.
    type: str
    required: true
  name:
    description:
      - Name of the node group to look up. The list is empty when it does not exist.
      - One that has replaced another one is found by the name that was declared, too, see
        O(podidentity.eks.eks_nodegroup#module:replace).
      - When not set, all node groups of the cluster are returned.
    type: str
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - podidentity.eks.attributes.info
seealso:
  - module: podidentity.eks.eks_nodegroup
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example" with a node group.

- name: Look up the node groups of a cluster
  podidentity.eks.eks_nodegroup_info:
    cluster_name: example
  register: found

- name: Show how many nodes each has
  ansible.builtin.debug:
    msg: "{{ item.nodegroup_name }} has {{ item.scaling_config.desired_size }}"
  loop: "{{ found.nodegroups }}"
  loop_control:
    label: "{{ item.nodegroup_name }}"
"""

RETURN = r"""
nodegroups:
  description:
    - The node groups that were found, sorted by name, each as RV(podidentity.eks.eks_nodegroup#module:nodegroup).
  returned: success
  type: list
  elements: dict
  sample: [{"nodegroup_name": "general", "cluster_name": "example", "status": "ACTIVE", "tags": {"team": "platform"}}]
"""

from ansible_collections.podidentity.eks.plugins.module_utils._eks import argspec
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSError
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSModule
from ansible_collections.podidentity.eks.plugins.module_utils._eks.nodegroup.observing import look_up

OPTIONS: argspec.ArgumentSpec = {
    "cluster_name": {"type": "str", "required": True},
    "name": {"type": "str"},
}


def main() -> None:
    module = AnsibleEKSModule(argument_spec=OPTIONS, supports_check_mode=True)
    try:
        found = look_up(module.eks_client(), module.params["cluster_name"], module.params["name"])
    except AnsibleEKSError as error:
        module.fail_json_aws_error(error)
    module.exit_json(changed=False, nodegroups=found)


if __name__ == "__main__":
    main()

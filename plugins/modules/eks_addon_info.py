#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_addon_info
version_added: 0.2.0
short_description: Look up the add-ons of an EKS cluster, and those that could be installed
description:
  - Returns the add-ons that a cluster has, and with O(available=true) those that EKS offers for its Kubernetes version,
    with their versions, namespaces, configuration schemas, service accounts and recommended policies.
author:
  - podidentity.eks contributors (@podidentity)
options:
  cluster_name:
    description:
      - Name of the EKS cluster. It has no add-ons when it does not exist; O(available=true) fails then.
    type: str
    required: true
  name:
    description:
      - Name of an add-on, or a list of names, to look up. What is not there is left out.
      - When not set, all are returned.
    type: list
    elements: str
  available:
    description:
      - Whether to return also what could be installed, in RV(available).
      - Schema and service accounts take a call for each add-on, so they are returned only with O(name).
    type: bool
    default: false
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - podidentity.eks.planned_cluster
  - podidentity.eks.attributes.info
seealso:
  - module: podidentity.eks.eks_addon
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example" with a node group.

- name: Install an add-on to look for
  podidentity.eks.eks_addon:
    cluster_name: example
    name: snapshot-controller

- name: Look up all add-ons of a cluster
  podidentity.eks.eks_addon_info:
    cluster_name: example
  register: installed

- name: Show what is installed
  ansible.builtin.debug:
    msg: "{{ item.name }} {{ item.version }} is {{ item.status }}"
  loop: "{{ installed.addons }}"
  loop_control:
    label: "{{ item.name }}"

- name: Look up what could be installed, and what that needs
  podidentity.eks.eks_addon_info:
    cluster_name: example
    name: aws-ebs-csi-driver
    available: true
  register: found
  failed_when: found.available | length != 1

- name: Show which policies AWS recommends for which service account
  ansible.builtin.debug:
    msg: "{{ item.service_account }} needs {{ item.recommended_policies | join(', ') }}"
  loop: "{{ found.available[0].pod_identity }}"

- name: Show what can be configured
  ansible.builtin.debug:
    var: found.available[0].configuration_schema
"""

RETURN = r"""
addons:
  description:
    - The add-ons that the cluster has, sorted by name, each as RV(podidentity.eks.eks_addon#module:addon), with service
      accounts and roles of its associations.
  returned: success
  type: list
  elements: dict
  sample: [{"name": "vpc-cni", "cluster_name": "example", "version": "v1.20.4-eksbuild.1", "status": "ACTIVE"}]
available:
  description: The add-ons that EKS offers for the cluster's Kubernetes version, sorted by name.
  returned: when O(available=true)
  type: list
  elements: dict
  contains:
    name:
      description: Name of the add-on.
      type: str
      sample: aws-ebs-csi-driver
    type:
      description: What it is for.
      type: str
      sample: storage
    publisher:
      description: Who publishes it.
      type: str
      sample: eks
    owner:
      description: Who owns it.
      type: str
      sample: aws
    default_namespace:
      description: The namespace that it goes to by default, null where botocore is too old to tell.
      type: str
      sample: kube-system
    default_version:
      description: The version that AWS recommends for this Kubernetes version.
      type: str
      sample: v1.48.0-eksbuild.1
    latest_version:
      description: The newest version.
      type: str
      sample: v1.48.0-eksbuild.2
    versions:
      description: All versions that fit, newest first.
      type: list
      elements: str
      sample: [v1.48.0-eksbuild.2, v1.48.0-eksbuild.1]
    requires_configuration:
      description: Whether the default version needs a configuration.
      type: bool
      sample: false
    requires_iam_permissions:
      description: Whether the default version needs permissions in AWS.
      type: bool
      sample: true
    configuration_schema:
      description: JSON schema of the default version's configuration, null when EKS tells none.
      returned: when O(name) is set
      type: dict
      sample: {"$schema": "http://json-schema.org/draft-06/schema#", "type": "object"}
    pod_identity:
      description: The service accounts of the default version that can have an EKS Pod Identity association.
      returned: when O(name) is set
      type: list
      elements: dict
      contains:
        service_account:
          description: Name of the service account.
          type: str
          sample: ebs-csi-controller-sa
        recommended_policies:
          description: ARNs of the managed policies that AWS recommends for its role.
          type: list
          elements: str
          sample: ["arn:aws:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy"]
"""

from ansible_collections.podidentity.eks.plugins.module_utils._eks import argspec
from ansible_collections.podidentity.eks.plugins.module_utils._eks import common
from ansible_collections.podidentity.eks.plugins.module_utils._eks.addon import looking

OPTIONS: argspec.ArgumentSpec = {
    "cluster_name": {"type": "str", "required": True},
    **argspec.PLANNED_CLUSTER,
    "name": {"type": "list", "elements": "str"},
    "available": {"type": "bool", "default": False},
}


def main() -> None:
    module = common.AnsibleEKSModule(argument_spec=OPTIONS, supports_check_mode=True)
    client, question = module.eks_client(), (module.params["cluster_name"], module.params["name"])
    try:
        found = {"addons": looking.look_up(client, *question)}
        if module.params["available"]:
            found["available"] = looking.available(client, *question, module.params.get("planned_cluster"))
    except common.AnsibleEKSError as error:
        module.fail_json_aws_error(error)
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_cluster
version_added: 0.1.0
short_description: Manage an EKS cluster
description:
  - Creates, updates and deletes an Amazon EKS cluster.
  - Options that are not set leave that part of the cluster as it is; in a new cluster EKS's own default applies.
  - What EKS cannot change in an existing cluster is refused before any call that writes, with the old and the new
    value.
  - Several updates go one after another, and each one is followed by its own ID until it is done.
author:
  - podidentity.eks contributors (@podidentity)
options:
  name:
    description:
      - Name of the cluster.
    type: str
    required: true
  state:
    description:
      - V(present) makes sure that the cluster exists as declared.
      - V(absent) makes sure that it does not. EKS refuses to delete a cluster that still has node groups.
    type: str
    choices: [present, absent]
    default: present
  role_arn:
    description:
      - ARN of the IAM role that the cluster's control plane works with.
      - Needed for a new cluster; cannot be changed afterwards.
    type: str
  version:
    description:
      - Kubernetes version, in quotes, such as V("1.34").
      - An existing cluster can go to the next minor version, and never back.
    type: str
  subnet_ids:
    description:
      - Subnets for the control plane's network interfaces, at least two, in different availability zones.
      - Needed for a new cluster. The subnets of an existing one can be exchanged within its VPC.
    type: list
    elements: str
  security_group_ids:
    description:
      - Additional security groups for the control plane's network interfaces.
    type: list
    elements: str
  endpoint_public_access:
    description:
      - Whether the Kubernetes API can be reached from outside the VPC. EKS's default is V(true).
    type: bool
  endpoint_private_access:
    description:
      - Whether the Kubernetes API can be reached inside the VPC by a private address. EKS's default is V(false).
    type: bool
  public_access_cidrs:
    description:
      - CIDR blocks from which the public endpoint can be reached. EKS's default is V(0.0.0.0/0).
      - Excludes O(endpoint_public_access=false).
    type: list
    elements: str
  authentication_mode:
    description:
      - What IAM identities are let in by. The default of the EKS API is V(CONFIG_MAP).
      - It goes only from V(CONFIG_MAP) to V(API_AND_CONFIG_MAP) to V(API); both steps are made when both are needed.
    type: str
    choices: [CONFIG_MAP, API_AND_CONFIG_MAP, API]
  bootstrap_cluster_creator_admin_permissions:
    description:
      - Whether the identity that creates the cluster becomes its administrator. EKS's default is V(true).
      - Cannot be changed afterwards.
    type: bool
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - amazon.aws.boto3
  - podidentity.eks.attributes
  - podidentity.eks.wait
seealso:
  - module: podidentity.eks.eks_cluster_info
  - module: podidentity.eks.eks_nodegroup
  - name: Amazon EKS clusters
    description: What clusters are, in the EKS user guide.
    link: https://docs.aws.amazon.com/eks/latest/userguide/clusters.html
"""

EXAMPLES = r"""
# Needs: the IAM role "eks-cluster" in the account 111122223333, whose trust policy allows eks.amazonaws.com to call
# sts:AssumeRole, and the list "subnet_ids" with the IDs of two subnets in different zones.

- name: Create a cluster
  podidentity.eks.eks_cluster:
    name: example
    version: "1.33"
    role_arn: arn:aws:iam::111122223333:role/eks-cluster
    subnet_ids: "{{ subnet_ids }}"
    authentication_mode: API_AND_CONFIG_MAP
    tags:
      team: platform
  register: created

- name: Show where its API answers
  ansible.builtin.debug:
    msg: "{{ created.cluster.endpoint }} runs Kubernetes {{ created.cluster.version }}"

- name: Update it to the next Kubernetes version
  podidentity.eks.eks_cluster:
    name: example
    version: "1.34"

- name: Let access entries alone decide who gets in, and only from one office
  podidentity.eks.eks_cluster:
    name: example
    authentication_mode: API
    endpoint_private_access: true
    public_access_cidrs:
      - 203.0.113.0/24

- name: Add a tag, and leave the others
  podidentity.eks.eks_cluster:
    name: example
    tags:
      stage: test
    purge_tags: false

- name: Delete it
  podidentity.eks.eks_cluster:
    name: example
    state: absent
"""

RETURN = r"""
actions:
  description: The operations of the EKS API that changed something, in their order; in check mode, those that would.
  returned: success
  type: list
  elements: str
  sample: [update_cluster_config, update_cluster_version]
cluster:
  description:
    - The cluster as it is after the task.
    - In check mode it is the cluster as it would be; what only EKS can know of a new one is missing then.
    - Null when the cluster does not exist.
  returned: success
  type: dict
  contains:
    name:
      description: Name of the cluster.
      type: str
      sample: example
    arn:
      description: ARN of the cluster.
      type: str
      sample: arn:aws:eks:eu-west-1:111122223333:cluster/example
    status:
      description: State of the cluster.
      type: str
      sample: ACTIVE
    version:
      description: Kubernetes version.
      type: str
      sample: "1.34"
    platform_version:
      description: EKS's own version of what is around Kubernetes.
      type: str
      sample: eks.9
    endpoint:
      description: URL of the Kubernetes API.
      type: str
      sample: https://0123456789ABCDEF0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com
    certificate_authority:
      description: The certificate of the authority that signed the API server's certificate, as PEM text.
      type: str
      sample: "-----BEGIN CERTIFICATE-----\n..."
    role_arn:
      description: ARN of the cluster's IAM role.
      type: str
      sample: arn:aws:iam::111122223333:role/eks-cluster
    resources_vpc_config:
      description: The cluster's network.
      type: dict
      contains:
        vpc_id:
          description: ID of the VPC.
          type: str
          sample: vpc-0123456789abcdef0
        subnet_ids:
          description: IDs of the subnets.
          type: list
          elements: str
          sample: [subnet-0123456789abcdef0, subnet-0123456789abcdef1]
        security_group_ids:
          description: IDs of the additional security groups.
          type: list
          elements: str
          sample: []
        cluster_security_group_id:
          description: ID of the security group that EKS made for the cluster.
          type: str
          sample: sg-0123456789abcdef0
        endpoint_public_access:
          description: Whether the API can be reached from outside the VPC.
          type: bool
          sample: true
        endpoint_private_access:
          description: Whether the API can be reached inside the VPC by a private address.
          type: bool
          sample: false
        public_access_cidrs:
          description: From where the public endpoint can be reached.
          type: list
          elements: str
          sample: [0.0.0.0/0]
    access_config:
      description: Who gets in.
      type: dict
      contains:
        authentication_mode:
          description: What IAM identities are let in by.
          type: str
          sample: API_AND_CONFIG_MAP
    identity:
      description: The issuer of service account tokens.
      type: dict
      contains:
        oidc:
          description: The OpenID Connect issuer.
          type: dict
          contains:
            issuer:
              description: URL of the issuer.
              type: str
              sample: https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF
    health:
      description: What EKS finds wrong with the cluster.
      type: dict
      contains:
        issues:
          description: One entry for each issue, with C(code), C(message) and C(resource_ids).
          type: list
          elements: dict
          sample: []
    tags:
      description: Tags of the cluster.
      type: dict
      sample: {"team": "platform"}
    created_at:
      description: When it was created.
      type: str
      sample: "2026-11-23T10:15:30+00:00"
"""

from ansible_collections.podidentity.eks.plugins.module_utils._eks import argspec
from ansible_collections.podidentity.eks.plugins.module_utils._eks import cluster
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSError
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSModule

OPTIONS: argspec.ArgumentSpec = {
    "name": {"type": "str", "required": True},
    "role_arn": {"type": "str"},
    "version": {"type": "str"},
    "subnet_ids": {"type": "list", "elements": "str"},
    "security_group_ids": {"type": "list", "elements": "str"},
    "endpoint_public_access": {"type": "bool"},
    "endpoint_private_access": {"type": "bool"},
    "public_access_cidrs": {"type": "list", "elements": "str"},
    "authentication_mode": {"type": "str", "choices": list(cluster.AUTHENTICATION_MODES)},
    "bootstrap_cluster_creator_admin_permissions": {"type": "bool"},
}


def main() -> None:
    module = AnsibleEKSModule(
        argument_spec=argspec.merged(OPTIONS, argspec.STATE, argspec.TAGS, argspec.WAIT),
        supports_check_mode=True,
    )
    try:
        change, found = cluster.ensure(
            module.eks_client(),
            cluster.spec_from(module.params),
            argspec.patience(module.params),
            module.check_mode,
        )
    except AnsibleEKSError as error:
        module.fail_json_aws_error(error)
    module.exit_with(change, cluster=found)


if __name__ == "__main__":
    main()

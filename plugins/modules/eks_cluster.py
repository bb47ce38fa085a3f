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
  - Several updates go one after another, and each one is followed by its own ID until it is done; the version comes
    last. When one fails, the message says which were done before it, and the next run does what is missing.
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
      - A cluster that is protected from deletion is deleted only with O(deletion_protection=false).
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
  force_version_update:
    description:
      - Whether to update O(version) in spite of what EKS's readiness checks (upgrade insights) find.
      - With V(false), EKS refuses such an update.
    type: bool
    default: false
    version_added: 0.2.0
  support_type:
    description:
      - What happens when the standard support of the Kubernetes version ends. V(EXTENDED), which is EKS's default,
        keeps the version and costs more; with V(STANDARD) EKS updates the cluster.
    type: str
    choices: [STANDARD, EXTENDED]
    version_added: 0.2.0
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
  service_ipv4_cidr:
    description:
      - The block from which Kubernetes services get their addresses. It lies in C(10.0.0.0/8), C(172.16.0.0/12) or
        C(192.168.0.0/16), has a prefix between C(/12) and C(/24), and does not overlap with the VPC.
      - When not set, EKS chooses C(10.100.0.0/16) or C(172.20.0.0/16). Cannot be changed afterwards.
      - Excludes O(ip_family=ipv6).
    type: str
    version_added: 0.2.0
  ip_family:
    description:
      - The kind of addresses that pods and services get. EKS's default is V(ipv4). Cannot be changed afterwards.
    type: str
    choices: [ipv4, ipv6]
    version_added: 0.2.0
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
  bootstrap_self_managed_addons:
    description:
      - Whether a new cluster gets vpc-cni, kube-proxy and CoreDNS as plain Kubernetes objects, which EKS does not
        manage. EKS's default is V(true).
      - With Auto Mode it is V(false) by itself. EKS does not tell it afterwards, so it is not compared.
    type: bool
    version_added: 0.2.0
  auto_mode:
    description:
      - EKS Auto Mode, in which EKS runs nodes, load balancers and block storage; its three settings go together.
      - Needs O(authentication_mode=API) or O(authentication_mode=API_AND_CONFIG_MAP), and a cluster role whose trust
        policy allows C(sts:TagSession) beside C(sts:AssumeRole).
    type: dict
    version_added: 0.2.0
    suboptions:
      enabled:
        description: Whether it is on.
        type: bool
        required: true
      node_pools:
        description:
          - The node pools that EKS provides; an empty list is for those who have only node pools of their own.
          - Needs O(auto_mode.node_role_arn) unless it is empty.
        type: list
        elements: str
        choices: [general-purpose, system]
      node_role_arn:
        description:
          - ARN of the IAM role of the nodes in O(auto_mode.node_pools), without which it cannot be set.
          - Cannot be changed while Auto Mode is on.
        type: str
  logging:
    description:
      - The control plane's logs that go to CloudWatch. Exactly these are on; an empty list turns all off.
    type: list
    elements: str
    choices: [api, audit, authenticator, controllerManager, scheduler]
    version_added: 0.2.0
  encryption_key_arn:
    description:
      - ARN of the KMS key with which secrets are encrypted before they are stored; an alias is not taken.
      - Can be added to a cluster that has none, and then neither changed nor taken away.
    type: str
    version_added: 0.2.0
  zonal_shift:
    description:
      - Whether Amazon Application Recovery Controller may move traffic away from an impaired zone.
    type: bool
    version_added: 0.2.0
  deletion_protection:
    description:
      - Whether EKS refuses to delete the cluster. EKS's default is V(false).
      - With O(state=absent), V(false) switches the protection off and then deletes the cluster.
    type: bool
    version_added: 0.2.0
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - amazon.aws.boto3
  - podidentity.eks.attributes
  - podidentity.eks.creation_tags
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
# sts:AssumeRole and sts:TagSession, the role "eks-node" for nodes, and the list "subnet_ids" with the IDs of two
# subnets in different zones.

- name: Create a cluster
  podidentity.eks.eks_cluster:
    name: example
    version: "1.33"
    role_arn: arn:aws:iam::111122223333:role/eks-cluster
    subnet_ids: "{{ subnet_ids }}"
    service_ipv4_cidr: 172.30.0.0/16
    authentication_mode: API_AND_CONFIG_MAP
    logging:
      - audit
      - authenticator
    deletion_protection: true
    tags:
      team: platform
    creation_tags:
      made-by: ansible
  register: created

- name: Show where its API answers, and what pods need to have an identity
  ansible.builtin.debug:
    msg: >-
      {{ created.cluster.endpoint }} runs Kubernetes {{ created.cluster.version }}.
      {{ created.cluster.pod_identity.reason }}

- name: Show what an update to the next Kubernetes version would change
  podidentity.eks.eks_cluster:
    name: example
    version: "1.34"
  check_mode: true
  diff: true

- name: Update it, and let EKS keep this version when its standard support ends
  podidentity.eks.eks_cluster:
    name: example
    version: "1.34"
    support_type: EXTENDED

- name: Let access entries alone decide who gets in, and only from one office
  podidentity.eks.eks_cluster:
    name: example
    authentication_mode: API
    endpoint_private_access: true
    public_access_cidrs:
      - 203.0.113.0/24

- name: Encrypt its secrets with a key of our own, which is for good
  podidentity.eks.eks_cluster:
    name: example
    encryption_key_arn: arn:aws:kms:eu-west-1:111122223333:key/01234567-89ab-cdef-0123-456789abcdef

- name: Let EKS run its nodes, and move traffic away from a zone that is impaired
  podidentity.eks.eks_cluster:
    name: example
    auto_mode:
      enabled: true
      node_pools: [general-purpose, system]
      node_role_arn: arn:aws:iam::111122223333:role/eks-node
    zonal_shift: true
  register: automatic

- name: Confirm that its nodes have the agent of EKS Pod Identity built in
  ansible.builtin.assert:
    that: automatic.cluster.pod_identity.agent == "built-in"

- name: Add a tag, leave the others, and turn all logs off
  podidentity.eks.eks_cluster:
    name: example
    logging: []
    tags:
      stage: test
    purge_tags: false

- name: Delete it, although it is protected
  podidentity.eks.eks_cluster:
    name: example
    state: absent
    deletion_protection: false
"""

RETURN = r"""
actions:
  description: The operations of the EKS API that changed something, in their order; in check mode, those that would.
  returned: success
  type: list
  elements: str
  sample: [update_cluster_config, associate_encryption_config, update_cluster_version]
changes:
  description:
    - The fields that change, each with its value before and after; empty when nothing changes. It is the same in check
      mode.
  returned: success
  type: dict
  sample: {"version": {"before": "1.33", "after": "1.34"}}
plan_item:
  description:
    - The item of this resource in the plan of a run, with its C(kind) and C(name), the C(action), which is V(create),
      V(update), V(replace) or V(delete), and C(changes). It is the same in check mode.
    - Null when nothing changes.
  returned: success
  type: dict
  sample: {"kind": "cluster", "name": "example", "action": "update", "changes": {}}
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
    kubernetes_network_config:
      description: Addresses inside the cluster, and the load balancing of Auto Mode.
      type: dict
      contains:
        service_ipv4_cidr:
          description: The block from which services get their addresses.
          type: str
          sample: 172.20.0.0/16
        ip_family:
          description: The kind of addresses that pods and services get.
          type: str
          sample: ipv4
        elastic_load_balancing:
          description: With C(enabled), whether EKS runs load balancers.
          type: dict
          sample: {"enabled": false}
    compute_config:
      description: With C(enabled), whether EKS runs nodes, and if so with C(node_pools) and C(node_role_arn).
      type: dict
      sample: {"enabled": false}
    storage_config:
      description: With C(block_storage.enabled), whether EKS runs block storage.
      type: dict
      sample: {"block_storage": {"enabled": false}}
    logging:
      description: With C(cluster_logging), which types of log are on and which are off.
      type: dict
      sample: {"cluster_logging": [{"types": ["audit"], "enabled": true}]}
    encryption_config:
      description: The key with which secrets are encrypted. Missing when that is AWS's own.
      type: list
      elements: dict
      sample: []
    upgrade_policy:
      description: With C(support_type), what happens when the standard support of the version ends.
      type: dict
      sample: {"support_type": "EXTENDED"}
    zonal_shift_config:
      description: With C(enabled), whether traffic may be moved away from an impaired zone.
      type: dict
      sample: {"enabled": false}
    deletion_protection:
      description: Whether EKS refuses to delete the cluster.
      type: bool
      sample: false
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
    auto_mode:
      description: Whether EKS Auto Mode is on.
      type: bool
      sample: false
      version_added: 0.2.0
    oidc_issuer:
      description: URL of the issuer of service account tokens; null until EKS has made it.
      type: str
      sample: https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF
      version_added: 0.2.0
    pod_identity:
      description: Whether pods of the cluster can have EKS Pod Identity.
      type: dict
      version_added: 0.2.0
      contains:
        supported:
          description: Whether they can, as far as the cluster itself is concerned.
          type: bool
          sample: true
        reason:
          description: Why, in one sentence.
          type: str
          sample: This Kubernetes version has EKS Pod Identity; nodes need the add-on eks-pod-identity-agent.
        agent:
          description:
            - Where the agent on the nodes comes from. V(add-on) is C(eks-pod-identity-agent), V(built-in) is that of
              the nodes of EKS Auto Mode. Null when EKS Pod Identity is not supported.
          type: str
          sample: add-on
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
    "force_version_update": {"type": "bool", "default": False},
    "support_type": {"type": "str", "choices": ["STANDARD", "EXTENDED"]},
    "subnet_ids": {"type": "list", "elements": "str"},
    "security_group_ids": {"type": "list", "elements": "str"},
    "endpoint_public_access": {"type": "bool"},
    "endpoint_private_access": {"type": "bool"},
    "public_access_cidrs": {"type": "list", "elements": "str"},
    "service_ipv4_cidr": {"type": "str"},
    "ip_family": {"type": "str", "choices": ["ipv4", "ipv6"]},
    "authentication_mode": {"type": "str", "choices": list(cluster.AUTHENTICATION_MODES)},
    "bootstrap_cluster_creator_admin_permissions": {"type": "bool"},
    "bootstrap_self_managed_addons": {"type": "bool"},
    "auto_mode": {
        "type": "dict",
        "options": {
            "enabled": {"type": "bool", "required": True},
            "node_pools": {"type": "list", "elements": "str", "choices": list(cluster.NODE_POOLS)},
            "node_role_arn": {"type": "str"},
        },
    },
    "logging": {"type": "list", "elements": "str", "choices": list(cluster.LOG_TYPES)},
    "encryption_key_arn": {"type": "str", "no_log": False},
    "zonal_shift": {"type": "bool"},
    "deletion_protection": {"type": "bool"},
}


def main() -> None:
    module = AnsibleEKSModule(
        argument_spec=argspec.merged(OPTIONS, argspec.STATE, argspec.TAGS, argspec.CREATION_TAGS, argspec.WAIT),
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
    module.exit_with(change, item=("cluster", module.params["name"]), cluster=found)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_cluster_info
version_added: 0.1.0
short_description: Look up EKS clusters
description:
  - Returns one cluster, or all clusters of the region, always as a list.
author:
  - podidentity.eks contributors (@podidentity)
options:
  name:
    description:
      - Name of the cluster to look up. The list is empty when it does not exist.
      - When not set, all clusters of the region are returned.
    type: str
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - podidentity.eks.attributes.info
seealso:
  - module: podidentity.eks.eks_cluster
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example".

- name: Look up a cluster
  podidentity.eks.eks_cluster_info:
    name: example
  register: found

- name: Show where its API answers
  ansible.builtin.debug:
    msg: "{{ found.clusters[0].endpoint }} runs Kubernetes {{ found.clusters[0].version }}"

- name: Stop where pods cannot have EKS Pod Identity, with the reason
  ansible.builtin.assert:
    that: found.clusters[0].pod_identity.supported
    fail_msg: "{{ found.clusters[0].pod_identity.reason }}"

- name: Keep the certificate of its authority for clients of the Kubernetes API
  ansible.builtin.set_fact:
    certificate_authority: "{{ found.clusters[0].certificate_authority }}"

- name: Look up all clusters of a region
  podidentity.eks.eks_cluster_info:
  register: all_clusters

- name: Look up a cluster that may not exist
  podidentity.eks.eks_cluster_info:
    name: perhaps
  register: perhaps
  failed_when: perhaps.clusters | length > 1
"""

RETURN = r"""
clusters:
  description:
    - The clusters that were found, sorted by name. Each has all that
      RV(podidentity.eks.eks_cluster#module:cluster) has.
  returned: success
  type: list
  elements: dict
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
      description: The cluster's network, as RV(podidentity.eks.eks_cluster#module:cluster.resources_vpc_config).
      type: dict
      sample: {"vpc_id": "vpc-0123456789abcdef0", "endpoint_public_access": true}
    access_config:
      description: Who gets in, as RV(podidentity.eks.eks_cluster#module:cluster.access_config).
      type: dict
      sample: {"authentication_mode": "API_AND_CONFIG_MAP"}
    identity:
      description: The issuer of service account tokens, as RV(podidentity.eks.eks_cluster#module:cluster.identity).
      type: dict
      sample: {"oidc": {"issuer": "https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF"}}
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
      description:
        - Whether pods of the cluster can have EKS Pod Identity, why, and where its agent comes from, as
          RV(podidentity.eks.eks_cluster#module:cluster.pod_identity).
      type: dict
      sample:
        supported: true
        reason: This Kubernetes version has EKS Pod Identity; nodes need the add-on eks-pod-identity-agent.
        agent: add-on
      version_added: 0.2.0
    tags:
      description: Tags of the cluster.
      type: dict
      sample: {"team": "platform"}
    created_at:
      description: When it was created.
      type: str
      sample: "2026-11-23T10:15:30+00:00"
"""

from ansible_collections.podidentity.eks.plugins.module_utils._eks import cluster
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSError
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSModule


def main() -> None:
    module = AnsibleEKSModule(argument_spec={"name": {"type": "str"}}, supports_check_mode=True)
    try:
        found = cluster.look_up(module.eks_client(), module.params["name"])
    except AnsibleEKSError as error:
        module.fail_json_aws_error(error)
    module.exit_json(changed=False, clusters=found)


if __name__ == "__main__":
    main()

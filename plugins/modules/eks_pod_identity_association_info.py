#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_pod_identity_association_info
version_added: 0.1.0
short_description: Look up EKS Pod Identity associations
description:
  - Returns the EKS Pod Identity associations of a cluster, always as a list.
  - Options narrow the list; an association is returned when it matches all that are set.
  - The list is empty when nothing matches, and also when the cluster does not exist.
author:
  - podidentity.eks contributors (@podidentity)
options:
  cluster_name:
    description:
      - Name of the EKS cluster.
    type: str
    required: true
  namespace:
    description:
      - Only associations of service accounts in this Kubernetes namespace.
    type: str
  service_account:
    description:
      - Only associations of service accounts with this name.
    type: str
  association_ids:
    description:
      - Only the associations with these IDs. An ID that does not exist is left out.
    type: list
    elements: str
  role_arn:
    description:
      - Only associations with this role, as role or as target role. Needs O(describe=true).
    type: str
    version_added: 0.2.0
  owner:
    description:
      - Only associations that belong to this EKS add-on, given by its name or by its ARN.
      - An empty string asks for those that belong to none.
    type: str
    version_added: 0.2.0
  tags:
    description:
      - Only associations with all these tags. Needs O(describe=true).
    type: dict
    version_added: 0.2.0
  describe:
    description:
      - Whether to return all fields, which takes a call for each association.
      - With V(false) only what a list tells, which takes a call for each hundred. Everything but names, IDs and owner
        is null then.
    type: bool
    version_added: 0.2.0
    default: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - podidentity.eks.attributes.info
seealso:
  - module: podidentity.eks.eks_pod_identity_association
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example", and the IAM role "app" in its account 111122223333, whose trust policy allows
# pods.eks.amazonaws.com to call sts:AssumeRole and sts:TagSession.

- name: Make an association to look for
  podidentity.eks.eks_pod_identity_association:
    cluster_name: example
    namespace: team-a
    service_account: app
    role_arn: arn:aws:iam::111122223333:role/app
  register: created

- name: Look up all associations of a cluster
  podidentity.eks.eks_pod_identity_association_info:
    cluster_name: example
  register: found

- name: Show who may do what
  ansible.builtin.debug:
    msg: "{{ item.namespace }}/{{ item.service_account }} has {{ item.target_role_arn or item.role_arn }}"
  loop: "{{ found.associations }}"
  loop_control:
    label: "{{ item.association_id }}"

- name: Look up the association of one service account
  podidentity.eks.eks_pod_identity_association_info:
    cluster_name: example
    namespace: team-a
    service_account: app
  register: one
  failed_when: one.associations | length != 1

- name: Look up an association by its ID
  podidentity.eks.eks_pod_identity_association_info:
    cluster_name: example
    association_ids:
      - "{{ created.association.association_id }}"
  register: one
  failed_when: one.associations[0].role_arn != created.association.role_arn

- name: Count the associations of a cluster in one call
  podidentity.eks.eks_pod_identity_association_info:
    cluster_name: example
    describe: false
  register: listed
  failed_when: listed.associations | length != 1 or listed.api_calls | length != 1

- name: Look up what has a role
  podidentity.eks.eks_pod_identity_association_info:
    cluster_name: example
    role_arn: arn:aws:iam::111122223333:role/app
    owner: ""
  register: with_role
  failed_when: with_role.associations | length != 1

- name: Delete it
  podidentity.eks.eks_pod_identity_association:
    cluster_name: example
    namespace: team-a
    service_account: app
    state: absent
"""

RETURN = r"""
associations:
  description: The associations that were found, sorted by namespace and service account.
  returned: always
  type: list
  elements: dict
  contains:
    association_id:
      description: ID of the association.
      type: str
      sample: a-abcdefghijklmnop1
    association_arn:
      description: ARN of the association.
      type: str
      sample: arn:aws:eks:eu-west-1:111122223333:podidentityassociation/example/a-abcdefghijklmnop1
    cluster_name:
      description: Name of the cluster.
      type: str
      sample: example
    namespace:
      description: Namespace of the service account.
      type: str
      sample: team-a
    service_account:
      description: Name of the service account.
      type: str
      sample: app
    role_arn:
      description: ARN of the role.
      type: str
      sample: arn:aws:iam::111122223333:role/app
    target_role_arn:
      description: ARN of the target role, null when there is none.
      type: str
      sample: arn:aws:iam::444455556666:role/app-target
    disable_session_tags:
      description: Whether sessions carry no session tags.
      type: bool
      sample: false
    policy:
      description: The session policy, null when there is none.
      type: dict
      sample: {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
    external_id:
      description: What the target role's trust policy may ask for as C(sts:ExternalId).
      type: str
      sample: eu-west-1/111122223333/example/team-a/app
    owner_arn:
      description: ARN of the add-on that the association belongs to, null when it belongs to none.
      type: str
      sample: arn:aws:eks:eu-west-1:111122223333:addon/example/vpc-cni/12345678-90ab-cdef-1234-567890abcdef
    tags:
      description: Tags of the association.
      type: dict
      sample: {"team": "a"}
    created_at:
      description: When it was created.
      type: str
      sample: "2026-11-23T10:15:30+00:00"
    modified_at:
      description: When it was changed last.
      type: str
      sample: "2026-11-23T10:15:30+00:00"
api_calls:
  description: How often each operation of AWS was called, attempts that failed included.
  returned: always
  type: dict
  sample: {"DescribePodIdentityAssociation": 1, "ListPodIdentityAssociations": 1}
throttled:
  description: How many calls AWS refused as too many, and how many seconds the task was held up for that.
  returned: always
  type: dict
  sample: {"calls": 0, "seconds": 0.0}
"""

from ansible_collections.podidentity.eks.plugins.module_utils._eks import argspec
from ansible_collections.podidentity.eks.plugins.module_utils._eks import common
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association.looking import look_up
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association.objects import render

OPTIONS: argspec.ArgumentSpec = {
    "cluster_name": {"type": "str", "required": True},
    "namespace": {"type": "str"},
    "service_account": {"type": "str"},
    "association_ids": {"type": "list", "elements": "str"},
    "role_arn": {"type": "str"},
    "owner": {"type": "str"},
    "tags": {"type": "dict"},
    "describe": {"type": "bool", "default": True},
}
CONCURRENCY = 32


def main() -> None:
    module = common.AnsibleEKSModule(argument_spec=OPTIONS, supports_check_mode=True)
    try:
        found = look_up(module.eks_client(CONCURRENCY), module.params, CONCURRENCY)
    except common.AnsibleEKSError as error:
        module.fail_json_aws_error(error)
    module.exit_json(changed=False, associations=[render(one) for one in found], **module.traffic.result)


if __name__ == "__main__":
    main()

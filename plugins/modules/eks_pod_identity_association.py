#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_pod_identity_association
version_added: 0.1.0
short_description: Manage the EKS Pod Identity association of a service account
description:
  - Creates, updates and deletes the association that gives the pods of a Kubernetes service account the permissions of
    an IAM role through EKS Pod Identity.
  - A service account has at most one association in a cluster, so O(cluster_name), O(namespace) and O(service_account)
    say which one is meant. Neither the namespace nor the service account needs to exist.
  - An association that is there already is compared and updated in place, whoever made it; only one that belongs to an
    EKS add-on is refused unless O(force_owned=true).
  - EKS takes several seconds to make a new or changed association effective, and pods that run already keep the
    credentials they have (or have not) until they are made anew.
  - Options that are not set leave that part of the association as it is.
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
      - Kubernetes namespace of the service account.
    type: str
    required: true
  service_account:
    description:
      - Name of the Kubernetes service account.
    type: str
    required: true
  state:
    description:
      - V(present) makes sure that the association exists as declared.
      - V(absent) makes sure that there is none. Sessions that pods hold already stay valid until they expire.
      - With V(absent), a cluster that does not exist has no association and nothing is changed.
    type: str
    choices: [present, absent]
    default: present
  association_id:
    description:
      - ID of the association that is meant, for the case that its service account has changed. EKS cannot move an
        association, so one that is another service account's is deleted and made anew for this one, without anything in
        between. What ran as the old service account keeps its credentials until they expire.
      - An ID that does not exist, or no more, is no error.
    type: str
    version_added: 0.2.0
  role_arn:
    description:
      - ARN of the IAM role whose permissions the pods get; it has to be in the cluster's account.
      - Its trust policy has to allow the principal V(pods.eks.amazonaws.com) both V(sts:AssumeRole) and
        V(sts:TagSession).
      - Required when O(state=present).
    type: str
  target_role_arn:
    description:
      - ARN of a second role, in this or another account, that EKS assumes with the first one; the pods get its
        permissions instead.
      - An empty string removes the target role.
      - Needs botocore >= 1.38.35.
    type: str
  disable_session_tags:
    description:
      - Whether EKS leaves out the six session tags (cluster, namespace, service account, pod) that it adds otherwise.
      - Conditions on C(aws:RequestTag) in trust policies and on C(aws:PrincipalTag) in permissions match no more then.
      - Needs botocore >= 1.38.35.
    type: bool
  policy:
    description:
      - A session policy, as a mapping or as JSON text. The pods get what both the role and this policy allow; with
        O(target_role_arn) it applies to the target role only.
      - At most 2,048 characters without white space, and only together with O(disable_session_tags=true).
      - An empty string removes the policy.
      - Needs botocore >= 1.42.46.
    type: json
  force_owned:
    description:
      - Whether to change or delete an association that belongs to an EKS add-on. AWS advises to manage it through the
        add-on.
      - Without it, the task fails when such an association is not as declared, and leaves it alone.
    type: bool
    default: false
  iam_propagation_timeout:
    description:
      - For how many seconds to try again when EKS does not see the role yet, or refuses its trust policy, because a
        change in IAM takes some time to be seen everywhere.
    type: int
    default: 120
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - podidentity.eks.creation_tags
  - amazon.aws.boto3
  - podidentity.eks.attributes
seealso:
  - module: podidentity.eks.eks_pod_identity_association_info
  - name: EKS Pod Identity
    description: How EKS Pod Identity works, in the EKS user guide.
    link: https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example", and the IAM roles "app", "app-v2" and "app-target" in its account 111122223333,
# whose trust policies allow pods.eks.amazonaws.com to call sts:AssumeRole and sts:TagSession.

- name: Give the pods of a service account the permissions of a role
  podidentity.eks.eks_pod_identity_association:
    cluster_name: example
    namespace: team-a
    service_account: app
    role_arn: arn:aws:iam::111122223333:role/app
    tags:
      team: a
  register: created

- name: Change the role, and let the pods act as a second role with a narrower session policy
  podidentity.eks.eks_pod_identity_association:
    cluster_name: example
    namespace: team-a
    service_account: app
    role_arn: arn:aws:iam::111122223333:role/app-v2
    target_role_arn: arn:aws:iam::111122223333:role/app-target
    disable_session_tags: true
    policy:
      Version: "2012-10-17"
      Statement:
        - Effect: Allow
          Action: s3:GetObject
          Resource: "arn:aws:s3:::example-bucket/*"

- name: Remove the target role and the session policy again, everything else stays
  podidentity.eks.eks_pod_identity_association:
    cluster_name: example
    namespace: team-a
    service_account: app
    role_arn: arn:aws:iam::111122223333:role/app-v2
    target_role_arn: ""
    policy: ""
    disable_session_tags: false

- name: Look it up
  podidentity.eks.eks_pod_identity_association_info:
    cluster_name: example
    association_ids:
      - "{{ created.association.association_id }}"
  register: found

- name: Delete what was found
  podidentity.eks.eks_pod_identity_association:
    cluster_name: "{{ item.cluster_name }}"
    namespace: "{{ item.namespace }}"
    service_account: "{{ item.service_account }}"
    state: absent
  loop: "{{ found.associations }}"
  loop_control:
    label: "{{ item.association_id }}"
"""

RETURN = r"""
changes:
  description:
    - The fields that change, each with its value before and after; empty when nothing changes. It is the same in check
      mode.
  returned: success
  type: dict
  sample: {"disable_session_tags": {"before": true, "after": false}}
association:
  description:
    - The association as it is after the task, or in check mode as it would be.
    - What only EKS can know (such as the ID of an association that is not there yet) is null then.
    - Null when O(state=absent).
  returned: success
  type: dict
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
  returned: success
  type: dict
  sample: {"DescribePodIdentityAssociation": 1, "ListPodIdentityAssociations": 1}
throttled:
  description: How many calls AWS refused as too many, and how many seconds the task was held up for that.
  returned: success
  type: dict
  sample: {"calls": 0, "seconds": 0.0}
"""

from ansible_collections.podidentity.eks.plugins.module_utils._eks import argspec
from ansible_collections.podidentity.eks.plugins.module_utils._eks import common
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association.declared import spec_of_one
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association.objects import render
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association.reconciling import Task
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association.reconciling import ensure_one

OPTIONS: argspec.ArgumentSpec = {
    "cluster_name": {"type": "str", "required": True},
    "namespace": {"type": "str", "required": True},
    "service_account": {"type": "str", "required": True},
    "association_id": {"type": "str"},
    "role_arn": {"type": "str"},
    "target_role_arn": {"type": "str"},
    "disable_session_tags": {"type": "bool"},
    "policy": {"type": "json"},
    "force_owned": {"type": "bool", "default": False},
}


def main() -> None:
    module = common.AnsibleEKSModule(
        argument_spec=argspec.merged(
            OPTIONS, argspec.STATE, argspec.TAGS, argspec.CREATION_TAGS, argspec.IAM_PROPAGATION
        ),
        required_if=[("state", "present", ["role_arn"])],
        supports_check_mode=True,
    )
    task = Task(
        client=module.eks_client(),
        traffic=module.traffic,
        cluster_name=module.params["cluster_name"],
        specs=[spec_of_one(module.params)],
        check_mode=module.check_mode,
        propagation_timeout=module.params["iam_propagation_timeout"],
    )
    try:
        step, current = ensure_one(task)
    except common.AnsibleEKSError as error:
        module.fail_json_aws_error(error)
    module.exit_with(step.change, association=render(current) if current else None, **module.traffic.result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_access_entry
version_added: 0.2.0
short_description: Manage who has access to an EKS cluster
description:
  - Creates, updates and deletes the access entry that lets an IAM role or user into the Kubernetes API of a cluster,
    with its Kubernetes groups and EKS access policies.
  - A principal has at most one entry in a cluster, so O(cluster_name) and O(principal_arn) say which one is meant. An
    entry that is there already is compared and updated in place, whoever made it; all others are left alone, those that
    EKS makes for the roles of nodes included.
  - An entry is for the principal that it was made for. When a role or user is deleted and made again under the same
    name, its entry is stale and lets nobody in. The module notices that (see O(check_principal)), and makes the entry
    anew.
  - Options that are not set leave that part of the entry as it is.
  - EKS takes several seconds to make a new or changed entry effective.
author:
  - podidentity.eks contributors (@podidentity)
options:
  cluster_name:
    description:
      - Name of the EKS cluster. Its authentication mode has to be V(API) or V(API_AND_CONFIG_MAP).
    type: str
    required: true
  principal_arn:
    description:
      - ARN of the IAM role or user, with its path if it has one. It can be in another account than the cluster.
      - It must not be the session of a role, nor a service-linked role.
    type: str
    required: true
  state:
    description:
      - V(present) makes sure that the entry exists as declared.
      - V(absent) makes sure that there is none. A cluster or principal that does not exist has none.
    type: str
    choices: [present, absent]
    default: present
  type:
    description:
      - What the principal is; V(STANDARD) is for people and programs, the others are for the roles of nodes.
      - EKS sets it at creation only. A new entry is V(STANDARD) when it is not set.
    type: str
    choices: [STANDARD, EC2, EC2_LINUX, EC2_WINDOWS, FARGATE_LINUX, HYBRID_LINUX, HYPERPOD_LINUX]
  kubernetes_groups:
    description:
      - Groups of the principal in Kubernetes, for role bindings. They replace those that are there. None of them may
        begin with V(system:).
      - Only with V(STANDARD) for O(type).
    type: list
    elements: str
  user_name:
    description:
      - Name of the principal in Kubernetes. EKS makes one of the ARN when it is not set, which AWS recommends.
      - It must not begin with V(system:), V(eks:), V(aws:), V(amazon:) or V(iam:). Where it holds C({{SessionName}}) or
        C({{SessionNameRaw}}), which a playbook needs the tag C(!unsafe) for, a colon has to be somewhere before that.
      - Only with V(STANDARD) for O(type).
    type: str
  policies:
    description:
      - EKS access policies of the principal, each of them once.
      - Only with V(STANDARD) or V(EC2) for O(type).
    type: list
    elements: dict
    suboptions:
      policy:
        description:
          - Name of the access policy, such as V(AmazonEKSViewPolicy), or its ARN.
        type: str
        required: true
      namespaces:
        description:
          - The namespaces that it counts in; V(*) in a name stands for anything. EKS does not check that they exist.
          - An empty list stands for the whole cluster.
        type: list
        elements: str
        default: []
  purge_policies:
    description:
      - Whether access policies that are not in O(policies) are taken away, when O(policies) is set.
    type: bool
    default: true
  check_principal:
    description:
      - Whether to ask IAM when the principal was made. One that does not exist fails the task before anything is
        written. An entry that is older than its principal is stale; it is deleted and made anew, with everything that
        it had and that is not declared otherwise.
      - It takes one call of C(iam:GetRole) or C(iam:GetUser). Where the caller may not make it, or the principal is in
        another account, there is a warning instead.
    type: bool
    default: true
  iam_propagation_timeout:
    description:
      - For how many seconds to try again when EKS does not see the principal yet, because a change in IAM takes some
        time to be seen everywhere.
    type: int
    default: 120
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - podidentity.eks.creation_tags
  - podidentity.eks.planned_cluster
  - amazon.aws.boto3
  - podidentity.eks.attributes
seealso:
  - module: podidentity.eks.eks_cluster
  - name: Access entries
    description: How access to a cluster works, in the EKS user guide.
    link: https://docs.aws.amazon.com/eks/latest/userguide/access-entries.html
  - name: Access policies
    description: The access policies that there are and what they allow, in the EKS user guide.
    link: https://docs.aws.amazon.com/eks/latest/userguide/access-policy-permissions.html
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example", and the IAM role "app" in the account 111122223333.

- name: Let the cluster have access entries beside its ConfigMap aws-auth
  podidentity.eks.eks_cluster:
    name: example
    authentication_mode: API_AND_CONFIG_MAP

- name: Let a role look at one namespace, and be in a group that role bindings name
  podidentity.eks.eks_access_entry:
    cluster_name: example
    principal_arn: arn:aws:iam::111122223333:role/app
    kubernetes_groups:
      - developers
    policies:
      - policy: AmazonEKSViewPolicy
        namespaces:
          - team-a
    tags:
      team: a
  register: created

- name: Show who it is in Kubernetes
  ansible.builtin.debug:
    msg: "{{ created.access_entry.username }}"

- name: Let it edit whatever belongs to the team, and look at the rest of the cluster
  podidentity.eks.eks_access_entry:
    cluster_name: example
    principal_arn: arn:aws:iam::111122223333:role/app
    policies:
      - policy: AmazonEKSEditPolicy
        namespaces:
          - team-a
          - team-a-*
      - policy: AmazonEKSViewPolicy

- name: Add a policy, whatever others it has
  podidentity.eks.eks_access_entry:
    cluster_name: example
    principal_arn: arn:aws:iam::111122223333:role/app
    policies:
      - policy: arn:aws:eks::aws:cluster-access-policy/AmazonEKSAdminViewPolicy
    purge_policies: false

- name: Take all policies away, its groups stay
  podidentity.eks.eks_access_entry:
    cluster_name: example
    principal_arn: arn:aws:iam::111122223333:role/app
    policies: []

- name: Shut it out again
  podidentity.eks.eks_access_entry:
    cluster_name: "{{ created.access_entry.cluster_name }}"
    principal_arn: "{{ created.access_entry.principal_arn }}"
    state: absent
"""

RETURN = r"""
actions:
  description: The operations of the EKS API that changed something, in their order; in check mode, those that would.
  returned: success
  type: list
  elements: str
  sample: [update_access_entry, associate_access_policy]
changes:
  description:
    - The fields that change, each with its value before and after; empty when nothing changes. It is the same in check
      mode.
  returned: success
  type: dict
  sample: {"kubernetes_groups": {"before": [], "after": ["developers"]}}
plan_item:
  description:
    - The item of this resource in the plan of a run, with its C(kind) and C(name), the C(action), which is V(create),
      V(update), V(replace) or V(delete), and C(changes). It is the same in check mode.
    - Null when nothing changes.
  returned: success
  type: dict
  sample:
    kind: access entry
    name: arn:aws:iam::111122223333:role/developers
    action: create
    changes: {}
stale:
  description:
    - Whether the entry that was there had been made for another principal of the same name, so that it let nobody in
      and was replaced. In check mode it would be.
    - False when nobody could know.
  returned: success
  type: bool
  sample: false
access_entry:
  description:
    - The access entry as it is after the task.
    - In check mode it is the entry as it would be; what only EKS can know of a new one is missing then.
    - Null when it does not exist.
  returned: success
  type: dict
  contains:
    access_entry_arn:
      description: ARN of the access entry.
      type: str
      sample: arn:aws:eks:eu-west-1:111122223333:access-entry/example/role/111122223333/app/1234-abcd
    cluster_name:
      description: Name of the cluster.
      type: str
      sample: example
    principal_arn:
      description: ARN of the role or user.
      type: str
      sample: arn:aws:iam::111122223333:role/app
    type:
      description: What the principal is.
      type: str
      sample: STANDARD
    kubernetes_groups:
      description: Its groups in Kubernetes.
      type: list
      elements: str
      sample: [developers]
    username:
      description: Its name in Kubernetes.
      type: str
      sample: arn:aws:sts::111122223333:assumed-role/app/{{SessionName}}
    policies:
      description:
        - Its access policies by ARN.
        - Null when nobody looked, since O(policies) is not set.
      type: list
      elements: dict
      contains:
        policy:
          description: Name of the access policy.
          type: str
          sample: AmazonEKSViewPolicy
        policy_arn:
          description: ARN of the access policy.
          type: str
          sample: arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy
        namespaces:
          description: The namespaces that it counts in, none for the whole cluster.
          type: list
          elements: str
          sample: [team-a]
    tags:
      description: Tags of the access entry.
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
"""

import functools

from ansible_collections.podidentity.eks.plugins.module_utils._eks import access_entry
from ansible_collections.podidentity.eks.plugins.module_utils._eks import argspec
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSError
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSModule

POLICY: argspec.ArgumentSpec = {
    "policy": {"type": "str", "required": True},
    "namespaces": {"type": "list", "elements": "str", "default": []},
}
OPTIONS: argspec.ArgumentSpec = {
    "cluster_name": {"type": "str", "required": True},
    **argspec.PLANNED_CLUSTER,
    "principal_arn": {"type": "str", "required": True},
    "type": {"type": "str", "choices": list(access_entry.TYPES)},
    "kubernetes_groups": {"type": "list", "elements": "str"},
    "user_name": {"type": "str"},
    "policies": {"type": "list", "elements": "dict", "options": POLICY},
    "purge_policies": {"type": "bool", "default": True},
    "check_principal": {"type": "bool", "default": True},
}


def main() -> None:
    module = AnsibleEKSModule(
        argument_spec=argspec.merged(
            OPTIONS, argspec.STATE, argspec.TAGS, argspec.CREATION_TAGS, argspec.IAM_PROPAGATION
        ),
        supports_check_mode=True,
    )
    task = access_entry.Task(
        client=module.eks_client(),
        iam=functools.partial(module.watched_client, "iam") if module.params["check_principal"] else None,
        spec=access_entry.spec_from(module.params),
        check_mode=module.check_mode,
        propagation_timeout=module.params["iam_propagation_timeout"],
    )
    try:
        outcome = access_entry.ensure(task)
    except AnsibleEKSError as error:
        module.fail_json_aws_error(error)
    for warning in outcome.warnings:
        module.warn(warning)
    item = ("access entry", module.params["principal_arn"])
    module.exit_with(outcome.change, item=item, access_entry=outcome.entry, stale=outcome.stale)


if __name__ == "__main__":
    main()

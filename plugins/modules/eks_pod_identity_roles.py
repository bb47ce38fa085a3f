#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_pod_identity_roles
version_added: 0.2.0
short_description: Manage the IAM roles of all workloads of an EKS cluster at once
description:
  - Makes the IAM roles that workloads declare by C(role.name), with their policies and a trust policy for EKS Pod
    Identity, one or hundreds of them in one task. Looks at all of them, plans, and carries the plan out in parallel.
  - A trust policy gets one statement for each workload and cluster, scoped to that workload of that cluster by default.
    It is found again by its Sid, and statements of others stay as they are. Statements that are meant for Pod Identity
    but cannot work (the principal C(eks.amazonaws.com), or no C(sts:TagSession)) are put right. Those of others that
    can never match are named in RV(roles[].findings).
  - A role made here carries the tag C(podidentity.eks/managed) and has exactly the declared managed policies and the
    declared inline policy, by the name C(podidentity.eks). A role that somebody else made keeps all that it has, and is
    never deleted.
  - When a workload has C(target_role) or C(target_role_arn), its role may assume just the declared target roles, by an
    inline policy C(podidentity.eks-target).
  - Policies are compared by what they mean, the content of inline policies included.
  - A role accepts what the association of a workload needs as long as the association is not as declared, such as
    sessions without session tags when C(disable_session_tags) is no longer declared. RV(waiting) names it.
    The association is read only where that matters.
  - Everything that cannot be right is said at once before the first write, in check mode too. Everything that can be
    done is done. What AWS refuses is in RV(failed_roles) with its cause, the task fails, and the next run goes on from
    there.
  - An unchanged role costs the calls C(iam:GetRole), C(iam:ListAttachedRolePolicies) and C(iam:ListRolePolicies), and
    C(iam:GetRolePolicy) for each inline policy of ours. Only where a managed policy is to be attached by its name, all
    policies are listed once, which is two or three calls in an account with few of its own.
  - Several runs may write to one role at the same time, such as hosts of a fleet whose clusters share it. IAM keeps
    only the document that was written last. So the trust policy and the inline policies that hold statements of several
    clusters or workloads are read immediately before they are written, and confirmed two seconds later. Runs of one
    user on one controller take turns. What another run has overwritten is written again, up to twelve times.
author:
  - podidentity.eks contributors (@podidentity)
options:
  cluster_arn:
    description:
      - ARN of the EKS cluster whose workloads these are. It does not need to exist yet.
    type: str
    required: true
  workloads:
    description:
      - The workloads as the roles of this collection take them, see
        O(podidentity.eks.iam_role#role:main:iam_role_workloads).
      - A workload with C(state=absent) needs no more than C(namespace), C(service_account) and, so that it is taken out
        of its role, C(role).
    type: list
    elements: dict
    required: true
  state:
    description:
      - V(present) creates and updates the roles of the workloads as declared, takes the workloads out that have
        C(state=absent), and does what O(purge) says.
      - V(absent) takes all workloads out.
      - A role that then trusts nobody any more is deleted when it was made here. One that somebody else made keeps its
        last trust statement, because IAM keeps no trust policy without one.
    type: str
    choices: [present, absent]
    default: present
  operations:
    description:
      - V(apply) creates and updates roles, V(remove) takes workloads out of trust policies and deletes roles, by
        C(state=absent) and O(purge). So roles can be created before the associations are, and deleted after them.
      - An empty list changes nothing. It checks the declaration and, with O(accounts), the credentials for each of
        them.
    type: list
    elements: str
    choices: [apply, remove]
    default: [apply, remove]
  kind:
    description:
      - V(source) manages the roles under C(role), which EKS assumes itself. They are in the cluster's account.
      - V(target) manages the roles under C(target_role), which EKS assumes with those, as far as they are in the
        account of the credentials; the others are left to a task with credentials of that account. It needs
        O(associations).
    type: str
    choices: [source, target]
    default: source
  accounts:
    description:
      - How to get into the accounts of target roles, by account ID. Each entry has a C(profile), or an
        C(assume_role_arn) with, where needed, C(assume_role_external_id). The cluster's own account needs none.
      - With it, the task works in all accounts of the target roles, and with O(purge) in all of O(accounts). It fails
        before anything is written when there is no way into an account, or credentials are those of another one.
      - With O(kind=target) only.
    type: dict
  associations:
    description:
      - The cluster's associations as M(podidentity.eks.eks_pod_identity_association_info) returns them. With
        O(kind=source) they take the place of those that the module would read, in check mode of those that it cannot
        read yet. O(kind=target) needs them. Read are C(namespace), C(service_account), C(role_arn), C(external_id) and
        C(disable_session_tags), and with O(purge) also C(owner_arn) and C(tags).
      - A target role trusts the source role only with the external ID of the association, which EKS makes with it. So
        the association comes first. In check mode it need not be there, its external ID is predicted then.
    type: list
    elements: dict
    default: []
  purge:
    description:
      - What happens to the statements of workloads of this cluster that are not declared. V(namespace) takes them out
        for the namespaces that are declared, V(cluster) for all.
      - They are found in the trust policies of all roles of the account (C(iam:ListRoles)) by a Sid that only this
        collection makes for this cluster, namespace and service account. Statements that do not tell the workload in
        their conditions, which are those of C(trust=open) and, for O(kind=source), those of associations without
        session tags, cannot be found so; declare such a workload with C(state=absent).
      - A workload stays whose association belongs to an EKS add-on, or does not carry the tag
        C(podidentity.eks/cluster) with the cluster's name, because somebody else has declared it then.
        RV(findings) names it. To see that, the cluster's associations are listed where there is something to purge,
        and with O(kind=target) those of O(associations) are read. Associations of ours are no hindrance; let them be
        purged first.
      - What else the roles under O(state=absent) says holds here too.
    type: str
    choices: [none, namespace, cluster]
    default: none
  revoke_sessions:
    description:
      - Whether sessions that pods have already got end when a workload is taken out of a role that stays. EKS gives
        credentials for hours, and neither deleting the association nor changing the trust policy ends them.
      - The sessions of just this workload are denied everything by a statement in the inline policy
        C(podidentity.eks-revoked) that looks at the session's tags and at when it began. Other workloads with the same
        role go on. Statements older than twelve hours, the longest session, go when the policy is written again.
      - The statement goes when the workload is declared for this role again.
      - Without session tags one workload's sessions cannot be told from another's. Then they are revoked only when
        nobody else is in the trust policy, otherwise RV(roles[].findings) says that they were not. Declare
        C(disable_session_tags) with an absent workload whose role is given by its ARN, or that has a target role.
      - A role that is given by C(role.arn) is looked at, and changed in this one inline policy, only with
        O(revoke_sessions=true).
      - A role that is deleted needs none of this, because its sessions lose everything with it.
    type: bool
    default: false
  trust_size_limit:
    description:
      - How long a trust policy may be, in characters without white space. IAM's quota "Role trust policy length" is
        2048, and up to 8192 on request.
    type: int
    default: 2048
  managed_policies_limit:
    description:
      - How many managed policies a role may have. IAM's quota "Managed policies per role" is 10, and up to 20 on
        request.
    type: int
    default: 10
  concurrency:
    description:
      - How many roles are worked on at the same time.
    type: int
    default: 32
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - podidentity.eks.attributes
  - podidentity.eks.assume_role
seealso:
  - module: podidentity.eks.eks_pod_identity_associations
  - name: Access AWS resources based on tags of the session
    description: The session tags of EKS Pod Identity, in the EKS user guide.
    link: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-abac.html
"""

EXAMPLES = r"""
# Needs: an AWS account.

- name: The roles of two workloads, the first of which reads only what is its namespace's
  podidentity.eks.eks_pod_identity_roles:
    cluster_arn: arn:aws:eks:eu-west-1:111122223333:cluster/example
    workloads: &workloads
      - namespace: team-a
        service_account: reader
        role:
          name: namespace-reader
          inline_policy:
            Version: "2012-10-17"
            Statement:
              - Effect: Allow
                Action: s3:GetObject
                Resource: "arn:aws:s3:::example-bucket/${aws:PrincipalTag/kubernetes-namespace}/*"
      - namespace: team-a
        service_account: writer
        role:
          name: writer
          managed_policies:
            - AmazonS3FullAccess
  register: first
  failed_when: first is failed or first.created != ['namespace-reader', 'writer']

- name: See that nothing is left to do
  podidentity.eks.eks_pod_identity_roles:
    cluster_arn: arn:aws:eks:eu-west-1:111122223333:cluster/example
    workloads: *workloads
  register: second
  failed_when: second is changed or second.unchanged | length != 2

- name: Let another namespace use the first role, and take the second away as it is not declared any more
  podidentity.eks.eks_pod_identity_roles:
    cluster_arn: arn:aws:eks:eu-west-1:111122223333:cluster/example
    workloads:
      - namespace: team-a
        service_account: reader
        role: &reader
          name: namespace-reader
      - namespace: team-b
        service_account: reader
        role: *reader
    purge: cluster
  register: third
  failed_when: third is failed or third.updated != ['namespace-reader'] or third.deleted != ['writer']

- name: Take one namespace out again, and end the sessions that its pods have
  podidentity.eks.eks_pod_identity_roles:
    cluster_arn: arn:aws:eks:eu-west-1:111122223333:cluster/example
    workloads:
      - namespace: team-b
        service_account: reader
        state: absent
        role: *reader
    revoke_sessions: true
  register: fourth
  failed_when: fourth is failed or fourth.updated != ['namespace-reader']

- name: Take everything away
  podidentity.eks.eks_pod_identity_roles:
    cluster_arn: arn:aws:eks:eu-west-1:111122223333:cluster/example
    workloads: []
    purge: cluster
  register: last
  failed_when: last is failed or last.deleted != ['namespace-reader']
"""

RETURN = r"""
roles:
  description:
    - The roles that the task was about, in the order of the workloads, as they are after it, or in check mode as they
      would be. Roles that were deleted, or that are not there, are not among them.
    - Roles that are given by their ARN are among them only where there is something to say about them.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the role.
      type: str
      sample: EKS-S3-Access-Role
    arn:
      description: ARN of the role.
      type: str
      sample: arn:aws:iam::111122223333:role/EKS-S3-Access-Role
    role_id:
      description: ID of the role, null where nobody looked, and in check mode for one that is not there yet.
      type: str
      sample: AROAEXAMPLEEXAMPLE123
    create_date:
      description: When it was made; null where the ID is.
      type: str
      sample: "2026-11-23T10:15:30+00:00"
    changes:
      description: What was done to it, or in check mode would be, one short text each.
      type: list
      elements: str
      sample: ["add trust statement PodIdentityDefaultS3AccessSa6cb7b6ca"]
    findings:
      description: What was noticed, one sentence each.
      type: list
      elements: str
      sample: []
findings:
  description: All findings, those about roles that are not in RV(roles) included, each with the C(name) of its role.
  returned: always
  type: list
  elements: dict
  sample: [{"name": "theirs", "findings": ["Role theirs was not made here, so it stays."]}]
created:
  description: Names of roles that were made.
  returned: always
  type: list
  elements: str
  sample: [EKS-S3-Access-Role]
updated:
  description: Names of roles that were changed.
  returned: always
  type: list
  elements: str
  sample: []
deleted:
  description: Names of roles that were deleted.
  returned: always
  type: list
  elements: str
  sample: []
unchanged:
  description: Names of roles that were as declared.
  returned: always
  type: list
  elements: str
  sample: []
waiting:
  description:
    - Names of roles that still accept what an association needs until it is as declared, see RV(findings). Run the task
      again after that.
  returned: always
  type: list
  elements: str
  sample: []
changed_roles:
  description: The roles that were created, updated or deleted, or in check mode would be.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the role.
      type: str
      sample: EKS-S3-Access-Role
    action:
      description: What was done, V(create), V(update) or V(delete).
      type: str
      sample: create
    changes:
      description: What changes in it, one short text each.
      type: list
      elements: str
      sample: [create the role, attach AmazonS3ReadOnlyAccess]
failed_roles:
  description: Roles that could not be made as declared.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the role.
      type: str
      sample: EKS-S3-Access-Role
    action:
      description: What was to be done, V(create), V(update) or V(delete).
      type: str
      sample: create
    operation:
      description: The call that failed.
      type: str
      sample: attach_role_policy
    code:
      description: The error code of AWS, or the kind of error where AWS gave no answer.
      type: str
      sample: AccessDenied
    message:
      description: What AWS said.
      type: str
      sample: User is not authorized to perform iam:AttachRolePolicy
    cause:
      description: What is wrong.
      type: str
      sample: Failed to attach role policy
    advice:
      description: What to do, empty where nobody knows more than AWS says.
      type: str
      sample: ""
failed_items:
  description: The same for each workload that declares the role.
  returned: success or failure
  type: list
  elements: dict
  contains:
    workload:
      description: The workload, C(namespace/service_account); empty for a role that no workload declares.
      type: str
      sample: default/s3-access-sa
    namespace:
      description: Its namespace.
      type: str
      sample: default
    service_account:
      description: Its service account.
      type: str
      sample: s3-access-sa
    phase:
      description: V(iam_role), or V(target_role) with O(kind=target).
      type: str
      sample: iam_role
    reason:
      description: Why, as a sentence.
      type: str
      sample: "role app: Failed to attach role policy: User is not authorized to perform iam:AttachRolePolicy"
api_calls:
  description: How often each operation of AWS was called, attempts that failed included.
  returned: always
  type: dict
  sample: {"GetRole": 20, "ListAttachedRolePolicies": 20, "ListRolePolicies": 20}
throttled:
  description: How many calls AWS refused as too many, and how many seconds the task was held up for that.
  returned: always
  type: dict
  sample: {"calls": 0, "seconds": 0.0}
"""

from ansible_collections.podidentity.eks.plugins.module_utils._eks import argspec
from ansible_collections.podidentity.eks.plugins.module_utils._eks import common
from ansible_collections.podidentity.eks.plugins.module_utils._eks.role import running

OPTIONS: argspec.ArgumentSpec = {
    "cluster_arn": {"type": "str", "required": True},
    "workloads": {"type": "list", "elements": "dict", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    **argspec.OPERATIONS,
    "kind": {"type": "str", "choices": ["source", "target"], "default": "source"},
    "associations": {"type": "list", "elements": "dict", "default": []},
    "purge": {"type": "str", "choices": ["none", "namespace", "cluster"], "default": "none"},
    "revoke_sessions": {"type": "bool", "default": False},
    "trust_size_limit": {"type": "int", "default": 2048},
    "managed_policies_limit": {"type": "int", "default": 10},
    "concurrency": {"type": "int", "default": 32},
    "accounts": {"type": "dict"},
    **argspec.ASSUME_ROLE,
}


def main() -> None:
    module = common.AnsibleEKSModule(argument_spec=OPTIONS, supports_check_mode=True)
    try:
        result = running.run(module)
    except common.AnsibleEKSError as error:
        module.fail_json_aws_error(error, failed_items=running.all_items(module.params, error))
    if result["failed_items"]:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()

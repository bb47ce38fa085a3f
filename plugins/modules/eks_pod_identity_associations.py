#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_pod_identity_associations
version_added: 0.2.0
short_description: Manage all EKS Pod Identity associations of a cluster at once
description:
  - Makes the associations of a cluster be as declared in one task, one or five thousand of them. Lists them once, looks
    only at those that must be compared, plans, and carries the plan out in parallel.
  - Everything that cannot be right is said at once before the first write, in check mode too.
  - Does everything that can be done. What AWS refuses is in RV(failed_associations) with its cause, the task fails, and
    the next run goes on from there; so it does when a run is killed.
  - Never touches what it was not told to. Associations that belong to an EKS add-on, and those that somebody else made,
    are in RV(skipped_associations) with the reason when they are not as declared.
  - What is made here carries the tags of O(creation_tags). They tell what O(purge) may delete.
  - All calls of the task share one pace. When AWS says that they are too many, they slow down together until they are
    not; RV(throttled) says what that has cost.
author:
  - podidentity.eks contributors (@podidentity)
options:
  cluster_name:
    description:
      - Name of the EKS cluster.
    type: str
    required: true
  associations:
    description:
      - The declared associations, each service account once. Give this or O(workloads).
    type: list
    elements: dict
    suboptions:
      namespace:
        description: Kubernetes namespace of the service account. It does not need to exist.
        type: str
        required: true
      service_account:
        description: Name of the Kubernetes service account. It does not need to exist.
        type: str
        required: true
      state:
        description: Whether the association is there as declared, or not there.
        type: str
        choices: [present, absent]
        default: present
      association_id:
        description:
          - ID of the association that is meant, for the case that its service account has changed. EKS cannot move an
            association, so one that is another service account's is deleted and made anew for this one, without
            anything in between; it is in RV(replaced) then.
          - An ID that does not exist, or no more, is no error.
        type: str
      role_arn:
        description:
          - ARN of the IAM role whose permissions the pods get; it has to be in the cluster's account.
          - Required when O(associations[].state=present).
        type: str
      target_role_arn:
        description:
          - ARN of a second role, in this or another account, that EKS assumes with the first one; the pods get its
            permissions instead. An empty string removes it.
          - Needs botocore >= 1.38.35.
        type: str
      disable_session_tags:
        description:
          - Whether EKS leaves out the six session tags (cluster, namespace, service account, pod).
          - Needs botocore >= 1.38.35.
        type: bool
      policy:
        description:
          - A session policy, as a mapping or as JSON text, with O(associations[].disable_session_tags=true) only. An
            empty string removes it.
          - Needs botocore >= 1.42.46.
        type: json
      tags:
        description: Tags of this association, on top of O(tags).
        type: dict
      purge_tags:
        description: Whether tags that are not declared are removed; O(purge_tags) where it is not set.
        type: bool
      force_owned:
        description:
          - Whether to change or delete the association although it belongs to an EKS add-on, or somebody else made it.
        type: bool
        default: false
  workloads:
    description:
      - The workloads whose associations are declared, as the role P(podidentity.eks.association#role) takes them. A
        setting that a workload does not declare has its default in the association; only tags stay as they are.
    type: list
    elements: dict
  cluster_arn:
    description:
      - ARN of the cluster. It tells the account of roles that O(workloads) declare by name, and need not exist yet.
    type: str
  role_arns:
    description:
      - ARNs of roles by name, for roles of O(workloads) that have another path than the declared one.
    type: dict
    default: {}
  state:
    description:
      - V(absent) treats all O(workloads) as if they had C(state=absent).
    type: str
    choices: [present, absent]
    default: present
  also_declared:
    description:
      - Service accounts that count as declared, each as C(namespace/service_account). They are neither changed, nor
        purged, nor reported as undeclared.
    type: list
    elements: str
    default: []
  purge:
    description:
      - What happens to associations that are not declared. Only those that carry all O(creation_tags) are ever deleted.
      - V(namespace) deletes them in the namespaces that are declared, V(cluster) in the whole cluster.
    type: str
    choices: [none, namespace, cluster]
    default: none
  report_undeclared:
    description:
      - Whether RV(undeclared) names the associations that carry the O(creation_tags) and are neither declared nor
        purged. Then the associations of the whole cluster are listed. Where one of them is not declared, the tagging
        API is asked once for the tags (C(tag:GetResources)), or each of them where that is not allowed.
    type: bool
    default: false
  adopt:
    description:
      - Whether a declared association that somebody else made becomes ours. It gets the O(creation_tags) and is changed
        as declared.
    type: bool
    default: false
  update_foreign:
    description:
      - Whether a declared association that somebody else made is changed as declared without becoming ours. It is never
        deleted.
    type: bool
    default: false
  mode:
    description:
      - V(full) looks at every declared association.
      - V(fast) asks the tagging API (C(tag:GetResources)) for the tags of all of them instead, and looks only at those
        whose tag C(podidentity.eks/spec) does not hold the hash of what is declared. That is two calls for each hundred
        associations where nothing has changed. The tag is set on what is made or changed in this mode.
      - V(fast) does not see what somebody changes outside without touching the tag, nor what was changed in the seconds
        that the tagging API is behind. Run V(full) now and then.
      - Whatever is changed or deleted is looked at first, in both modes. Where the tagging API refuses, V(fast) warns
        and does what V(full) does.
    type: str
    choices: [full, fast]
    default: full
  concurrency:
    description:
      - How many calls are made at the same time.
    type: int
    default: 32
  creation_tags:
    description:
      - Tags for what this task creates, beside O(tags). They tell what was made here from what somebody else made, and
        O(purge_tags) leaves them where they are.
      - By default the tag C(podidentity.eks/cluster) with the cluster's name.
    type: dict
  iam_propagation_timeout:
    description:
      - For how many seconds to try again when EKS does not see a role yet, or refuses its trust policy, because a
        change in IAM takes some time to be seen everywhere.
    type: int
    default: 120
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - amazon.aws.boto3
  - podidentity.eks.planned_cluster
  - podidentity.eks.attributes
seealso:
  - module: podidentity.eks.eks_pod_identity_association
  - module: podidentity.eks.eks_pod_identity_association_info
  - name: EKS Pod Identity
    description: How EKS Pod Identity works, in the EKS user guide.
    link: https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example", and the IAM roles "app", "app-v2" and "app-target" in its account 111122223333,
# whose trust policies allow pods.eks.amazonaws.com to call sts:AssumeRole and sts:TagSession.

- name: Declare who gets which role in a cluster
  podidentity.eks.eks_pod_identity_associations:
    cluster_name: example
    associations:
      - namespace: team-a
        service_account: web
        role_arn: arn:aws:iam::111122223333:role/app
      - namespace: team-a
        service_account: jobs
        role_arn: arn:aws:iam::111122223333:role/app
        target_role_arn: arn:aws:iam::111122223333:role/app-target
        disable_session_tags: true
        policy:
          Version: "2012-10-17"
          Statement:
            - Effect: Allow
              Action: s3:GetObject
              Resource: "arn:aws:s3:::example-bucket/*"
      - namespace: team-b
        service_account: web
        role_arn: arn:aws:iam::111122223333:role/app
        tags:
          team: b
    tags:
      team: a
  register: first
  failed_when: first is failed or first.created | length != 3

- name: Change one role, and delete what is not declared any more
  podidentity.eks.eks_pod_identity_associations:
    cluster_name: example
    associations:
      - namespace: team-a
        service_account: web
        role_arn: arn:aws:iam::111122223333:role/app-v2
      - namespace: team-b
        service_account: web
        role_arn: arn:aws:iam::111122223333:role/app
    purge: cluster
  register: second
  failed_when: second is failed or second.updated | length != 1 or second.deleted[0].service_account != 'jobs'

- name: Rename the service account of an association
  podidentity.eks.eks_pod_identity_associations:
    cluster_name: example
    associations:
      - namespace: team-b
        service_account: frontend
        association_id: "{{ (second.associations | last).association_id }}"
        role_arn: arn:aws:iam::111122223333:role/app
  register: renamed
  failed_when: renamed is failed or renamed.replaced | length != 1

- name: Show who may do what
  podidentity.eks.eks_pod_identity_association_info:
    cluster_name: example
  register: found
  failed_when: found.associations | map(attribute='service_account') | list != ['web', 'frontend']

- name: Delete everything that was made here
  podidentity.eks.eks_pod_identity_associations:
    cluster_name: example
    associations: []
    purge: cluster
  register: last
  failed_when: last is failed or last.deleted | length != 2
"""

RETURN = r"""
associations:
  description:
    - The declared associations as they are after the task, or in check mode as they would be, sorted by namespace and
      service account.
    - What only EKS can know is null in check mode; so is with O(mode=fast), for what nobody looked at, what the list of
      associations, the tags and the declaration do not tell.
    - An association that was as declared has only C(namespace), C(service_account), C(association_id), C(role_arn) and
      C(modified_at), and those of C(target_role_arn), C(external_id), C(disable_session_tags), C(policy) and
      C(owner_arn) that are set. So a result with hundreds of them stays below 64 KiB.
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
created:
  description: Associations that were made.
  returned: always
  type: list
  elements: dict
  contains: &named
    namespace:
      description: Namespace of the service account.
      type: str
      sample: team-a
    service_account:
      description: Name of the service account.
      type: str
      sample: app
    association_id:
      description: ID of the association, null in check mode for one that is not there yet.
      type: str
      sample: a-abcdefghijklmnop1
updated:
  description: Associations that were changed where they are, tags included.
  returned: always
  type: list
  elements: dict
  contains: *named
replaced:
  description: Associations that were deleted and made anew, because their service account changed.
  returned: always
  type: list
  elements: dict
  contains: *named
deleted:
  description: Associations that were deleted, by O(associations[].state=absent) or by O(purge).
  returned: always
  type: list
  elements: dict
  contains: *named
adopted:
  description: Associations of others that became ours by O(adopt=true). Those that were changed as well are in
    RV(updated) too.
  returned: always
  type: list
  elements: dict
  contains: *named
unchanged:
  description: Associations that were as declared, each as C(namespace/service_account).
  returned: always
  type: list
  elements: str
  sample: [team-a/app]
undeclared:
  description:
    - Associations that were created here and are neither declared nor purged, each as C(namespace/service_account).
      Their pods keep their AWS access.
    - Empty without O(report_undeclared=true).
  returned: always
  type: list
  elements: str
  sample: [team-a/old]
skipped_associations:
  description:
    - Associations that are not as declared, or would have been purged, and were left alone, because they belong to an
      EKS add-on or somebody else made them.
    - Its items have a C(reason) beside the keys of RV(created).
  returned: always
  type: list
  elements: dict
  sample:
    - namespace: kube-system
      service_account: aws-node
      association_id: a-abcdefghijklmnop1
      reason: "Association a-abcdefghijklmnop1 of kube-system/aws-node belongs to the add-on ..."
failed_associations:
  description: Associations that could not be made as declared.
  returned: always
  type: list
  elements: dict
  contains:
    namespace:
      description: Namespace of the service account.
      type: str
      sample: team-a
    service_account:
      description: Name of the service account.
      type: str
      sample: app
    action:
      description: What was to be done.
      type: str
      sample: create
    code:
      description: The error code of AWS, or the kind of error where AWS gave no answer.
      type: str
      sample: InvalidParameterException
    message:
      description: What AWS said.
      type: str
      sample: Role provided in the request does not exist.
    cause:
      description: What is wrong.
      type: str
      sample: EKS did not see the role arn:aws:iam::111122223333:role/app within 120 seconds
    advice:
      description: What to do, empty where nobody knows more than AWS says.
      type: str
      sample: create the role, or correct role_arn
failed_items:
  description:
    - What is not as declared after the task, RV(failed_associations) and those of RV(skipped_associations) that are
      declared present.
  returned: always
  type: list
  elements: dict
  contains:
    workload:
      description: The workload, C(namespace/service_account).
      type: str
      sample: team-a/app
    namespace:
      description: Its namespace.
      type: str
      sample: team-a
    service_account:
      description: Its service account.
      type: str
      sample: app
    phase:
      description: V(association).
      type: str
      sample: association
    reason:
      description: Why, as a sentence.
      type: str
      sample: EKS did not see the role arn:aws:iam::111122223333:role/app within 120 seconds
report:
  description: What people should know, one line each, such as associations that are no longer declared.
  returned: always
  type: list
  elements: str
  sample: []
plan:
  description:
    - What had to be done, without what is as declared. In check mode and otherwise it is the same.
  returned: always
  type: list
  elements: dict
  contains:
    action:
      description: One of V(create), V(update), V(adopt), V(replace), V(delete) and V(skipped).
      type: str
      sample: update
    namespace:
      description: Namespace of the service account.
      type: str
      sample: team-a
    service_account:
      description: Name of the service account.
      type: str
      sample: app
    association_id:
      description: ID of the association, null for one that is not there yet.
      type: str
      sample: a-abcdefghijklmnop1
    changes:
      description: The fields that change, each with its value before and after.
      type: dict
      sample: {"disable_session_tags": {"before": false, "after": true}}
    calls:
      description: The operations of the API that do it, in order.
      type: list
      elements: str
      sample: [update_pod_identity_association]
    reason:
      description: Why it is left alone, empty otherwise.
      type: str
      sample: ""
mode:
  description: How the task has looked; V(full) also when O(mode=fast) could not be.
  returned: always
  type: str
  sample: full
api_calls:
  description: How often each operation of AWS was called, attempts that failed included.
  returned: always
  type: dict
  sample: {"DescribePodIdentityAssociation": 500, "ListPodIdentityAssociations": 5}
throttled:
  description: How many calls AWS refused as too many, and how many seconds the task was held up for that.
  returned: always
  type: dict
  sample: {"calls": 0, "seconds": 0.0}
"""

from ansible_collections.podidentity.eks.plugins.module_utils._eks import argspec
from ansible_collections.podidentity.eks.plugins.module_utils._eks import common
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association import many

ASSOCIATION: argspec.ArgumentSpec = {
    "namespace": {"type": "str", "required": True},
    "service_account": {"type": "str", "required": True},
    "association_id": {"type": "str"},
    "role_arn": {"type": "str"},
    "target_role_arn": {"type": "str"},
    "disable_session_tags": {"type": "bool"},
    "policy": {"type": "json"},
    "tags": {"type": "dict"},
    "purge_tags": {"type": "bool"},
    "force_owned": {"type": "bool", "default": False},
}
OPTIONS: argspec.ArgumentSpec = {
    "cluster_name": {"type": "str", "required": True},
    **argspec.PLANNED_CLUSTER,
    "associations": {
        "type": "list",
        "elements": "dict",
        "options": argspec.merged(ASSOCIATION, argspec.STATE),
    },
    "workloads": {"type": "list", "elements": "dict"},
    "cluster_arn": {"type": "str"},
    "role_arns": {"type": "dict", "default": {}},
    **argspec.STATE,
    "also_declared": {"type": "list", "elements": "str", "default": []},
    "purge": {"type": "str", "choices": ["none", "namespace", "cluster"], "default": "none"},
    "report_undeclared": {"type": "bool", "default": False},
    "adopt": {"type": "bool", "default": False},
    "update_foreign": {"type": "bool", "default": False},
    "mode": {"type": "str", "choices": ["full", "fast"], "default": "full"},
    "concurrency": {"type": "int", "default": 32},
}


def main() -> None:
    module = common.AnsibleEKSModule(
        argument_spec=argspec.merged(OPTIONS, argspec.TAGS, argspec.CREATION_TAGS, argspec.IAM_PROPAGATION),
        mutually_exclusive=[("associations", "workloads")],
        required_one_of=[("associations", "workloads")],
        supports_check_mode=True,
    )
    try:
        result = many.run(module)
    except common.AnsibleEKSError as error:
        module.fail_json_aws_error(error, failed_items=many.all_items(module.params, error))
    if result["failed_associations"]:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()

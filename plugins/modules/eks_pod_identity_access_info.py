#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_pod_identity_access_info
version_added: 0.2.0
short_description: Tell who may do what in an EKS cluster by EKS Pod Identity
description:
  - Returns for each association of a cluster which workload gets which role, by way of which target role, with which
    policies, how far the trust policy of the role goes, and what is wrong or should be known about it.
  - Each role is read once, however many associations share it. What may not be read is said in the C(note) of that
    role, and the rest is returned all the same.
  - It only reads AWS. Whether the service accounts exist is a question to Kubernetes, and not asked here.
  - Needs C(eks:ListPodIdentityAssociations), C(eks:DescribePodIdentityAssociation), C(iam:GetRole),
    C(iam:ListAttachedRolePolicies) and C(iam:ListRolePolicies). For a cluster without associations it needs
    C(eks:DescribeCluster) instead. With O(policies=documents) it needs C(iam:GetRolePolicy), C(iam:GetPolicy) and
    C(iam:GetPolicyVersion) as well, with O(orphans=true) also C(iam:ListRoles).
author:
  - podidentity.eks contributors (@podidentity)
options:
  cluster_name:
    description:
      - Name of the EKS cluster.
    type: str
    required: true
  policies:
    description:
      - V(names) returns the names of the roles' policies, which is three calls for each role.
      - V(documents) also returns what the policies say and the roles' trust policies. That is one call more for each
        inline policy and two for each managed policy. Only then policies that allow everything are found whatever their
        name, and whether a role may assume its target role.
    type: str
    choices: [names, documents]
    default: names
  declared:
    description:
      - The workloads that are declared for the cluster, each with C(namespace) and C(service_account). With it, an
        association that was created here and is not among them has the finding C(undeclared).
    type: list
    elements: dict
  orphans:
    description:
      - Whether to look in all roles of the account for trust in workloads of this cluster that have no association.
    type: bool
    default: false
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - podidentity.eks.attributes.info
seealso:
  - module: podidentity.eks.eks_pod_identity_association_info
  - plugin: podidentity.eks.pod_identity_access_page
    plugin_type: filter
  - plugin: podidentity.eks.pod_identity_access_csv
    plugin_type: filter
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example", and the IAM role "app" in its account 111122223333, whose trust policy allows
# pods.eks.amazonaws.com to call sts:AssumeRole and sts:TagSession.

- name: Make an association to look at
  podidentity.eks.eks_pod_identity_association:
    cluster_name: example
    namespace: team-a
    service_account: app
    role_arn: arn:aws:iam::111122223333:role/app

- name: Look up who may do what, with what the policies say and trust that nobody uses
  podidentity.eks.eks_pod_identity_access_info:
    cluster_name: example
    policies: documents
    orphans: true
  register: overview

- name: Show it
  ansible.builtin.debug:
    msg: >-
      {{ item.namespace }}/{{ item.service_account }} has {{ (item.target_role or item.role).name }}, trusted for its
      {{ item.trust.scope }}; {{ item.findings | map(attribute='text') | join(' ') }}
  loop: "{{ overview.access }}"
  loop_control:
    label: "{{ item.association_id }}"

- name: Accept no workload that cannot get its role
  ansible.builtin.assert:
    that: overview.access | map(attribute='findings') | flatten | selectattr('severity', 'eq', 'error') | length == 0

- name: Write it as a page for a browser
  ansible.builtin.copy:
    content: "{{ [overview] | podidentity.eks.pod_identity_access_page(title='Cluster example') }}"
    dest: /tmp/podidentity-access-example.html
    mode: "0644"

- name: Delete the association
  podidentity.eks.eks_pod_identity_association:
    cluster_name: example
    namespace: team-a
    service_account: app
    state: absent
"""

RETURN = r"""
cluster:
  description: Which cluster this is about.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: example
    arn:
      description: Its ARN; null when there is no association and the cluster may not be described.
      type: str
      sample: arn:aws:eks:eu-west-1:111122223333:cluster/example
    region:
      description: Its region.
      type: str
      sample: eu-west-1
    account:
      description: Its account; null like its ARN.
      type: str
      sample: "111122223333"
access:
  description: One item for each association, sorted by namespace and service account.
  returned: success
  type: list
  elements: dict
  contains:
    cluster:
      description: The same as RV(cluster).
      type: dict
    namespace:
      description: Namespace of the service account.
      type: str
      sample: team-a
    service_account:
      description: Name of the service account.
      type: str
      sample: app
    association_id:
      description: ID of the association.
      type: str
      sample: a-abcdefghijklmnop1
    association_arn:
      description: ARN of the association.
      type: str
      sample: arn:aws:eks:eu-west-1:111122223333:podidentityassociation/example/a-abcdefghijklmnop1
    owner:
      description: ARN of the add-on that the association belongs to, null when it belongs to none.
      type: str
      sample: arn:aws:eks:eu-west-1:111122223333:addon/example/vpc-cni/12345678-90ab-cdef-1234-567890abcdef
    managed:
      description: Whether the association was made by this collection for this cluster, by its tag
        C(podidentity.eks/cluster).
      type: bool
      sample: true
    created_at:
      description: When the association was created.
      type: str
      sample: "2026-11-23T10:15:30+00:00"
    modified_at:
      description: When it was changed last.
      type: str
      sample: "2026-11-23T10:15:30+00:00"
    role:
      description: The role, as far as it may be read.
      type: dict
      contains:
        arn:
          description: Its ARN, as the association has it.
          type: str
          sample: arn:aws:iam::111122223333:role/app
        name:
          description: Its name.
          type: str
          sample: app
        account:
          description: Its account.
          type: str
          sample: "111122223333"
        path:
          description: Its path.
          type: str
          sample: /
        exists:
          description: Whether it exists; null when that may not be read.
          type: bool
          sample: true
        readable:
          description: Whether it may be read.
          type: bool
          sample: true
        note:
          description: Why it could not be read, or not in full; null when it was.
          type: str
          sample: null
        create_date:
          description: When it was created. When that was after the association, it was made anew.
          type: str
          sample: "2026-11-23T10:15:00+00:00"
        trust_policy:
          description: Its trust policy, with O(policies=documents).
          type: dict
          sample: null
        managed_policies:
          description: Its managed policies with C(name), C(arn) and, with O(policies=documents), C(document).
          type: list
          elements: dict
          sample: [{"name": "AmazonS3ReadOnlyAccess", "arn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess",
            "document": null}]
        inline_policies:
          description: Its inline policies with C(name) and, with O(policies=documents), C(document).
          type: list
          elements: dict
          sample: [{"name": "podidentity.eks", "document": null}]
        permissions_boundary:
          description: ARN of its permissions boundary.
          type: str
          sample: null
        max_session_duration:
          description: The longest session that it allows, in seconds.
          type: int
          sample: 3600
        last_used:
          description: The C(date) and C(region) of the last call with credentials of it. IAM tells it after some hours,
            for the last 400 days; null when it tells nothing.
          type: dict
          sample: {"date": "2026-11-23T10:15:30+00:00", "region": "eu-west-1"}
    target_role:
      description: The target role in the same form; null when there is none. Only those in the cluster's account are
        read, others have C(readable=false).
      type: dict
      sample: null
    session_policy:
      description: The session policy, which narrows what the pods may do; null when there is none.
      type: dict
      sample: null
    session_tags:
      description: Whether sessions carry the session tags of EKS Pod Identity.
      type: bool
      sample: true
    trust:
      description: How far the trust policy of the role goes.
      type: dict
      contains:
        scope:
          description:
            - V(workload) - its conditions name cluster, namespace and service account.
            - V(cluster) - they name the cluster. Other workloads of it may be given the role.
            - V(account) - they name no cluster, but something else. Workloads of every cluster may be given the role.
            - V(open) - there are no such conditions.
            - V(none) - it does not let EKS assume the role for this workload.
            - V(unknown) - it may not be read.
          type: str
          sample: workload
        reason:
          description: How that is known, as a clause.
          type: str
          sample: its conditions name the cluster, the namespace and the service account
    findings:
      description: What is wrong, or should be known, the worst first.
      type: list
      elements: dict
      contains:
        id:
          description:
            - V(role_missing), V(trust_refuses), V(session_tags_off) (the trust policy asks for session tags, which the
              association has switched off), V(target_role_missing), V(target_trust_refuses) and
              V(target_permission_missing) keep the workload from its role.
            - V(trust_open) and V(trust_account) let others have the role.
            - V(undeclared) is an association that was created here and is not in O(declared).
            - V(wildcard_permissions) allow everything.
            - V(role_shared) - several namespaces or clusters have the role.
            - V(role_unreadable) and V(target_role_unreadable) say what may not be read.
          type: str
          sample: trust_open
        severity:
          description: V(error), V(warning) or V(info).
          type: str
          sample: warning
        text:
          description: What was found, in a sentence.
          type: str
          sample: Whoever may pass role app can use it for any workload of any cluster in account 111122223333.
        advice:
          description: What to do about it.
          type: str
          sample: Name the cluster, the namespace and the service account in the conditions of its trust policy.
orphans:
  description: Workloads of this cluster that a role trusts without an association of theirs, with O(orphans=true).
  returned: success
  type: list
  elements: dict
  contains:
    role_name:
      description: Name of the role.
      type: str
      sample: retired
    namespace:
      description: The namespace that its trust policy names, null when it names none.
      type: str
      sample: team-a
    service_account:
      description: The service account that its trust policy names, null when it names none.
      type: str
      sample: retired
    findings:
      description: One finding V(trust_left_over), in the form of RV(access[].findings).
      type: list
      elements: dict
notes:
  description: What could not be looked at beside single roles, as sentences.
  returned: success
  type: list
  elements: str
  sample: []
api_calls:
  description: How often each operation of AWS was called, attempts that failed included.
  returned: success
  type: dict
  sample: {"DescribePodIdentityAssociation": 1, "GetRole": 1, "ListAttachedRolePolicies": 1,
    "ListPodIdentityAssociations": 1, "ListRolePolicies": 1}
throttled:
  description: How many calls AWS refused as too many, and how many seconds the task was held up for that.
  returned: success
  type: dict
  sample: {"calls": 0, "seconds": 0.0}
"""

from ansible_collections.podidentity.eks.plugins.module_utils._eks import access
from ansible_collections.podidentity.eks.plugins.module_utils._eks import argspec
from ansible_collections.podidentity.eks.plugins.module_utils._eks import common

OPTIONS: argspec.ArgumentSpec = {
    "cluster_name": {"type": "str", "required": True},
    "policies": {"type": "str", "choices": ["names", "documents"], "default": "names"},
    "declared": {"type": "list", "elements": "dict"},
    "orphans": {"type": "bool", "default": False},
}
CONCURRENCY = 32


def main() -> None:
    module = common.AnsibleEKSModule(argument_spec=OPTIONS, supports_check_mode=True)
    try:
        eks, iam = module.eks_client(CONCURRENCY), module.watched_client("iam", CONCURRENCY)
        found = access.look_up(eks, iam, module.params, CONCURRENCY)
    except common.AnsibleEKSError as error:
        module.fail_json_aws_error(error)
    shown = {part: found[part] for part in ("cluster", "access", "orphans", "notes")}
    module.exit_json(changed=False, **shown, **module.traffic.result)


if __name__ == "__main__":
    main()

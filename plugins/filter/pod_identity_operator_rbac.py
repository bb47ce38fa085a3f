# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""RBAC of Kubernetes for whoever runs the playbooks."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_operator_rbac
short_description: The Kubernetes RBAC that whoever runs the playbooks needs
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Returns the objects that let a group do in Kubernetes what chapters of the playbooks do, and no more, as a
    definition for M(kubernetes.core.k8s). An IAM role or user gets into the group by its access entry, see
    M(podidentity.eks.eks_access_entry).
  - What is in no namespace and what concerns all of them is allowed by a ClusterRole, the rest by Roles.
  - Each right is needed. Without it the chapter fails, or says what it could not read to find a cause.
  - Who makes these objects must have the rights in them, or be an administrator of the cluster.
  - What cannot be right in the parameters is said at once, one sentence for each problem.
positional: _input
options:
  _input:
    description:
      - The chapters, by the tags of the playbook C(podidentity.eks.site), of which V(agent), V(service_account),
        V(probe), V(restart) and V(verify) need rights in Kubernetes. An empty list stands for all of them.
      - V(cluster), V(addons), V(iam_role), V(association), V(target_role), V(access) and V(inventory) need none there.
        They are taken so that one list can be kept for Kubernetes and AWS.
    type: list
    elements: str
    required: true
  group:
    description:
      - The group in Kubernetes, one of O(podidentity.eks.eks_access_entry#module:kubernetes_groups). It must not begin
        with V(system:).
    type: str
    default: pod-identity-operators
  name:
    description: The name of all the objects. Empty for that of the group.
    type: str
    default: ''
  namespaces:
    description:
      - The namespaces of the workloads, so that nothing is allowed in others. An empty list stands for all namespaces.
      - With one namespace the roles list what is in it. With more they list once in the whole cluster, and need the
        right to do so. Who runs them for one namespace at a time calls this filter for each, with a O(name) for each.
    type: list
    elements: str
    default: []
  level:
    description:
      - V(check) for check mode, which only reads; V(apply) also for what is made and proven; V(remove) also for what is
        removed, as with C(state=absent), a purge, or the playbook C(podidentity.eks.teardown).
    type: str
    choices: [check, apply, remove]
    default: remove
  verify_mode:
    description: How the role P(podidentity.eks.verify#role) proves, the same as its C(verify_mode).
    type: str
    choices: [job, exec]
    default: job
  create_namespaces:
    description:
      - Whether the role P(podidentity.eks.service_account#role) makes namespaces that are missing, the same as its
        C(service_account_create_namespaces).
    type: bool
    default: false
notes:
  - RBAC knows no dry run. V(probe) needs the right to create pods, and creates none.
  - Whoever may create pods or Jobs in a namespace can use each of its service accounts, with the AWS permissions that
    belong to it.
seealso:
  - module: podidentity.eks.eks_access_entry
  - name: Associate IAM identities with Kubernetes permissions
    description: Groups and policies of access entries, in the EKS user guide.
    link: https://docs.aws.amazon.com/eks/latest/userguide/access-entries.html
"""

EXAMPLES = r"""
- name: Check what somebody may do who only checks
  ansible.builtin.assert:
    that:
      - objects | map(attribute='kind') == ['ClusterRole', 'ClusterRoleBinding']
      - objects[0].rules | map(attribute='verbs') | flatten | unique == ['list']
  vars:
    objects: >-
      {{ ['service_account', 'restart'] | podidentity.eks.pod_identity_operator_rbac(
         level='check', group='pod-identity-checkers') }}

- name: Write what a team needs for the proofs in its namespace, for a repository of manifests
  ansible.builtin.copy:
    content: "{{ objects | map('to_nice_yaml') | join('---\n') }}"
    dest: "{{ lookup('ansible.builtin.env', 'HOME') }}/team-a-rbac.yml"
    mode: "0644"
  vars:
    objects: >-
      {{ ['verify'] | podidentity.eks.pod_identity_operator_rbac(
         group='team-a', name='pod-identity-verify', namespaces=['team-a']) }}
"""

RETURN = r"""
_value:
  description:
    - ClusterRole and ClusterRoleBinding, Roles and RoleBindings, those that are needed. Empty where nothing is.
  type: list
  elements: dict
  sample:
    - apiVersion: rbac.authorization.k8s.io/v1
      kind: ClusterRole
      metadata:
        name: pod-identity-operators
      rules:
        - apiGroups: ['']
          resources: [nodes]
          verbs: [list]
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import plain
from ansible_collections.podidentity.eks.plugins.plugin_utils import operator_rbac


def pod_identity_operator_rbac(chapters: t.Any, /, **options: t.Any) -> list[dict[str, t.Any]]:
    """The filter; see its documentation above."""
    try:
        return operator_rbac.objects(plain(chapters), plain(options))
    except operator_rbac.RbacError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_operator_rbac": pod_identity_operator_rbac}

# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which workloads must be restarted to hold their identity: the plan between observing and applying."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_restart_plan
short_description: Plan which workloads to restart for EKS Pod Identity
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Finds the pods that lack the identity of their service account's association, or that were admitted before it last
    changed or its role was made, and the Deployments, StatefulSets and DaemonSets that they belong to. Nothing is
    called.
  - A pod has the identity when one of its containers has it. A pod whose own label, annotation or variables keep the
    webhook from it is not restarted, as its successor would be the same.
  - Made for the role P(podidentity.eks.restart#role); its arguments change with that role.
positional: _input
options:
  _input:
    description: The service accounts, each with C(namespace) and C(service_account).
    type: list
    elements: dict
    required: true
  pods:
    description: The C(Pod) objects of their namespaces, as M(kubernetes.core.k8s_info) returns them.
    type: list
    elements: dict
    required: true
  associations:
    description: Their associations, as M(podidentity.eks.eks_pod_identity_association_info) returns them.
    type: list
    elements: dict
    default: []
  objects:
    description:
      - The objects of RV(_value.kinds) in the same namespaces. Without them only RV(_value.pods) and RV(_value.kinds)
        are right.
    type: list
    elements: dict
    default: []
  role_dates:
    description:
      - When roles of the associations were made, in ISO 8601 by ARN. A role that was deleted and made again is another
        one, and sessions of the former are worth nothing.
    type: dict
    default: {}
  proofs:
    description:
      - What P(podidentity.eks.pod_identity_proof#filter) gave in this run. With it, nothing is restarted onto an
        identity that is refuted, or that is neither proven nor, by O(roles), one that EKS would give.
    type: list
    elements: dict
  roles:
    description:
      - The result of M(podidentity.eks.eks_pod_identity_role_info) for RV(_value.unproven). Left out, nothing is judged
        yet.
    type: dict
  agent:
    description:
      - What was read about the agent, with O(roles), by C(addons) the result of M(podidentity.eks.eks_addon_info), by
        C(clusters) that of M(podidentity.eks.eks_cluster_info) and by C(managed) whether the add-on is the agent.
    type: dict
  mode:
    description: V(missing) plans for pods without the identity, V(stale) for older ones as well, V(never) for none.
    type: str
    choices: [never, missing, stale]
    default: stale
seealso:
  - plugin: podidentity.eks.pod_identity_restart_outcome
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Find out that nobody would make this pod anew
  ansible.builtin.assert:
    that:
      - plan.restarts == []
      - plan.reported[0].reason is search('it has no controller')
  vars:
    plan: "{{ workloads | podidentity.eks.pod_identity_restart_plan(pods) }}"
    workloads:
      - namespace: default
        service_account: s3-access-sa
    # As kubernetes.core.k8s_info returns them.
    pods:
      - metadata:
          name: shell
          namespace: default
          creationTimestamp: "2026-11-23T10:15:30Z"
        spec:
          serviceAccountName: s3-access-sa
          containers:
            - name: shell
        status:
          phase: Running
"""

RETURN = r"""
_value:
  description:
    - Lists of objects, each with C(kind), C(namespace), C(name), C(service_account), C(why) (V(missing) or
      V(stale)) and C(reason).
  type: dict
  contains:
    pods:
      description: The pods that lack something that a restart would give them.
      type: list
      elements: dict
    restarts:
      description: The workloads to restart.
      type: list
      elements: dict
    blocked:
      description: Workloads that should be restarted and cannot be, such as a paused Deployment.
      type: list
      elements: dict
    reported:
      description: What is not restarted by anybody but its owner, such as bare pods and Jobs.
      type: list
      elements: dict
    unproven:
      description:
        - The service accounts of RV(_value.restarts) that no pod has proven or refuted, each with C(role_arn). Empty
          without O(proofs).
      type: list
      elements: dict
    kinds:
      description: Kinds of the objects that must be looked at to know what to do about the pods.
      type: list
      elements: str
"""

import dataclasses
import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.module_utils._kube.restart import MODES
from ansible_collections.podidentity.eks.plugins.module_utils._kube.restart import plan
from ansible_collections.podidentity.eks.plugins.module_utils._kube.restart import require_proof


def pod_identity_restart_plan(
    workloads: t.Any,
    pods: t.Any,
    associations: t.Any = (),
    objects: t.Any = (),
    mode: str = "stale",
    role_dates: t.Any = None,
    proofs: t.Any = None,
    roles: t.Any = None,
    agent: t.Any = None,
) -> dict[str, t.Any]:
    """The filter; see its documentation above."""
    if mode not in MODES:
        raise AnsibleFilterError(f"The mode of a restart is one of {', '.join(MODES)}, not {mode!r}.")
    made = plan(workloads, pods, associations, objects, mode, role_dates)
    return dataclasses.asdict(made if proofs is None else require_proof(made, proofs, associations, roles, agent))


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_restart_plan": pod_identity_restart_plan}

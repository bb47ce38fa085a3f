# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far restarts of workloads are."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_restart_outcome
short_description: Tell how far restarts of workloads are
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Judges each rollout as C(kubectl rollout status) does. Nothing is called.
  - Made for the role P(podidentity.eks.restart#role); its arguments change with that role.
positional: _input
options:
  _input:
    description: Workloads that were restarted, as the filter P(podidentity.eks.pod_identity_restart_plan#filter) names
      them.
    type: list
    elements: dict
    required: true
  applied:
    description: What M(kubernetes.core.k8s) returned for each, in the same order. One with an C(error) has failed.
    type: list
    elements: dict
    required: true
  objects:
    description: The objects of these workloads as they are now.
    type: list
    elements: dict
    required: true
seealso:
  - plugin: podidentity.eks.pod_identity_restart_plan
    plugin_type: filter
"""

EXAMPLES = r"""
- name: See that a rollout goes on
  ansible.builtin.assert:
    that:
      - outcome[0].state == 'waiting'
      - outcome[0].reason == '1 of 2 pods are new, 2 are ready'
  vars:
    outcome: "{{ restarts | podidentity.eks.pod_identity_restart_outcome([{'changed': true}], objects) }}"
    restarts:
      - kind: Deployment
        namespace: default
        name: web
    # As kubernetes.core.k8s_info returns them.
    objects:
      - kind: Deployment
        metadata:
          name: web
          namespace: default
          generation: 2
        spec:
          replicas: 2
        status:
          observedGeneration: 2
          replicas: 3
          updatedReplicas: 1
          availableReplicas: 2
"""

RETURN = r"""
_value:
  description:
    - The workloads in the same order, each with C(state) (V(done), V(failed) or V(waiting)) and C(reason), which says
      why it is not done.
  type: list
  elements: dict
"""

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._kube.rollout import outcome


def pod_identity_restart_outcome(restarts: t.Any, applied: t.Any, objects: t.Any) -> list[dict[str, t.Any]]:
    """The filter; see its documentation above."""
    return outcome(restarts, applied, objects)


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_restart_outcome": pod_identity_restart_outcome}

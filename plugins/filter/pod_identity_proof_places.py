# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In which running pods workloads can be proven."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_proof_places
short_description: Find the running pods in which workloads can be proven
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Of each workload it takes the newest ready pod, and in it the first container that holds Pod Identity credentials,
    or the first one of all where none does. Pods of verifications are none of the workload's. Nothing is called.
  - Made for the role P(podidentity.eks.verify#role); its arguments change with that role.
positional: _input
options:
  _input:
    description: The workloads, as the roles of this collection take them.
    type: list
    elements: dict
    required: true
  pods:
    description: The pods of their namespaces, as M(kubernetes.core.k8s_info) returns them.
    type: list
    elements: dict
    required: true
  container:
    description: The container to take; empty for the first one with Pod Identity credentials.
    type: str
    default: ""
seealso:
  - plugin: podidentity.eks.pod_identity_proof
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Find the pod of a workload
  ansible.builtin.assert:
    that:
      - places | length == 1
      - places[0].pod == 'web-6c5f7d-x7k2m'
      - places[0].container == 'web'
  vars:
    places: "{{ workloads | podidentity.eks.pod_identity_proof_places(pods) }}"
    workloads:
      - namespace: default
        service_account: s3-access-sa
    # As kubernetes.core.k8s_info returns them.
    pods:
      - metadata:
          name: web-6c5f7d-x7k2m
          namespace: default
          creationTimestamp: "2026-11-23T10:15:30Z"
        spec:
          serviceAccountName: s3-access-sa
          containers:
            - name: web
        status:
          phase: Running
          conditions:
            - type: Ready
              status: "True"
"""

RETURN = r"""
_value:
  description:
    - For each workload that has a ready pod its C(namespace), C(pod) and C(container), and C(index), the place of the
      workload in the list.
  type: list
  elements: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.executing import places
from ansible_collections.podidentity.eks.plugins.module_utils._workload.prove import DeclarationError
from ansible_collections.podidentity.eks.plugins.module_utils._workload.prove import read_workloads


def pod_identity_proof_places(workloads: t.Any, pods: t.Any, container: str = "") -> list[dict[str, t.Any]]:
    """The filter; see its documentation above."""
    try:
        return places(read_workloads(workloads), pods, container)
    except DeclarationError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_proof_places": pod_identity_proof_places}

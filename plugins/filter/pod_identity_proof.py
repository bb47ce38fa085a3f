# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the pods of workloads proved, and why it is not enough where it is not."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_proof
short_description: Judge what the pods of workloads proved
version_added: 0.1.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Compares what each pod held and did with the association of its service account, and returns one proof each.
  - Where something is not proven, it names one cause and what to do. The more was looked up, the more precise it is.
  - Nothing is called.
  - Made for the role P(podidentity.eks.verify#role); its arguments change with that role.
positional: _input
options:
  _input:
    description: The workloads, as the roles of this collection take them.
    type: list
    elements: dict
    required: true
  observed:
    description:
      - What was observed. C(cluster) is the cluster's name and C(timeout) for how many seconds pods were waited for.
      - C(associations) is the list that M(podidentity.eks.eks_pod_identity_association_info) returns.
      - C(mode) is V(job) or V(exec). Of Jobs, C(jobs) is the list of them, one for each workload, and C(applied),
        C(pods), C(logs) and C(removed) are the registered results of making them, listing their pods, reading their
        logs and removing them. Of running pods, C(container) is the container asked for and C(executed) the registered
        result of running the script.
      - C(own_pods) is the registered result of listing the workloads' own pods.
      - C(surroundings) is what was looked up after a failure, as registered results under C(addon), C(agent_pods),
        C(nodes), C(network_policies), C(webhook), C(associations), C(roles) and C(events).
      - C(failure) says why nothing was found out, and stands for all else.
    type: dict
    required: true
seealso:
  - plugin: podidentity.eks.pod_identity_proof_report
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Judge a workload whose pod has proved its identity, and one without an association
  ansible.builtin.assert:
    that:
      - proofs[0].proven
      - proofs[0].identity.role == 'EKS-S3-Access-Role'
      - proofs[0].calls[0].shown == ['customer-invoices']
      - not proofs[1].proven
      - proofs[1].cause.id == 'association_missing'
  vars:
    proofs: "{{ workloads | podidentity.eks.pod_identity_proof(observed) }}"
    workloads:
      - namespace: default
        service_account: s3-access-sa
        prove:
          allow:
            - service: s3
              operation: list_buckets
              show: Buckets[].Name
      - namespace: default
        service_account: forgotten-sa
    observed:
      cluster: example
      timeout: 120
      associations:
        - association_id: a-0a1b2c3d4e5f60718
          association_arn: arn:aws:eks:eu-west-1:111122223333:podidentityassociation/example/a-0a1b2c3d4e5f60718
          namespace: default
          service_account: s3-access-sa
          role_arn: arn:aws:iam::111122223333:role/EKS-S3-Access-Role
      pods:
        resources:
          - metadata:
              name: verify-s3-access-sa-x7k2m9qa-0-bx4tz
              namespace: default
              labels:
                podidentity.eks/workload: "0"
            status:
              phase: Succeeded
              containerStatuses:
                - name: prove
                  state:
                    terminated:
                      exitCode: 0
                      message: "{{ said | to_json }}"
    # What the pod's script left as its termination message.
    said:
      format: 1
      pod_identity_injected: true
      region: eu-west-1
      credentials:
        method: container-role
      identity:
        arn: arn:aws:sts::111122223333:assumed-role/EKS-S3-Access-Role/eks-example-verify-s3-0b3c
        account: "111122223333"
        role: EKS-S3-Access-Role
        session_name: eks-example-verify-s3-0b3c
      calls:
        - service: s3
          operation: list_buckets
          expected: allow
          outcome: allowed
          shown:
            - customer-invoices
"""

RETURN = r"""
_value:
  description: One proof for each workload, in their order.
  type: list
  elements: dict
  contains:
    cluster:
      description: The cluster's name.
      type: str
    namespace:
      description: The namespace.
      type: str
    service_account:
      description: The service account.
      type: str
    association_id:
      description: The association's ID, null if there is none.
      type: str
    role_arn:
      description: The role of the association.
      type: str
    target_role_arn:
      description: Its target role, null if there is none.
      type: str
    identity:
      description: Who the pod was, with C(arn), C(account), C(role) and C(session_name); null if it was nobody.
      type: dict
    region:
      description: The AWS region that the pod was given.
      type: str
    calls:
      description:
        - The declared calls with C(service), C(operation), C(expected), C(outcome) (V(allowed), V(denied), V(error) or
          V(not_tried)), C(ok), C(shown) where asked, and C(code) and C(message) of an error.
      type: list
      elements: dict
    mode:
      description: V(job) or V(exec), for where the script ran.
      type: str
    pod:
      description: The pod in which it ran, null if there was none.
      type: str
    container:
      description: The container in it.
      type: str
    seconds:
      description: How long the script took.
      type: float
    warnings:
      description: What in the workload's own pods, or around the proof, keeps the workload from what was proven.
      type: list
      elements: str
    proven:
      description: Whether the identity is the association's and every call went as declared.
      type: bool
    cause:
      description: Where not proven, C(id), a name that stays the same over releases, and C(text), one sentence.
      type: dict
    advice:
      description: Where not proven, what to do.
      type: str
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.cases import read_cases
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.proof import prove
from ansible_collections.podidentity.eks.plugins.module_utils._workload.prove import DeclarationError


def pod_identity_proof(workloads: t.Any, observed: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """The filter; see its documentation above."""
    try:
        return [prove(case) for case in read_cases(workloads, observed)]
    except DeclarationError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_proof": pod_identity_proof}

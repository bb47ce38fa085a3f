#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_pod_identity_restart
version_added: 0.2.0
short_description: Restart the workloads whose pods lack their EKS Pod Identity
description:
  - Finds the pods that were admitted without the identity of their service account's association, or before the
    association last changed or its role was created. Waits until new pods would get the identity, then rolls out the
    Deployments, StatefulSets and DaemonSets of these pods as C(kubectl rollout restart) does, and waits for the end.
  - Nothing is restarted onto an identity that a pod has refuted, or that EKS would refuse by the role's trust policy,
    and no rollout takes more pods than a disruption budget allows at that moment.
  - Bare pods, Jobs and the pods of other controllers are reported and never changed. So are pods whose own label,
    annotation or variables keep the webhook from them, as their successors would be the same.
  - What fails with one workload does not stop the others. The task fails at the end, with RV(failed_items).
author:
  - podidentity.eks contributors (@podidentity)
options:
  cluster_name:
    description: Name of the EKS cluster.
    type: str
    required: true
  workloads:
    description:
      - The workloads, each with C(namespace) and C(service_account). Those with C(state=absent) are left alone, other
        keys are not read.
      - The objects of one namespace are read where all workloads are in one, those of all namespaces otherwise.
    type: list
    elements: dict
    required: true
  mode:
    description:
      - V(missing) restarts workloads with pods that were admitted without the identity.
      - V(stale) also those with pods that are older than the last change of their association, or than its roles.
      - V(never) does nothing.
    type: str
    choices: [never, missing, stale]
    default: stale
  timeout:
    description: For how many seconds to wait until new pods would get the identity, and then until all rollouts end.
    type: int
    default: 600
  require_proof:
    description:
      - Whether to restart only onto an identity that a pod has proven in O(proofs), or, where none could be asked, one
        that association, role and agent speak for. Check mode predicts that this will be so.
    type: bool
    default: true
  proofs:
    description: The proofs of this run, as the role P(podidentity.eks.verify#role) publishes them.
    type: list
    elements: dict
    default: []
  associations:
    description:
      - The associations of the workloads, as M(podidentity.eks.eks_pod_identity_associations) returns them. Where none
        are given and they are needed, EKS is asked.
    type: list
    elements: dict
    default: []
  probed:
    description:
      - What M(podidentity.eks.eks_pod_identity_probe) returned as C(workloads) in this run. Where it is not given, the
        task probes by itself.
    type: list
    elements: dict
    default: []
  role_dates:
    description: When the roles of the associations were created, in ISO 8601 by ARN.
    type: dict
    default: {}
  agent_managed:
    description: V(false) where a chart brings the agent, so that a cluster without the add-on has one.
    type: bool
    default: true
  validate_certs:
    description:
      - Whether to verify the certificate of the API server. The certificates of AWS are always verified;
        O(aws_ca_bundle) names their authorities.
    type: bool
    default: null
    aliases: [verify_ssl]
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - podidentity.eks.attributes.cluster
requirements:
  - kubernetes >= 24.2.0
seealso:
  - module: podidentity.eks.eks_pod_identity_probe
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example", and the IAM role "app" in its account 111122223333, whose trust policy allows
# pods.eks.amazonaws.com to call sts:AssumeRole and sts:TagSession.

- name: Create an association
  podidentity.eks.eks_pod_identity_association:
    cluster_name: example
    namespace: default
    service_account: app
    role_arn: arn:aws:iam::111122223333:role/app

- name: Show what would be restarted and why
  podidentity.eks.eks_pod_identity_restart:
    cluster_name: example
    workloads:
      - namespace: default
        service_account: app
  check_mode: true
  register: planned

- name: Restart it
  podidentity.eks.eks_pod_identity_restart:
    cluster_name: example
    workloads:
      - namespace: default
        service_account: app
    timeout: 120
  register: restarted
  failed_when: restarted is failed or restarted.restarts != planned.restarts

- name: Delete the association
  podidentity.eks.eks_pod_identity_association:
    cluster_name: example
    namespace: default
    service_account: app
    state: absent
"""

RETURN = r"""
restarts:
  description: The workloads that were restarted, or in check mode would be.
  returned: always
  type: list
  elements: dict
  contains: &entry
    kind:
      description: Kind of the object.
      type: str
      sample: Deployment
    namespace:
      description: Its namespace.
      type: str
      sample: default
    name:
      description: Its name.
      type: str
      sample: web
    service_account:
      description: Service account of its pods.
      type: str
      sample: app
    why:
      description: V(missing) where a pod lacks the identity, V(stale) where it is older than the identity.
      type: str
      sample: missing
    reason:
      description: What is so, as a clause.
      type: str
      sample: pod web-6c5f7d-x7k2m was admitted without the identity
blocked:
  description: Workloads that should be restarted and cannot be, such as a paused Deployment.
  returned: always
  type: list
  elements: dict
  contains: *entry
reported:
  description: What only its owner can restart, such as bare pods and Jobs.
  returned: always
  type: list
  elements: dict
  contains: *entry
report:
  description: The same as one line each.
  returned: always
  type: list
  elements: str
  sample: ["Deployment default/web is restarted: pod web-6c5f7d-x7k2m was admitted without the identity."]
failed_items:
  description: What does not hold its identity after the task.
  returned: always
  type: list
  elements: dict
  contains:
    workload:
      description: The workload, C(namespace/service_account); empty for what belongs to none.
      type: str
      sample: default/web
    namespace:
      description: Namespace of the service account.
      type: str
      sample: default
    service_account:
      description: Name of the service account.
      type: str
      sample: app
    phase:
      description: V(restart).
      type: str
      sample: restart
    reason:
      description: Why, as a sentence.
      type: str
      sample: "Deployment default/web was not restarted: it is paused: resume it first (kubectl rollout resume)."
api_calls:
  description: How often each operation of AWS was called, attempts that failed included.
  returned: always
  type: dict
  sample: {"DescribePodIdentityAssociation": 1, "ListPodIdentityAssociations": 1}
throttled:
  description: How many calls AWS refused as too many, and how many seconds the task was held up for that.
  returned: always
  type: dict
  sample: {"calls": 0, "seconds": 0.0}
"""

from ansible_collections.podidentity.eks.plugins.module_utils._eks import common
from ansible_collections.podidentity.eks.plugins.module_utils._kube.module import AnsibleClusterModule
from ansible_collections.podidentity.eks.plugins.module_utils._kube.restart import run
from ansible_collections.podidentity.eks.plugins.module_utils._kube.restart import spec


def main() -> None:
    module = AnsibleClusterModule(argument_spec=spec.OPTIONS, supports_check_mode=True)
    try:
        result = run.run(module)
    except common.AnsibleEKSError as error:
        module.fail_json_aws_error(error)
    if result["failed_items"]:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()

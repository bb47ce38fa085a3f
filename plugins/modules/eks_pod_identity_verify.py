#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_pod_identity_verify
version_added: 0.2.0
short_description: Prove from inside pods that service accounts hold their EKS Pod Identity
description:
  - Runs a Job with each workload's service account, all at once. A script in its pod reads from AWS which identity the
    pod holds, and makes the declared calls. The module compares role, account and session name with the service
    account's association or its target role, and removes the Jobs, also after a failure.
  - Where something is not proven, it reads what may explain it, and names one cause and what to do.
  - What fails with one workload does not stop the others. The task fails at the end, with RV(failed_items).
  - A Job ends by itself one minute after O(timeout) at the latest, and Kubernetes removes it as long after its end, so
    nothing stays when the task is killed. The task never reports a change.
  - Of environment variables only names leave the pods, and no option with variables is in the result.
author:
  - podidentity.eks contributors (@podidentity)
options:
  cluster_name:
    description: Name of the EKS cluster.
    type: str
    required: true
  workloads:
    description:
      - The workloads, as the role P(podidentity.eks.verify#role) takes them, of which C(namespace), C(service_account),
        C(state), C(prove) and the policies of the role are read. Those with C(state=absent) are left out.
      - Pods are listed in one namespace where all workloads are in one, in all namespaces otherwise.
    type: list
    elements: dict
    required: true
  associations:
    description:
      - The associations of the workloads, as M(podidentity.eks.eks_pod_identity_association_info) returns them. Where
        none are given, EKS is asked.
    type: list
    elements: dict
    default: []
  setup_failures:
    description:
      - Workloads that could not be set up, and why, by name (C(namespace/service_account)). They are reported as not
        proven for that reason.
    type: dict
    default: {}
  failure:
    description:
      - Why nothing can be verified. With it the task makes no call and reports all workloads as not proven for that
        reason.
    type: str
    default: ''
  strict:
    description: Whether a workload with a warning fails as one does that is not proven.
    type: bool
    default: false
  mode:
    description:
      - V(job) proves in the pod of a Job that is created and removed.
      - V(exec) proves in the newest ready pod of the workload itself, with the pod's own Python (3.9 or newer) and
        boto3. O(image), O(install), O(pod_env), O(pod_proxy), O(node_selector), O(tolerations), O(resources) and
        O(keep) have no effect then.
    type: str
    choices: [job, exec]
    default: job
  exec_container:
    description: The container in which O(mode=exec) proves. If empty, the first one with Pod Identity credentials.
    type: str
    default: ''
  inspect_pods:
    description:
      - Whether to list the running pods of the service accounts, and to warn where one was admitted without the
        identity, where a variable makes an SDK take other credentials, and where a proxy stands before the agent.
      - With O(mode=exec) they are listed in any case.
    type: bool
    default: true
  image:
    description: An image with python3 and boto3 of at least 1.34.41.
    type: str
    default: public.ecr.aws/lambda/python:3.13
  install:
    description: Whether to install boto3 in the pod first, for images with python3 but without boto3.
    type: bool
    default: false
  pod_env:
    description: Environment variables of the pods, as entries of a Kubernetes container's C(env).
    type: list
    elements: dict
    default: []
  pod_proxy:
    description:
      - The proxy by which the pods reach AWS. It is given to them by variables of these names in lower and upper case,
        and the addresses of the agent are added to C(no_proxy).
    type: dict
    default: {}
    suboptions:
      http_proxy:
        description: Address of the proxy for HTTP.
        type: str
      https_proxy:
        description: Address of the proxy for HTTPS, by which AWS is called.
        type: str
      no_proxy:
        description: Names and addresses that are reached without a proxy, with commas between them.
        type: str
  pod_region:
    description: The AWS region for pods that have none, as happens when no identity is injected.
    type: str
    default: ''
  timeout:
    description: For how many seconds to wait for the pods, the image's download included.
    type: int
    default: 120
  grace:
    description: For how many seconds a pod tries again when the agent or an allowed call refuses.
    type: int
    default: 10
  node_selector:
    description: Labels of the nodes on which the pods run.
    type: dict
    default: {}
  tolerations:
    description: Tolerations of the pods, as in a Kubernetes pod.
    type: list
    elements: dict
    default: []
  resources:
    description: Requests and limits of the container, as in a Kubernetes container.
    type: dict
    default:
      requests:
        cpu: 50m
        memory: 128Mi
      limits:
        cpu: 500m
        memory: 256Mi
  keep:
    description: Whether to leave the Jobs for inspection. Kubernetes removes each of them one hour after its end.
    type: bool
    default: false
  accounts:
    description:
      - How to read target roles in other accounts after a failure, by account ID, with C(profile) or with
        C(assume_role_arn) and C(assume_role_external_id).
    type: dict
    default: {}
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
  - podidentity.eks.attributes.cluster_info
requirements:
  - kubernetes >= 24.2.0
seealso:
  - module: podidentity.eks.eks_pod_identity_restart
  - plugin: podidentity.eks.pod_identity_proof_report
    plugin_type: filter
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

- name: Show what would be verified
  podidentity.eks.eks_pod_identity_verify:
    cluster_name: example
    workloads:
      - namespace: default
        service_account: app
        prove:
          allow:
            - service: sts
              operation: get_caller_identity
              show: Arn
  check_mode: true
  register: planned
  failed_when: planned is failed or planned.report | length != 1

- name: Verify it, and go on to see what is not proven
  podidentity.eks.eks_pod_identity_verify:
    cluster_name: example
    workloads:
      - namespace: default
        service_account: app
    timeout: 60
  register: verified
  failed_when: verified.proofs is not defined

- name: Write the test results of a run
  ansible.builtin.copy:
    content: "{{ verified.proofs | podidentity.eks.pod_identity_proof_junit(timestamp='2026-11-23T10:15:30') }}"
    dest: "{{ lookup('ansible.builtin.env', 'HOME') }}/verified.xml"
    mode: "0644"

- name: Delete the association
  podidentity.eks.eks_pod_identity_association:
    cluster_name: example
    namespace: default
    service_account: app
    state: absent
"""

RETURN = r"""
proofs:
  description: One proof for each workload, in their order, then those of O(setup_failures). Empty in check mode.
  returned: always
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
      description: The identity of the pod, with C(arn), C(account), C(role) and C(session_name); null if it had none.
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
report:
  description: The same as lines for people, what is not proven last. In check mode what would be verified.
  returned: always
  type: list
  elements: str
  sample: ["PROVEN default/app in cluster example"]
failed_items:
  description: What is not proven, and with O(strict) what has a warning.
  returned: always
  type: list
  elements: dict
  contains:
    workload:
      description: The workload, C(namespace/service_account).
      type: str
      sample: default/app
    namespace:
      description: Namespace of the service account.
      type: str
      sample: default
    service_account:
      description: Name of the service account.
      type: str
      sample: app
    phase:
      description: V(verify).
      type: str
      sample: verify
    reason:
      description: Cause and advice.
      type: str
      sample: "not proven (no_running_pod): No pod of service account default/app is ready. Start one."
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
from ansible_collections.podidentity.eks.plugins.module_utils._kube.verify import run
from ansible_collections.podidentity.eks.plugins.module_utils._kube.verify import spec


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

#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_pod_identity_probe
version_added: 0.2.0
short_description: Ask whether a pod admitted now would get EKS Pod Identity
description:
  - An association that EKS has created is not effective yet. It takes seconds until the webhooks of the cluster have
    heard of it, they disagree meanwhile, and a pod that is admitted too early stays without credentials until somebody
    creates it anew.
  - This module asks the API server what it would make of a pod of each service account (a server-side dry run of its
    creation), all of them in one task, and waits until every one would get its identity. It never creates anything.
  - The pod that is asked about has no settings of its own. What the pods of a workload say themselves (the label or the
    annotation by which the webhook skips them, variables that they set) is not looked at.
  - Where a pod would not get it, RV(workloads[].cause) and RV(workloads[].reason) say why, as far as the API server
    can tell.
  - Whoever asks needs the permission to C(create) C(pods) in the namespaces. The permissions to C(get)
    C(mutatingwebhookconfigurations) and to C(list) C(serviceaccounts) make reasons better.
author:
  - podidentity.eks contributors (@podidentity)
options:
  workloads:
    description: The workloads, each with C(namespace) and C(service_account). Other keys are not read.
    type: list
    elements: dict
    required: true
  consecutive:
    description:
      - How many answers in a row have to be yes. They come over different connections, because each API server of a
        cluster has a webhook of its own.
      - When an answer was no at first, or no after yes, the webhooks are just hearing of something. Then all answers
        must be yes for 3 seconds as well.
    type: int
    default: 3
  wait:
    description:
      - Whether to look again until every workload is effective. The task fails when one is not within O(timeout),
        and sooner when waiting cannot help those that are left.
      - With V(false), it is looked at O(consecutive) times at once, and the task never fails for what it has found.
    type: bool
    default: true
  timeout:
    description: For how many seconds to wait at most.
    type: int
    default: 120
  concurrency:
    description: How many calls are made at the same time.
    type: int
    default: 16
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - podidentity.eks.attributes.kubernetes_info
seealso:
  - module: podidentity.eks.eks_pod_identity_associations
  - name: The webhook
    description: What gives pods their identity.
    link: https://github.com/aws/amazon-eks-pod-identity-webhook
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example", and the IAM role "app" in its account 111122223333, whose trust policy allows
# pods.eks.amazonaws.com to call sts:AssumeRole and sts:TagSession.

- name: Look up the cluster
  podidentity.eks.eks_cluster_info:
    name: example
  register: found

- name: Create a service account
  kubernetes.core.k8s:
    kind: ServiceAccount
    name: app
    namespace: default
  # As a rule this stands once, at the play.
  module_defaults: &connection
    group/podidentity.eks.k8s:
      host: "{{ found.clusters[0].endpoint }}"
      ca_cert: "{{ lookup('podidentity.eks.eks_ca_file', found.clusters[0].certificate_authority) }}"
      api_key: "{{ lookup('podidentity.eks.eks_token', 'example') }}"

- name: Give it a role
  podidentity.eks.eks_pod_identity_association:
    cluster_name: example
    namespace: default
    service_account: app
    role_arn: arn:aws:iam::111122223333:role/app

- name: Wait until a pod admitted now would get it
  podidentity.eks.eks_pod_identity_probe:
    workloads:
      - namespace: default
        service_account: app
  module_defaults: *connection
  register: probed

- name: Look once whether others have an identity, without waiting
  podidentity.eks.eks_pod_identity_probe:
    workloads:
      - namespace: default
        service_account: app
      - namespace: default
        service_account: default
    wait: false
  module_defaults: *connection
  register: looked

- name: Say who has none, and why
  ansible.builtin.debug:
    msg: "{{ item.namespace }}/{{ item.service_account }}: {{ item.reason }}"
  loop: "{{ looked.workloads | rejectattr('effective') }}"
  failed_when: looked.workloads | map(attribute='cause') | list != [none, 'not_associated']

- name: Take the role away
  podidentity.eks.eks_pod_identity_association:
    cluster_name: example
    namespace: default
    service_account: app
    state: absent
"""

RETURN = r"""
effective:
  description: Whether pods of all workloads would get EKS Pod Identity.
  returned: success or failure after looking
  type: bool
  sample: true
failed_items:
  description: The workloads whose pods would not get EKS Pod Identity.
  returned: success or failure after looking
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
      description: V(probe).
      type: str
      sample: probe
    reason:
      description: Why, as a sentence.
      type: str
      sample: The pod is given no identity, so as far as the API server knows there is no association for this ...
workloads:
  description: What was found for each workload, in the order of O(workloads).
  returned: success or failure after looking
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
    effective:
      description: Whether a pod would get EKS Pod Identity.
      type: bool
      sample: false
    mechanism:
      description:
        - What a pod would get its credentials by, V(pod_identity), V(irsa) (IAM roles for service accounts) or V(none).
        - Null when the API server did not admit the pod.
      type: str
      sample: none
    attempts:
      description: How often it was looked at.
      type: int
      sample: 14
    seconds:
      description: After how many seconds this was known.
      type: float
      sample: 120.0
    cause:
      description:
        - Why not, as a name; null when it is effective.
        - V(not_associated) (there is no association, or it is not effective yet), V(irsa_only), V(unsettled) (the
          webhooks disagree), V(overridden) (another webhook sets stronger credentials), V(webhook_missing),
          V(webhook_changed).
        - When the pod was not admitted, V(namespace_missing), V(namespace_terminating), V(service_account_missing),
          V(forbidden), V(quota), V(limits), V(pod_security), V(policy_refused), V(webhook_refused),
          V(webhook_failed), V(refused).
        - When there was no proper answer, V(unreachable), V(certificate), V(unauthorized), V(busy), V(server_error).
      type: str
      sample: not_associated
    reason:
      description: Why not, and what to do; null when it is effective.
      type: str
      sample: The pod is given no identity, so as far as the API server knows there is no association for this ...
"""

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.exceptions import CoreException
from ansible_collections.podidentity.eks.plugins.module_utils._eks.options import CheckedModule
from ansible_collections.podidentity.eks.plugins.module_utils._kube import probe


def main() -> None:
    module = AnsibleK8SModule(
        argument_spec={**AUTH_ARG_SPEC, **probe.OPTIONS},
        module_class=CheckedModule,
        supports_check_mode=True,
        check_pyyaml=False,
    )
    try:
        result = probe.look_until(module)
    except CoreException as error:
        module.fail_json(msg=str(error))
    if "msg" in result:
        module.fail_json(**result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

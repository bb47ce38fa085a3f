#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_pod_identity_service_accounts
version_added: 0.2.0
short_description: Create and delete the Kubernetes service accounts of workloads
description:
  - Creates the service accounts of workloads, and where asked for the namespaces that they need, and deletes those of
    workloads with C(state=absent). What exists is never changed.
  - New service accounts carry the label C(podidentity.eks/managed), and only those are ever deleted. Namespaces are
    never deleted.
  - Check mode tries each change by a dry run of the API server, which takes the same permissions; without them the
    change is predicted and marked as untried.
  - What fails with one of them does not stop the others. The task fails at the end, with RV(failed_items).
author:
  - podidentity.eks contributors (@podidentity)
options:
  cluster_name:
    description: Name of the cluster, for messages and the diff.
    type: str
    required: true
  workloads:
    description:
      - The workloads, each with C(namespace) and C(service_account), and optionally C(state) and
        C(service_account_managed). Other keys are not read.
      - A service account with C(service_account_managed=false) is neither created nor deleted.
      - The service accounts of one namespace are listed where all workloads are in one and O(purge) is not V(cluster),
        those of all namespaces otherwise.
    type: list
    elements: dict
    required: true
  state:
    description: V(absent) treats all workloads as if they had C(state=absent).
    type: str
    choices: [present, absent]
    default: present
  operations:
    description:
      - V(apply) creates what is missing, V(remove) deletes the service accounts of workloads with C(state=absent) and
        by O(purge).
    type: list
    elements: str
    choices: [apply, remove]
    default: [apply, remove]
  create_namespaces:
    description: Whether to create namespaces that are missing.
    type: bool
    default: false
  purge:
    description:
      - Which service accounts that this collection created are deleted when no workload declares them, those in the
        namespaces of O(workloads) or those in the whole cluster.
    type: str
    choices: [none, namespace, cluster]
    default: none
  also_declared:
    description: Service accounts that count as declared besides, each as C(namespace/service_account).
    type: list
    elements: str
    default: []
  report_undeclared:
    description: Whether RV(report) names what O(purge=cluster) would delete.
    type: bool
    default: true
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - podidentity.eks.planned_cluster
  - podidentity.eks.attributes.kubernetes
requirements:
  - kubernetes >= 24.2.0
seealso:
  - module: podidentity.eks.eks_pod_identity_associations
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example".

- name: Create service accounts and their namespaces
  podidentity.eks.eks_pod_identity_service_accounts:
    cluster_name: example
    create_namespaces: true
    workloads:
      - namespace: default
        service_account: s3-access-sa
      - namespace: team-a
        service_account: web
  register: created
  failed_when: created is failed or created.objects | map(attribute='action') | unique != ['create']

- name: Show what would be deleted when a workload is no longer declared
  podidentity.eks.eks_pod_identity_service_accounts:
    cluster_name: example
    workloads:
      - namespace: default
        service_account: s3-access-sa
    purge: cluster
  check_mode: true
  diff: true
  register: planned
  failed_when: planned is failed or planned.objects | map(attribute='name') | list != ['team-a/web']

- name: Delete them all
  podidentity.eks.eks_pod_identity_service_accounts:
    cluster_name: example
    workloads:
      - namespace: default
        service_account: s3-access-sa
    state: absent
    purge: cluster
"""

RETURN = r"""
objects:
  description: What was created or deleted, or in check mode would be, and what could not be.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: V(Namespace) or V(ServiceAccount).
      type: str
      sample: ServiceAccount
    name:
      description: The name, of a service account after its namespace.
      type: str
      sample: default/s3-access-sa
    action:
      description: What was done, V(create), V(delete), or V(none) where another program was faster.
      type: str
      sample: create
    error:
      description: Why it was not done, empty otherwise.
      type: str
      sample: ""
    untried:
      description: Whether check mode could not try it for want of the permission.
      type: bool
      sample: false
absent:
  description: Service accounts with C(service_account_managed=false) that do not exist.
  returned: always
  type: list
  elements: str
  sample: [team-b/from-a-chart]
undeclared:
  description: Service accounts that this collection created and no workload declares, of those that were listed.
  returned: always
  type: list
  elements: str
  sample: [team-a/old]
report:
  description: What people should know, one line each, such as IRSA annotations and what was kept.
  returned: always
  type: list
  elements: str
  sample: []
failed_items:
  description: What could not be done.
  returned: always
  type: list
  elements: dict
  contains:
    workload:
      description: The workload, C(namespace/service_account); empty for what belongs to none.
      type: str
      sample: default/s3-access-sa
    namespace:
      description: The namespace.
      type: str
      sample: default
    service_account:
      description: The service account, empty for a namespace itself.
      type: str
      sample: s3-access-sa
    phase:
      description: V(service_account).
      type: str
      sample: service_account
    reason:
      description: Why, as a sentence.
      type: str
      sample: >-
        Service account shop/web could not be created: namespaces "shop" not found; create the namespace, or set
        service_account_create_namespaces: true.
"""

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.exceptions import CoreException
from ansible_collections.podidentity.eks.plugins.module_utils._eks.options import CheckedModule
from ansible_collections.podidentity.eks.plugins.module_utils._kube.service_account import run
from ansible_collections.podidentity.eks.plugins.module_utils._kube.service_account import spec


def main() -> None:
    module = AnsibleK8SModule(
        argument_spec={**AUTH_ARG_SPEC, **spec.OPTIONS},
        module_class=CheckedModule,
        supports_check_mode=True,
        check_pyyaml=False,
    )
    try:
        result = run.run(module)
    except CoreException as error:
        module.fail_json(msg=str(error))
    if result["failed_items"]:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()

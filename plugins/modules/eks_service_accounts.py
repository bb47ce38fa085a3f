#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_service_accounts
version_added: 0.2.0
short_description: Create or delete service accounts of Kubernetes
description:
  - Creates service accounts, and namespaces for them, or deletes service accounts. What exists is never changed.
  - Every one that is created or deleted is named in the result and in the diff, in check mode too. Check mode tries
    each of them by a dry run of the API server, which takes the same permissions; without them it is predicted and
    marked as untried.
  - What fails with one of them does not stop the others; the task does not fail then, see RV(objects).
author:
  - podidentity.eks contributors (@podidentity)
options:
  cluster_name:
    description: Name of the cluster, for the diff.
    type: str
    required: true
  service_accounts:
    description: The service accounts.
    type: list
    elements: dict
    required: true
    suboptions:
      namespace:
        description: Namespace of the service account.
        type: str
        required: true
      name:
        description: Name of the service account.
        type: str
        required: true
  namespaces:
    description: Namespaces to create before. They are never deleted.
    type: list
    elements: str
    default: []
  labels:
    description: Labels of new service accounts.
    type: dict
    default: {}
  state:
    description: Whether the service accounts are created or deleted.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - podidentity.eks.attributes.kubernetes
requirements:
  - kubernetes >= 24.2.0
seealso:
  - module: podidentity.eks.eks_pod_identity_associations
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example".

- name: Create a service account
  podidentity.eks.eks_service_accounts:
    cluster_name: example
    service_accounts:
      - namespace: default
        name: s3-access-sa

- name: Show what would be deleted
  podidentity.eks.eks_service_accounts:
    cluster_name: example
    state: absent
    service_accounts:
      - namespace: default
        name: s3-access-sa
  check_mode: true
  diff: true
"""

RETURN = r"""
objects:
  description: The namespaces and service accounts of the task, in order.
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
      description: What was done, or in check mode would be, V(create), V(delete) or V(none).
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
"""

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.exceptions import CoreException
from ansible_collections.podidentity.eks.plugins.module_utils._eks.options import CheckedModule
from ansible_collections.podidentity.eks.plugins.module_utils._kube import service_accounts
from ansible_collections.podidentity.eks.plugins.module_utils._kube.connection import ApiServer


def main() -> None:
    module = AnsibleK8SModule(
        argument_spec={**AUTH_ARG_SPEC, **service_accounts.OPTIONS},
        module_class=CheckedModule,
        supports_check_mode=True,
        check_pyyaml=False,
    )
    items, state = service_accounts.items_of(module.params), module.params["state"]
    try:
        outcomes = service_accounts.reconcile(ApiServer(module, 1, 1), items, state, module.check_mode)
    except CoreException as error:
        module.fail_json(msg=str(error))
    module.exit_json(**service_accounts.result_of(outcomes, module._diff, module.params["cluster_name"]))


if __name__ == "__main__":
    main()

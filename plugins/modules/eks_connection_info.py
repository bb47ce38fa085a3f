#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_connection_info
version_added: 0.2.0
short_description: Check that a connection to Kubernetes leads to an EKS cluster
description:
  - Finds out which API server a task with these connection options would talk to, from the options, the environment or
    a kubeconfig, and fails when it is not that of the cluster. So nothing is done in the cluster that a kubeconfig
    happens to name.
  - It is the cluster's when its address is the cluster's endpoint, or when it is trusted by the cluster's own
    certificate authority, as through a tunnel. No call is made.
author:
  - podidentity.eks contributors (@podidentity)
options:
  cluster_name:
    description:
      - Name of the cluster, for the message.
    type: str
    required: true
  endpoint:
    description:
      - Endpoint of the cluster, as M(podidentity.eks.eks_cluster_info) returns it.
    type: str
    required: true
  certificate_authority:
    description:
      - Its certificate authority as PEM text, as M(podidentity.eks.eks_cluster_info) returns it.
    type: str
    required: true
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - podidentity.eks.attributes.kubernetes_info
seealso:
  - module: podidentity.eks.eks_cluster_info
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example".

- name: Look up the cluster
  podidentity.eks.eks_cluster_info:
    name: example
  register: found

- name: Check that the connection leads there
  podidentity.eks.eks_connection_info:
    cluster_name: example
    endpoint: "{{ found.clusters[0].endpoint }}"
    certificate_authority: "{{ found.clusters[0].certificate_authority }}"
    host: "{{ found.clusters[0].endpoint }}"
    ca_cert: "{{ lookup('podidentity.eks.eks_ca_file', found.clusters[0].certificate_authority) }}"
    api_key: "{{ lookup('podidentity.eks.eks_token', 'example') }}"
"""

RETURN = r"""
host:
  description: Address of the API server.
  returned: always
  type: str
  sample: https://0123456789ABCDEF0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com
matches:
  description: Whether it is the cluster's; the task fails otherwise.
  returned: always
  type: bool
  sample: true
"""

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.exceptions import CoreException
from ansible_collections.podidentity.eks.plugins.module_utils._kube import whose

OPTIONS = {name: {"type": "str", "required": True} for name in ("cluster_name", "endpoint", "certificate_authority")}


def main() -> None:
    module = AnsibleK8SModule(argument_spec={**AUTH_ARG_SPEC, **OPTIONS}, supports_check_mode=True, check_pyyaml=False)
    try:
        result = whose.look(module)
    except CoreException as error:
        module.fail_json(msg=str(error))
    if not result["matches"]:
        message = whose.complaint(result["host"], module.params["cluster_name"], module.params["endpoint"])
        module.fail_json(msg=message, **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

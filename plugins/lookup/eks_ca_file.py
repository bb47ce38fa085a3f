# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lookup ``podidentity.eks.eks_ca_file``: a cluster's certificate authority as a file for this run."""

from __future__ import annotations

DOCUMENTATION = r"""
---
name: eks_ca_file
version_added: 0.1.0
short_description: Put a cluster's certificate authority into a file for this run
description:
  - Modules for Kubernetes take the certificate of a cluster's authority as the path of a file. This lookup writes it
    into Ansible's own temporary folder of the run, where only this user can read and write and which Ansible removes
    at the end, and returns the path.
  - The same certificate gives the same file.
author:
  - podidentity.eks contributors (@podidentity)
options:
  _terms:
    description:
      - Certificates as PEM text, such as C(certificate_authority) of a cluster as returned by
        M(podidentity.eks.eks_cluster_info).
    type: list
    elements: str
    required: true
seealso:
  - plugin: podidentity.eks.eks_token
    plugin_type: lookup
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example".

- name: Look up the cluster
  podidentity.eks.eks_cluster_info:
    name: example
  register: found

- name: Ask its API for the namespaces
  kubernetes.core.k8s_info:
    kind: Namespace
    host: "{{ found.clusters[0].endpoint }}"
    ca_cert: "{{ lookup('podidentity.eks.eks_ca_file', found.clusters[0].certificate_authority) }}"
    api_key: "{{ lookup('podidentity.eks.eks_token', 'example') }}"
"""

RETURN = r"""
_raw:
  description: The path of one file for each certificate.
  type: list
  elements: path
"""

import hashlib
import pathlib
import typing as t

from ansible import constants
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):  # type: ignore[misc]  # ansible-core has no types
    """The lookup ``podidentity.eks.eks_ca_file``."""

    def run(self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[str]:
        """One path for each certificate."""
        self.set_options(var_options=variables, direct=kwargs)
        return [str(written(str(term))) for term in terms]


def written(certificate: str) -> pathlib.Path:
    """The file with a certificate.

    :raises AnsibleLookupError: when the text is no certificate.
    """
    if "-----BEGIN CERTIFICATE-----" not in certificate:
        raise AnsibleLookupError("eks_ca_file needs a certificate as PEM text, as eks_cluster_info returns it.")
    name = hashlib.sha256(certificate.encode()).hexdigest()[:16]
    path = pathlib.Path(constants.DEFAULT_LOCAL_TMP) / f"eks-ca-{name}.pem"
    path.write_text(certificate, encoding="ascii")
    return path

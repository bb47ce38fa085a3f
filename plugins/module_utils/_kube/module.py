# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The base of modules that call both AWS and a cluster's API server."""

from __future__ import annotations

import typing as t

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

from .._eks import common

if t.TYPE_CHECKING:
    from .._eks import argspec


class AnsibleClusterModule(common.AnsibleEKSModule):
    """A module with the connection options of amazon.aws and of kubernetes.core.

    The option ``validate_certs`` is in both. Here it is about the API server alone, so that a cluster with an unknown
    authority does not switch off the verification of AWS; ``aws_ca_bundle`` names the authorities for AWS.
    """

    def __init__(self, *, argument_spec: argspec.ArgumentSpec, **kwargs: t.Any) -> None:
        super().__init__(argument_spec={**AUTH_ARG_SPEC, **argument_spec}, **kwargs)
        # Hides the secrets of a kubeconfig that is given as a mapping, and fails where the library is missing.
        AnsibleK8SModule(module_class=lambda: self._module, check_pyyaml=False)

    def client(self, service: str, *args: t.Any, **settings: t.Any) -> t.Any:
        """A client of AWS, whose certificates are always verified."""
        return super().client(service, *args, **{"verify": self.params.get("aws_ca_bundle") or True, **settings})

# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Which API server a task would talk to, and whether it is that of an EKS cluster."""

from __future__ import annotations

import pathlib
import typing as t

from .connection import configuration_of


def look(module: t.Any) -> dict[str, t.Any]:
    """The module's result.

    :param module: an AnsibleK8SModule, whose connection options count, and the environment as in kubernetes.core.
    :raises CoreException: when there is no usable configuration.
    """
    configuration = configuration_of(module)
    host, params = str(configuration.host), module.params
    same_host = host.rstrip("/").lower() == params["endpoint"].rstrip("/").lower()
    same_authority = same_certificate(read(configuration.ssl_ca_cert), params["certificate_authority"])
    return {"host": host, "matches": same_host or same_authority}


def read(path: str | None) -> str:
    """The text of a file, empty where there is none."""
    try:
        return pathlib.Path(path).read_text(encoding="ascii") if path else ""
    except (OSError, UnicodeDecodeError):
        return ""


def same_certificate(one: str, other: str) -> bool:
    """Whether two PEM texts are the same: each cluster has a certificate authority of its own."""
    return bool(one.strip()) and one.split() == other.split()


def complaint(host: str, cluster_name: str, endpoint: str) -> str:
    """Why a task must not go on."""
    return (
        f"The connection to Kubernetes leads to {host}, which is not the API server of cluster {cluster_name} "
        f"({endpoint}): set host, ca_cert and api_key by module_defaults for group/podidentity.eks.k8s, or use a "
        "kubeconfig of that cluster."
    )

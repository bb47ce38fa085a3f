# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The Kubernetes versions that EKS offers, asked only where a plan is about to write one."""

from __future__ import annotations

import dataclasses
import typing as t

from .. import codes
from ..common import AnsibleEKSError
from ..common import Change
from ..common import calling
from ..common import error_of
from ..common import refuse
from ..validation import quoted

if t.TYPE_CHECKING:
    from mypy_boto3_eks.client import EKSClient

    from .declared import ClusterSpec

WRITES = ("create_cluster", "update_cluster_version")


def examined(client: EKSClient, spec: ClusterSpec, change: Change, check_mode: bool) -> Change:
    """The plan, once EKS offers the version that it writes; in check mode a new cluster has EKS's default version.

    Roles, network and everything else of a new cluster are made before EKS could refuse its version. Where the caller
    may not ask, EKS tells then.

    :raises AnsibleEKSError: when EKS offers no such version.
    """
    written = [action.parameters for action in change.actions if action.operation in WRITES]
    if not written or not client.can_paginate("describe_cluster_versions"):
        return change
    version = written[0].get("version")
    if version is None and not check_mode:
        return change
    try:
        offered = offered_versions(client)
    except AnsibleEKSError as error:
        if error_of(error)[0] in codes.ACCESS_DENIED:
            return change
        raise
    if version is not None:
        refuse(version_problems(spec, version, offered))
        return change
    default = next((name for name, is_default in offered.items() if is_default), None)
    return (
        change if default is None else dataclasses.replace(change, after={**(change.after or {}), "version": default})
    )


@calling("describe the Kubernetes versions that EKS offers")
def offered_versions(client: EKSClient) -> dict[str, bool]:
    """The versions, each with whether a new cluster has it by default."""
    pages = client.get_paginator("describe_cluster_versions").paginate()
    return {one["clusterVersion"]: bool(one.get("defaultVersion")) for page in pages for one in page["clusterVersions"]}


def version_problems(spec: ClusterSpec, version: str, offered: t.Mapping[str, bool]) -> t.Iterator[str]:
    """The sentence for a version that EKS does not offer."""
    if version not in offered:
        yield f"version {quoted(version)} of {spec} is none that EKS offers: give one of {', '.join(sorted(offered))}."

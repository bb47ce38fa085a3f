# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Looking only: the add-ons that a cluster has, and those that it could have."""

from __future__ import annotations

import functools
import typing as t

from .. import common
from ..association import calls as associations
from ..cluster import require
from ..threads import at_once
from ..validation import cluster_name_problems
from . import calls
from .declared import name_problems
from .results import association_ids
from .results import normalized
from .versions import by_version
from .versions import recommended

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_eks.client import EKSClient

    from .declared import Addon


def problems(cluster_name: str, names: c.Sequence[str] | None) -> c.Iterator[str]:
    """What cannot be right about the question."""
    yield from cluster_name_problems(cluster_name)
    for name in names or ():
        yield from name_problems(name)


def look_up(client: EKSClient, cluster_name: str, names: c.Sequence[str] | None) -> list[Addon]:
    """The add-ons of these names, or all of the cluster, by name; what is not there, or no longer, is left out."""
    common.refuse(problems(cluster_name, names))
    wanted = calls.names(client, cluster_name) or [] if names is None else names
    look = functools.partial(calls.describe, client, cluster_name)
    found = at_once(look, sorted(set(wanted)))
    ids = [one for addon in found for one in association_ids(addon)]
    described = associations.describe_associations(client, cluster_name, ids) if ids else []
    return [normalized(addon, described) for addon in found]


def available(
    client: EKSClient,
    cluster_name: str,
    names: c.Sequence[str] | None,
    planned_cluster: t.Mapping[str, t.Any] | None = None,
) -> list[t.Mapping[str, t.Any]]:
    """The add-ons that EKS offers for the cluster's Kubernetes version, by name.

    Schema and service accounts take a call for each add-on, so they come for those that are asked for by name.

    :param planned_cluster: what a check run predicts; nothing is offered for one whose version is not known.
    :raises common.AnsibleEKSError: when there is no such cluster.
    """
    common.refuse(problems(cluster_name, names))
    kubernetes = require(client, cluster_name, planned_cluster).get("version")
    if kubernetes is None:
        return []

    def offered(name: str | None) -> list[t.Mapping[str, t.Any]]:
        return calls.list_available(client, name, kubernetes) or []

    found = [addon for answer in at_once(offered, [None] if names is None else names) for addon in answer]
    # EKS lists add-ons without a version for this Kubernetes, too.
    told = [_told(addon, kubernetes) for addon in found if addon["addonVersions"]]
    if names is not None:
        told = at_once(functools.partial(_with_configuration, client), told)
    return sorted(told, key=lambda one: str(one["name"]))


def _told(addon: t.Mapping[str, t.Any], kubernetes: str) -> t.Mapping[str, t.Any]:
    offers = calls.offers_of(addon)
    default = recommended(offers, kubernetes)
    [version] = [each for each in addon["addonVersions"] if each["addonVersion"] == default]
    newest_first = [offer.version for offer in reversed(by_version(offers))]
    return {
        "name": addon["addonName"],
        "type": addon.get("type"),
        "publisher": addon.get("publisher"),
        "owner": addon.get("owner"),
        "default_namespace": addon.get("defaultNamespace"),
        "default_version": default,
        "latest_version": newest_first[0],
        "versions": newest_first,
        "requires_configuration": bool(version.get("requiresConfiguration")),
        "requires_iam_permissions": bool(version.get("requiresIamPermissions")),
    }


def _with_configuration(client: EKSClient, told: t.Mapping[str, t.Any]) -> t.Mapping[str, t.Any]:
    known = calls.describe_configuration(client, told["name"], told["default_version"])
    accounts = known.service_accounts if known else {}
    return {
        **told,
        "configuration_schema": known.schema if known else None,
        "pod_identity": [
            {"service_account": account, "recommended_policies": list(policies)}
            for account, policies in accounts.items()
        ],
    }

# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The calls that look at add-ons and at what EKS offers."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from .. import common
from .versions import Offer

if t.TYPE_CHECKING:
    from mypy_boto3_eks.client import EKSClient

#: The largest page that DescribeAddonVersions and ListAddons give.
PAGE_SIZE = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Configuration:
    """What can be configured in one version of an add-on."""

    version: str
    #: JSON schema of the configuration values, None where EKS tells none that can be read.
    schema: t.Mapping[str, t.Any] | None
    #: Service account -> ARNs of the managed policies that AWS recommends for it.
    service_accounts: t.Mapping[str, t.Sequence[str]]


@common.finding("describe the add-on")
def describe(client: EKSClient, cluster_name: str, name: str) -> t.Mapping[str, t.Any]:
    """The add-on as EKS answers it, None where there is none, or no such cluster."""
    return client.describe_addon(clusterName=cluster_name, addonName=name)["addon"]


@common.finding("list the add-ons")
def names(client: EKSClient, cluster_name: str) -> list[str]:
    """The names of a cluster's add-ons, None where there is no such cluster."""
    pages = client.get_paginator("list_addons").paginate(
        clusterName=cluster_name, PaginationConfig={"PageSize": PAGE_SIZE}
    )
    return [name for page in pages for name in page["addons"]]


@common.finding("list the versions of add-ons")
def list_available(client: EKSClient, name: str | None, kubernetes: str | None) -> list[t.Mapping[str, t.Any]]:
    """One add-on or all, with the versions for one Kubernetes version or for any; None where there is none."""
    query = common.without_none({"addonName": name, "kubernetesVersion": kubernetes})
    pages = client.get_paginator("describe_addon_versions").paginate(**query, PaginationConfig={"PageSize": PAGE_SIZE})
    return [addon for page in pages for addon in page["addons"]]


def list_offers(client: EKSClient, name: str, kubernetes: str | None = None) -> list[Offer]:
    """The versions of an add-on, for one Kubernetes version or for any; empty where EKS has no such add-on."""
    return [offer for addon in list_available(client, name, kubernetes) or () for offer in offers_of(addon)]


def offers_of(addon: t.Mapping[str, t.Any]) -> list[Offer]:
    """The versions of an add-on as EKS answers it."""
    return [_offer(version, addon.get("defaultNamespace")) for version in addon["addonVersions"]]


def _offer(answer: t.Mapping[str, t.Any], namespace: str | None) -> Offer:
    compatibilities = answer.get("compatibilities", [])
    return Offer(
        version=answer["addonVersion"],
        fits=frozenset(each["clusterVersion"] for each in compatibilities),
        default_for=frozenset(each["clusterVersion"] for each in compatibilities if each.get("defaultVersion")),
        namespace=namespace,
    )


@common.finding("describe the configuration of the add-on")
def describe_configuration(client: EKSClient, name: str, version: str) -> Configuration:
    """Schema and service accounts of a version, None where EKS does not offer it, or no longer."""
    answer = client.describe_addon_configuration(addonName=name, addonVersion=version)
    try:
        schema = json.loads(answer.get("configurationSchema") or "null")
    except ValueError:
        schema = None
    return Configuration(
        version=version,
        schema=schema if isinstance(schema, dict) else None,
        service_accounts={
            one["serviceAccount"]: one.get("recommendedManagedPolicies", [])
            for one in answer.get("podIdentityConfiguration", [])
        },
    )

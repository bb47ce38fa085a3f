# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The calls that look: lists by pages, descriptions in threads."""

from __future__ import annotations

import functools
import typing as t

from ansible_collections.amazon.aws.plugins.module_utils.arn import parse_aws_arn

from .. import codes
from .. import common
from ..threads import at_once
from ..validation import quoted
from .objects import Association
from .objects import from_api
from .objects import from_summary

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_eks.client import EKSClient

#: The largest page that ListPodIdentityAssociations gives.
PAGE_SIZE = 100


@common.finding("list the pod identity associations")
def list_associations(client: EKSClient, cluster_name: str, **filters: str) -> list[Association]:
    """A cluster's associations as far as a list tells them, None where there is no such cluster.

    :param filters: ``namespace`` and ``serviceAccount`` of the API.
    """
    paginator = client.get_paginator("list_pod_identity_associations")
    pages = paginator.paginate(clusterName=cluster_name, PaginationConfig={"PageSize": PAGE_SIZE}, **filters)
    return [from_summary(summary) for page in pages for summary in page["associations"]]


@common.finding("describe the pod identity association")
def describe_association(client: EKSClient, cluster_name: str, association_id: str) -> Association:
    """An association with all its fields, None where there is none."""
    answer = client.describe_pod_identity_association(clusterName=cluster_name, associationId=association_id)
    return from_api(answer["association"])


def describe_associations(
    client: EKSClient, cluster_name: str, association_ids: c.Sequence[str], concurrency: int = common.CONCURRENCY
) -> list[Association]:
    """Associations with all their fields; one that vanished since it was listed is left out."""
    return at_once(functools.partial(describe_association, client, cluster_name), association_ids, concurrency)


@common.finding("describe the cluster")
def cluster_account(client: EKSClient, cluster_name: str) -> str:
    """The account of a cluster, None where there is no such cluster."""
    arn = client.describe_cluster(name=cluster_name)["cluster"]["arn"]
    return str(parse_aws_arn(arn)["account_id"])


def account_if_allowed(client: EKSClient, cluster_name: str) -> str | None:
    """The cluster's account, None where the caller may not look at the cluster: then EKS itself is left to judge."""
    try:
        return cluster_account(client, cluster_name)
    except common.AnsibleEKSError as error:
        if common.error_of(error)[0] in codes.ACCESS_DENIED:
            return None
        raise


def missing_cluster(client: EKSClient, cluster_name: str) -> str:
    """The sentence for a cluster that is not there; it asks nothing, so it needs no permission to describe clusters."""
    return (
        f"cluster_name {quoted(cluster_name)} names no cluster in region {client.meta.region_name}: "
        "create the cluster first, or correct the name or the region"
    )

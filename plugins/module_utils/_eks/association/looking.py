# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Looking only: the associations of a cluster that match."""

from __future__ import annotations

import operator
import typing as t

from .. import common
from ..validation import cluster_name_problems
from . import calls

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_eks.client import EKSClient

    from .objects import Association

#: What only a description tells.
NEED_DESCRIPTION = ("role_arn", "tags")

#: A question for all associations of a cluster; see the module ``eks_pod_identity_association_info``.
EVERYTHING: dict[str, t.Any] = {
    **dict.fromkeys(("namespace", "service_account", "association_ids", "role_arn", "owner", "tags")),
    "describe": True,
}


def look_up(client: EKSClient, params: t.Mapping[str, t.Any], concurrency: int) -> list[Association]:
    """The associations that match all that is given, in the order of namespace and service account.

    Empty when nothing matches, or when there is no such cluster.

    :param params: the options of the module ``eks_pod_identity_association_info``.
    """
    common.refuse(problems(params))
    wanted = common.text_tags(params["tags"]) or {}
    return sorted(
        (
            association
            for association in candidates(client, params, concurrency)
            if params["namespace"] in (None, association.namespace)
            and params["service_account"] in (None, association.service_account)
            and params["role_arn"] in (None, association.role_arn, association.target_role_arn)
            and belongs_to(association, params["owner"])
            and association.carries(wanted)
        ),
        key=operator.attrgetter("key"),
    )


def problems(params: t.Mapping[str, t.Any]) -> c.Iterator[str]:
    """What cannot be right about the question."""
    yield from cluster_name_problems(params["cluster_name"])
    if not params["describe"]:
        for option in NEED_DESCRIPTION:
            if params[option] is not None:
                yield f"{option} needs describe: true, because a list of associations does not tell it."


def candidates(client: EKSClient, params: t.Mapping[str, t.Any], concurrency: int) -> c.Iterable[Association]:
    """Associations to choose from, with all their fields where they are to be described."""
    cluster_name, ids = params["cluster_name"], params["association_ids"]
    if ids is None or not params["describe"]:
        filters = common.without_none({"namespace": params["namespace"], "serviceAccount": params["service_account"]})
        found = calls.list_associations(client, cluster_name, **filters) or []
        chosen = [one for one in found if ids is None or one.association_id in ids]
        if not params["describe"]:
            return chosen
        # What belongs to another owner needs no description.
        ids = [one.association_id for one in chosen if belongs_to(one, params["owner"])]
    return calls.describe_associations(client, cluster_name, list(dict.fromkeys(ids)), concurrency)


def belongs_to(association: Association, owner: str | None) -> bool:
    """Whether an association belongs to an add-on, given by its ARN or its name, or with an empty string to none.

    The ARN of an add-on is ``arn:aws:eks:<region>:<account>:addon/<cluster>/<name>/<uuid>``.
    """
    if not owner or not association.owner_arn:
        return owner is None or (not owner and not association.owner_arn)
    return owner in (association.owner_arn, association.owner_arn.split("/")[-2:][0])

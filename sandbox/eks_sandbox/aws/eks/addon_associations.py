# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pod identity associations that an add-on owns (facts 2.1 and 2.3)."""

from __future__ import annotations

import typing as t

from eks_sandbox.aws import trust
from eks_sandbox.aws.eks import association
from eks_sandbox.aws.eks.catalogue import Offer
from eks_sandbox.aws.eks.operations import Context
from eks_sandbox.aws.eks.operations import require_pod_identity_trust
from eks_sandbox.aws.eks.state import Addon
from eks_sandbox.aws.eks.state import Association
from eks_sandbox.aws.eks.state import Cluster
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.eks.state import now
from eks_sandbox.aws.errors import in_use
from eks_sandbox.aws.errors import invalid_parameter


def check(offer: Offer, version: str, wanted: t.Sequence[Shape]) -> None:
    """Refuse associations that this add-on cannot have.

    EKS checks requiresIamPermissions of the version
    (https://github.com/aws/containers-roadmap/issues/2827, https://github.com/terraform-aws-modules/terraform-aws-eks/issues/3520).
    """
    if wanted and not offer.service_accounts:
        message = f"Pod Identity feature is not supported for addon version: {version}"
        raise invalid_parameter(message, addonName=offer.name)
    for one in wanted:
        if one["serviceAccount"] not in offer.service_accounts:
            raise invalid_parameter(
                f"Service account {one['serviceAccount']} in pod identity configuration is not supported for addon "
                f"{offer.name}",
                addonName=offer.name,
            )
    accounts = [one["serviceAccount"] for one in wanted]
    if len(accounts) != len(set(accounts)):
        raise invalid_parameter("Service accounts in pod identity configuration must be unique.", addonName=offer.name)


def owned(cluster: Cluster, addon: Addon) -> list[Association]:
    """The associations of an add-on."""
    arn = addon.shape["addonArn"]
    return [one for one in cluster.associations.values() if one.shape.get("ownerArn") == arn]


def own(context: Context, cluster: Cluster, addon: Addon, wanted: t.Sequence[Shape]) -> list[str]:
    """Create, update and delete the add-on's associations until they are exactly the wanted ones; return their ARNs.

    An association that does not belong to the add-on is never adopted: ResourceInUseException (facts 2.1).
    """
    namespace = addon.shape["namespaceConfig"]["namespace"]
    before = {one.shape["serviceAccount"]: one for one in owned(cluster, addon)}
    gone = [before[account] for account in set(before) - {one["serviceAccount"] for one in wanted}]
    _check_wanted(context, cluster, namespace, wanted, before)
    may_remove(context, gone)
    for each in gone:
        association.remove(cluster, each)
    arns = []
    for one in wanted:
        mine = before.get(one["serviceAccount"])
        if mine is None:
            parameters = {**one, "namespace": namespace}
            mine = association.create(context, cluster, parameters, addon.shape["addonArn"])
        else:
            mine.shape.update(roleArn=one["roleArn"], modifiedAt=now())
        arns.append(mine.shape["associationArn"])
    return arns


def may_remove(context: Context, associations: t.Sequence[Association]) -> None:
    """Whether the caller may remove an add-on's associations (facts 6); raises AccessDeniedException."""
    for one in associations:
        context.authorise("eks:DeletePodIdentityAssociation", one.shape["associationArn"])


def _check_wanted(
    context: Context, cluster: Cluster, namespace: str, wanted: t.Sequence[Shape], owned: t.Mapping[str, Association]
) -> None:
    """All that can go wrong is found before the first association changes."""
    for one in wanted:
        key, mine = (namespace, one["serviceAccount"]), owned.get(one["serviceAccount"])
        if mine is None:
            context.authorise("eks:CreatePodIdentityAssociation", cluster.spec.arn)
        elif mine.shape["roleArn"] != one["roleArn"]:
            context.authorise("eks:UpdatePodIdentityAssociation", mine.shape["associationArn"])
        if key in cluster.association_ids and mine is None:
            raise in_use(f"Association already exists: {cluster.association_ids[key]}", clusterName=cluster.spec.name)
        try:
            role = context.pass_role(one["roleArn"], trust.POD_IDENTITY_PRINCIPAL)
        except LookupError as error:
            raise invalid_parameter("Role provided in the request does not exist.") from error
        require_pod_identity_trust(role)

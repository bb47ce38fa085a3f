# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tags: TagResource, UntagResource, ListTagsForResource. Their errors are of another family than the rest of EKS."""

from __future__ import annotations

import typing as t

from eks_sandbox.aws.eks.operations import Context
from eks_sandbox.aws.eks.operations import check_tags
from eks_sandbox.aws.eks.operations import operation
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.eks.state import State
from eks_sandbox.aws.errors import ServiceError
from eks_sandbox.aws.ministack import Caller
from eks_sandbox.aws.ministack import Where


def _named_resource(_state: State, _caller: Caller, parameters: Shape) -> str:
    return str(parameters["resourceArn"])


@operation("ListTagsForResource", _named_resource)
async def list_tags(context: Context, parameters: Shape) -> Shape:
    """The tags of a resource."""
    return {"tags": _tags(context, parameters["resourceArn"])}


@operation("TagResource", _named_resource)
async def tag_resource(context: Context, parameters: Shape) -> Shape:
    """Add or replace tags; at most 50 stay."""
    tags = _tags(context, parameters["resourceArn"])
    try:
        check_tags({**tags, **parameters["tags"]})
    except ServiceError as error:
        raise ServiceError("BadRequestException", error.message) from error
    tags.update(parameters["tags"])
    return {}


@operation("UntagResource", _named_resource)
async def untag_resource(context: Context, parameters: Shape) -> Shape:
    """Remove tags; missing keys are not an error."""
    tags = _tags(context, parameters["resourceArn"])
    for key in parameters["tagKeys"]:
        tags.pop(key, None)
    return {}


def resources(state: State, where: Where) -> t.Iterator[tuple[str, dict[str, str]]]:
    """Every taggable resource of EKS in an account and region, by ARN, with its tags (the dictionary itself)."""
    for cluster in state.clusters_in(where):
        yield cluster.spec.arn, cluster.shape["tags"]
        for nodegroup in cluster.nodegroups.values():
            yield nodegroup.shape["nodegroupArn"], nodegroup.shape["tags"]
        for addon in cluster.addons.values():
            yield addon.shape["addonArn"], addon.shape["tags"]
        for association in cluster.associations.values():
            yield association.shape["associationArn"], association.shape["tags"]
        for entry in cluster.access_entries.values():
            yield entry.shape["accessEntryArn"], entry.shape["tags"]


def _tags(context: Context, arn: str) -> dict[str, str]:
    if arn.split(":")[2:3] != ["eks"]:
        raise ServiceError("BadRequestException", f"Invalid resource ARN: {arn}")
    for found, tags in resources(context.state, context.caller):
        if found == arn:
            return tags
    raise ServiceError("NotFoundException", f"Resource {arn} was not found")

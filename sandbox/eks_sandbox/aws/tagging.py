# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tagging API: tag:GetResources for resources of EKS."""

from __future__ import annotations

import json
import typing as t

from eks_sandbox.aws.eks import tags
from eks_sandbox.aws.eks.operations import page
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.eks.state import State
from eks_sandbox.aws.errors import ServiceError
from eks_sandbox.aws.http import Answer
from eks_sandbox.aws.http import Request
from eks_sandbox.aws.http import json_answer
from eks_sandbox.aws.ministack import Caller


def operation_name(request: Request) -> str:
    """``GetResources`` of ``ResourceGroupsTaggingAPI_20170126.GetResources``."""
    return request.headers.get("x-amz-target", "").rpartition(".")[2]


def answer(state: State, caller: Caller, request: Request) -> Answer:
    """Answer a request to the tagging API.

    Raises ServiceError; other operations and resource types of other services are refused, never answered emptily.
    """
    if operation_name(request) != "GetResources":
        message = f"The sandbox does not offer tagging:{operation_name(request)} yet."
        raise ServiceError("NotImplementedInSandbox", message, status=501)
    state.ministack.authorise(caller, "tag:GetResources", "*")
    return json_answer(200, _get_resources(state, caller.region, json.loads(request.body or b"{}")))


def _get_resources(state: State, region: str, parameters: Shape) -> Shape:
    types = parameters.get("ResourceTypeFilters", [])
    foreign = [kind for kind in types if kind.partition(":")[0] != "eks"]
    if foreign:
        message = f"The sandbox finds resources of eks only, not {', '.join(foreign)}."
        raise ServiceError("NotImplementedInSandbox", message, status=501)
    wanted = parameters.get("ResourceARNList", [])
    found = [
        {"ResourceARN": arn, "Tags": [{"Key": key, "Value": value} for key, value in held.items()]}
        for arn, held in tags.resources(state, region)
        if held and (not wanted or arn in wanted) and _has_type(arn, types) and _matches(held, parameters)
    ]
    limits = {"maxResults": parameters.get("ResourcesPerPage"), "nextToken": parameters.get("PaginationToken")}
    shown, token = page(found, limits)
    return {"ResourceTagMappingList": shown, "PaginationToken": token or ""}


def _has_type(arn: str, types: t.Sequence[str]) -> bool:
    kind = arn.split(":", 5)[5].partition("/")[0]
    return not types or "eks" in types or f"eks:{kind}" in types


def _matches(held: t.Mapping[str, str], parameters: Shape) -> bool:
    """All filters must match; a filter without values asks for the key only."""
    filters = parameters.get("TagFilters", [])
    return all(one["Key"] in held and held[one["Key"]] in (one.get("Values") or [held[one["Key"]]]) for one in filters)

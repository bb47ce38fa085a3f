# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tagging API for resources of EKS: GetResources, TagResources, UntagResources, GetTagKeys, GetTagValues.

https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/
"""

from __future__ import annotations

import typing as t

from botocore.validate import ParamValidator

from eks_sandbox.aws.eks import tags
from eks_sandbox.aws.eks.operations import check_tags
from eks_sandbox.aws.eks.operations import page
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.eks.state import State
from eks_sandbox.aws.errors import ServiceError
from eks_sandbox.aws.errors import invalid_parameter
from eks_sandbox.aws.http import Answer
from eks_sandbox.aws.http import Request
from eks_sandbox.aws.http import json_answer
from eks_sandbox.aws.ministack import Caller
from eks_sandbox.aws.model import json_body
from eks_sandbox.aws.model import service_model
from eks_sandbox.aws.model import violations

#: Resources of a page unless the request limits it; keys and values come in pages of this size too.
PAGE = 100

Tags = dict[str, str]


def operation_name(request: Request) -> str:
    """``GetResources`` of ``ResourceGroupsTaggingAPI_20170126.GetResources``."""
    return request.headers.get("x-amz-target", "").rpartition(".")[2]


def answer(state: State, caller: Caller, request: Request) -> Answer:
    """Answer a request to the tagging API.

    Raises ServiceError; other operations and resource types of other services are refused, never answered emptily.
    """
    name = operation_name(request)
    if name not in _OPERATIONS:
        raise ServiceError("NotImplementedInSandbox", f"The sandbox does not offer tagging:{name} yet.", status=501)
    state.ministack.authorise(caller, f"tag:{name}", "*")
    return json_answer(200, _OPERATIONS[name](state, caller, _parameters(name, request.body)))


def _parameters(name: str, body: bytes) -> Shape:
    """The parameters, as the model allows them."""
    parameters = json_body(body)
    shape = service_model("resourcegroupstaggingapi").operation_model(name).input_shape
    report = ParamValidator().validate(parameters, shape)
    problems = [report.generate_report()] if report.has_errors() else list(violations(shape, parameters, ""))
    if problems:
        raise invalid_parameter("; ".join(problems))
    return parameters


def _get_resources(state: State, caller: Caller, parameters: Shape) -> Shape:
    types, wanted = parameters.get("ResourceTypeFilters", []), parameters.get("ResourceARNList", [])
    if not all(one.get("Key") for one in parameters.get("TagFilters", [])):
        raise invalid_parameter("A tag filter needs a key.")
    foreign = [kind for kind in types if kind.partition(":")[0] != "eks"]
    if foreign:
        message = f"The sandbox finds resources of eks only, not {', '.join(foreign)}."
        raise ServiceError("NotImplementedInSandbox", message, status=501)
    if wanted and (types or parameters.get("TagFilters") or parameters.get("ResourcesPerPage")):
        raise invalid_parameter("ResourceARNList cannot be used with filters or pages.")
    found = [
        {"ResourceARN": arn, "Tags": [{"Key": key, "Value": value} for key, value in held.items()]}
        for arn, held in tags.resources(state, caller)
        if held and (not wanted or arn in wanted) and _has_type(arn, types) and _matches(held, parameters)
    ]
    size = parameters.get("ResourcesPerPage", PAGE)
    if not 1 <= size <= PAGE:
        raise invalid_parameter(f"ResourcesPerPage must be between 1 and {PAGE}.")
    shown, token = _page(found, parameters, size)
    return {"ResourceTagMappingList": shown, "PaginationToken": token}


def _page(items: t.Sequence[t.Any], parameters: Shape, size: int = PAGE) -> tuple[list[t.Any], str]:
    try:
        shown, token = page(items, {"maxResults": size, "nextToken": parameters.get("PaginationToken")})
    except ServiceError as error:
        raise ServiceError("PaginationTokenExpiredException", "The pagination token is invalid.", status=400) from error
    return shown, token or ""


def _has_type(arn: str, types: t.Sequence[str]) -> bool:
    kind = arn.split(":", 5)[5].partition("/")[0]
    return not types or "eks" in types or f"eks:{kind}" in types


def _matches(held: t.Mapping[str, str], parameters: Shape) -> bool:
    """All filters must match; a filter without values matches the key only."""
    filters = parameters.get("TagFilters", [])
    return all(one["Key"] in held and held[one["Key"]] in (one.get("Values") or [held[one["Key"]]]) for one in filters)


def _tag_resources(state: State, caller: Caller, parameters: Shape) -> Shape:
    def change(held: Tags) -> None:
        check_tags({**held, **parameters["Tags"]})
        held.update(parameters["Tags"])

    return _change(state, caller, parameters, "eks:TagResource", change)


def _untag_resources(state: State, caller: Caller, parameters: Shape) -> Shape:
    def change(held: Tags) -> None:
        for key in parameters["TagKeys"]:
            held.pop(key, None)

    return _change(state, caller, parameters, "eks:UntagResource", change)


def _change(state: State, caller: Caller, parameters: Shape, action: str, change: t.Callable[[Tags], None]) -> Shape:
    """Change the tags of each resource separately, and report each failure."""
    known = dict(tags.resources(state, caller))
    failed = {}
    for arn in parameters["ResourceARNList"]:
        try:
            if arn not in known:
                raise invalid_parameter(f"Resource {arn} was not found")
            state.ministack.authorise(caller, action, arn)
            change(known[arn])
        except ServiceError as error:
            failed[arn] = {"StatusCode": error.status or 400, "ErrorCode": error.code, "ErrorMessage": error.message}
    return {"FailedResourcesMap": failed}


def _get_tag_keys(state: State, caller: Caller, parameters: Shape) -> Shape:
    keys = sorted({key for _arn, held in tags.resources(state, caller) for key in held})
    shown, token = _page(keys, parameters)
    return {"TagKeys": shown, "PaginationToken": token}


def _get_tag_values(state: State, caller: Caller, parameters: Shape) -> Shape:
    key = parameters["Key"]
    values = sorted({held[key] for _arn, held in tags.resources(state, caller) if key in held})
    shown, token = _page(values, parameters)
    return {"TagValues": shown, "PaginationToken": token}


_OPERATIONS: dict[str, t.Callable[[State, Caller, Shape], Shape]] = {
    "GetResources": _get_resources,
    "TagResources": _tag_resources,
    "UntagResources": _untag_resources,
    "GetTagKeys": _get_tag_keys,
    "GetTagValues": _get_tag_values,
}

# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How an operation of EKS is found, authorised and run; importing this module registers the operations."""

from __future__ import annotations

import copy
import importlib
import pkgutil

from eks_sandbox.aws import eks
from eks_sandbox.aws.eks.operations import OPERATIONS
from eks_sandbox.aws.eks.operations import Context
from eks_sandbox.aws.eks.operations import Handler
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.eks.state import State
from eks_sandbox.aws.eks.state import resource_arn
from eks_sandbox.aws.errors import ServiceError
from eks_sandbox.aws.errors import invalid_parameter
from eks_sandbox.aws.ministack import Caller
from eks_sandbox.aws.permissions import request_tag_keys
from eks_sandbox.aws.permissions import resource_tag_keys

#: What an operation makes, and the parameters that are in its ARN; what EKS adds is not known before.
CREATED = {
    "CreateAccessEntry": ("access-entry", "clusterName"),
    "CreateAddon": ("addon", "clusterName", "addonName"),
    "CreateCluster": ("cluster", "name"),
    "CreateNodegroup": ("nodegroup", "clusterName", "nodegroupName"),
    "CreatePodIdentityAssociation": ("podidentityassociation", "clusterName"),
}

# Each module of the package registers the operations that it has.
for _module in pkgutil.iter_modules(eks.__path__, f"{eks.__name__}."):
    importlib.import_module(_module.name)


async def run(name: str, state: State, caller: Caller, parameters: Shape) -> Shape:
    """Authorise and run an operation.

    Raises ServiceError; an operation that the sandbox does not offer is refused with status 501, never answered.
    """
    if name not in OPERATIONS:
        message = f"The sandbox does not offer eks:{name} yet."
        raise ServiceError("NotImplementedInSandbox", message, status=501)
    found = OPERATIONS[name]
    resource = found.resource(state, caller, parameters)
    keys = _tag_keys(state, resource, parameters)
    state.ministack.authorise(caller, f"eks:{name}", resource, keys)
    if name in CREATED and parameters.get("tags"):
        # https://docs.aws.amazon.com/eks/latest/userguide/eks-using-tags.html: creating a resource with tags needs it.
        kind, *names = CREATED[name]
        made = resource_arn(caller, kind, *(parameters[part] for part in names), *(["*"] if kind != "cluster" else []))
        state.ministack.authorise(caller, "eks:TagResource", made, keys)
    return await _once_per_token(name, found.handler, Context(state, caller), parameters)


async def _once_per_token(name: str, handler: Handler, context: Context, parameters: Shape) -> Shape:
    """A create or update that is sent again with the same client request token is done once.

    https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html: the token identifies the request.
    """
    token = parameters.get("clientRequestToken")
    if not token:
        return await handler(context, parameters)
    answers = context.state.answers
    key = (context.caller.account, context.region, name, token)
    before = answers.get(key)
    if before is None:
        given = copy.deepcopy(await handler(context, parameters))
        answers[key] = (parameters, given)
        return given
    if before[0] != parameters:
        raise invalid_parameter("The client request token was used before with other parameters.")
    return before[1]


def _tag_keys(state: State, resource: str, parameters: Shape) -> Shape:
    """Condition keys from the tags of the request and of the resource."""
    removed = {"aws:TagKeys": list(parameters["tagKeys"])} if parameters.get("tagKeys") else {}
    cluster = state.clusters.get(resource)
    tags = cluster.shape.get("tags", {}) if cluster is not None else {}
    return {**removed, **request_tag_keys(parameters.get("tags") or {}), **resource_tag_keys(tags)}

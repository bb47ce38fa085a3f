# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The module ``eks_pod_identity_service_accounts``, between its options and its result."""

from __future__ import annotations

import typing as t

from ansible_collections.kubernetes.core.plugins.module_utils.k8s.exceptions import CoreException

from ..causes import Refusal
from ..causes import explained
from ..connection import ApiServer
from . import apply
from . import result
from . import spec
from .plan import Plan
from .plan import Request
from .plan import found_of
from .plan import plan
from .plan import predicted
from .plan import request_of

if t.TYPE_CHECKING:
    import collections.abc as c

    from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule


def run(module: AnsibleK8SModule) -> dict[str, t.Any]:
    """Create and delete service accounts; returns the module's result, in which ``msg`` says that something failed.

    :raises CoreException: for wrong options.
    """
    params = module.params
    if found := list(spec.problems(params)):
        raise CoreException("\n".join(found))
    request = request_of(params)
    try:
        planned, outcomes = done(module, request)
        returned = result.of(planned, outcomes, params)
    except CoreException as error:
        outcomes, returned = [], result.failure(request, str(error))
    if module._diff:
        returned["diff"] = result.diff(outcomes, params["cluster_name"])
    return returned


def done(module: AnsibleK8SModule, request: Request) -> tuple[Plan, list[apply.Outcome]]:
    """The plan and what became of it.

    :raises CoreException: where there is no connection, or something cannot be listed.
    """
    if module.check_mode and module.params["planned_cluster"]:
        planned = predicted(request)
        return planned, [apply.Outcome(item, apply.CREATE) for item in planned.create]
    if request.needs_nothing:
        return Plan(), []
    return reconcile(ApiServer(module, apply.CONCURRENCY, 1), request, module.params, module.check_mode)


def reconcile(
    api: ApiServer, request: Request, params: t.Mapping[str, t.Any], check_mode: bool
) -> tuple[Plan, list[apply.Outcome]]:
    """Observe, plan and apply.

    :raises CoreException: where service accounts or namespaces cannot be listed.
    """
    place = f"/api/v1/namespaces/{request.place}/serviceaccounts" if request.place else "/api/v1/serviceaccounts"
    found = found_of(listed(api, place, "service accounts", params))
    planned = plan(request, found)
    if request.create_namespaces and planned.create:
        spaces = listed(api, "/api/v1/namespaces", "namespaces", params)
        planned = plan(request, found, {one["metadata"]["name"] for one in spaces})
    outcomes = apply.create(api, planned.create, check_mode) + apply.delete(api, planned.delete, check_mode)
    return planned, outcomes


def listed(api: ApiServer, path: str, what: str, params: t.Mapping[str, t.Any]) -> c.Sequence[t.Mapping[str, t.Any]]:
    """All objects of a path. :raises CoreException: where they may not be listed."""
    answer = api.objects(path)
    if isinstance(answer, Refusal):
        cluster = params["cluster_name"]
        raise CoreException(f"The {what} of cluster {cluster} cannot be listed: {explained(answer)}.")
    return answer

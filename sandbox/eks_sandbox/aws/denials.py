# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which kind of policy denied which action, in the words of AWS.

ministack always names identity-based policies, and always the operation, even if another action that it needs was
denied.

https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
"""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import re
import typing as t

IDENTITY, RESOURCE = "an identity-based policy", "a resource-based policy"
BOUNDARY, SESSION = "a permissions boundary", "a session policy"

#: What stands before the sentence that is common to all services.
_INTRODUCTIONS = {"ec2": "You are not authorized to perform this operation. ", "iam": ""}


@dataclasses.dataclass(frozen=True)
class _Denial:
    """What was denied last to the request that is being answered."""

    action: str = ""
    resource: str = "*"
    #: The kind of policy.
    by: str = IDENTITY


_NOTHING = _Denial()
_denial: contextvars.ContextVar[_Denial] = contextvars.ContextVar("denial", default=_NOTHING)


class _Boundary(list[t.Any]):
    """The statements of a permissions boundary, to distinguish them from those of session policies."""


def say_who_denied(evaluator: t.Any, actions: t.Any) -> None:
    """Put action, resource and kind of policy into ministack's decisions, and from there into its messages."""
    evaluate, enforce = evaluator.evaluate, evaluator.enforce
    resource_policy, boundary = evaluator.evaluate_resource_policy, evaluator._permissions_boundary

    @functools.wraps(evaluate)
    def evaluated(context: t.Any, policies: t.Any, *limits: t.Any) -> t.Any:
        result = evaluate(context, policies, *limits)
        # A Deny in any layer counts; without one the first layer that does not allow decides.
        layers = [(IDENTITY, policies), *((BOUNDARY if isinstance(one, _Boundary) else SESSION, one) for one in limits)]
        deciding = (kind for kind, layer in layers if evaluate(context, layer).decision == result.decision)
        result.denied_by = next(deciding, IDENTITY)
        return result

    @functools.wraps(resource_policy)
    def evaluated_resource(*arguments: t.Any, **named: t.Any) -> t.Any:
        result = resource_policy(*arguments, **named)
        result.denied_by = RESOURCE
        return result

    @functools.wraps(enforce)
    def enforced(key: str, action: str, service: str, region: str, resource: str, keys: dict[str, t.Any]) -> t.Any:
        result = enforce(key, action, service, region, resource, keys)
        _denial.set(_Denial(action, resource, getattr(result, "denied_by", IDENTITY)))
        return result

    evaluator.evaluate, evaluator.enforce = evaluated, enforced
    evaluator.evaluate_resource_policy = evaluated_resource
    evaluator._permissions_boundary = lambda *arguments: [_Boundary(one) for one in boundary(*arguments)]
    actions.identity_denial_message = _worded(actions.identity_denial_message)
    actions.access_denied_response = _answered(actions.access_denied_response, actions.identity_denial_message)


def _worded(message: t.Callable[..., str]) -> t.Callable[..., str]:
    @functools.wraps(message)
    def worded(action: str, principal: str, resource: str, explicit: bool) -> str:
        return _named(message(action, principal, _short(action, resource), explicit))

    return worded


def _short(action: str, resource: str) -> str:
    """The resource in IAM's words: ``role NAME`` for a role that is read or changed, its ARN for what is new or passed.

    https://github.com/aws-controllers-k8s/community/issues/2164 and, with the ARN, facts 2.1
    """
    found = re.fullmatch(r"arn:aws:iam::\d+:(role|user|group)/(?:.*/)?([^/]+)", resource)
    if found is None or not action.startswith("iam:") or action.startswith(("iam:Create", "iam:Tag", "iam:Pass")):
        return resource
    return f"{found[1]} {found[2]}"


def _answered(respond: t.Callable[..., t.Any], sentence: t.Callable[..., str]) -> t.Callable[..., t.Any]:
    @functools.wraps(respond)
    def answered(service: str, action: str, principal: str, *arguments: t.Any, **named: t.Any) -> t.Any:
        if service in _INTRODUCTIONS and not named.get("error_code"):
            denial = _denial.get()
            text = sentence(denial.action, principal, denial.resource, named["explicit_deny"])
            # Of an action that takes no resource EC2 names none.
            named["message"] = _INTRODUCTIONS[service] + text.replace(" on resource: *", "")
        status, headers, body = respond(service, action, principal, *arguments, **named)
        return status, headers, _named(body.decode()).encode()

    return answered


def _named(text: str) -> str:
    """``a permissions boundary`` that denies, ``no permissions boundary`` that allows."""
    kind = _denial.get().by
    allowing = f"because no {kind.split(maxsplit=1)[1]} allows"
    return text.replace(f"in {IDENTITY}", f"in {kind}").replace("because no identity-based policy allows", allowing)

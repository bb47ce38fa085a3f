# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What ministack leaves out of IAM's policy simulator: condition keys, and resources after the first.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulateCustomPolicy.html and API_EvaluationResult.html: one
result for each action, with the strictest decision, and below it one for each resource that was given.
"""

from __future__ import annotations

import dataclasses
import typing as t
from xml.sax.saxutils import escape

from eks_sandbox.aws.query import parse

if t.TYPE_CHECKING:
    import botocore.model

#: By the evaluator's decisions, the strictest first.
DECISIONS = {"Deny": "explicitDeny", "ImplicitDeny": "implicitDeny", "Allow": "allowed"}
EVERYTHING = "*"


@dataclasses.dataclass(frozen=True)
class Simulated:
    """What a request contains besides its actions."""

    resources: list[str]
    #: By condition key in lower case; a list for the types that end in "List".
    context: dict[str, str | list[str]]


def simulate_with_context(iam: t.Any, evaluator: t.Any, model: botocore.model.ServiceModel) -> None:
    """Put condition keys and resources into what ministack reads of a request and evaluates."""

    def asked(flat: dict[str, t.Any]) -> tuple[list[str], Simulated]:
        operation = model.operation_model(iam._p(flat, "Action"))
        parameters = parse(operation, {name: iam._p(flat, name) for name in flat})
        context = {}
        for entry in parameters.get("ContextEntries", []):
            values = entry.get("ContextKeyValues", [])
            several = entry.get("ContextKeyType", "string").endswith("List")
            context[entry["ContextKeyName"].lower()] = values if several else "".join(values[:1])
        return parameters["ActionNames"], Simulated(parameters.get("ResourceArns", [EVERYTHING]), context)

    def results(
        actions: list[str], simulated: Simulated, principal: str, account: str, policies: list[list[t.Any]]
    ) -> str:
        def evaluated(action: str, resource: str) -> tuple[str, str, list[str]]:
            context = evaluator.EvalContext(
                principal_arn=principal,
                principal_type="User",
                principal_account=account,
                action=action,
                resource_arn=resource,
                region=iam.get_region(),
                service_context=simulated.context,
            )
            keys = {key for each in policies for one in each for block in one.conditions.values() for key in block}
            missing = sorted(key for key in keys if evaluator._resolve_condition_key(key, context) is None)
            return resource, evaluator.evaluate(context, policies).decision, missing

        return "".join(_member(action, [evaluated(action, each) for each in simulated.resources]) for action in actions)

    iam._extract_simulate_params, iam._build_simulate_results_real = asked, results


def _member(action: str, evaluated: list[tuple[str, str, list[str]]]) -> str:
    """One action's result."""
    decisions = [decision for _resource, decision, _missing in evaluated]
    strictest = next(decision for decision in DECISIONS if decision in decisions)
    everything = [resource for resource, _decision, _missing in evaluated] == [EVERYTHING]
    specific = "".join(
        f"<member><EvalResourceName>{escape(resource)}</EvalResourceName>"
        f"<EvalResourceDecision>{DECISIONS[decision]}</EvalResourceDecision>"
        f"<MatchedStatements/>{_missing_values(missing)}</member>"
        for resource, decision, missing in evaluated
    )
    return (
        f"<member><EvalActionName>{escape(action)}</EvalActionName>"
        f"<EvalResourceName>{escape(evaluated[0][0])}</EvalResourceName>"
        f"<EvalDecision>{DECISIONS[strictest]}</EvalDecision><MatchedStatements/>"
        f"{_missing_values(evaluated[0][2] if everything else [])}"
        f"<ResourceSpecificResults>{'' if everything else specific}</ResourceSpecificResults></member>"
    )


def _missing_values(keys: list[str]) -> str:
    return f"<MissingContextValues>{''.join(f'<member>{escape(key)}</member>' for key in keys)}</MissingContextValues>"

# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The policies of well-known controllers, judged by IAM over HTTP: it takes each, and allows and denies what it should.

The cases, ``data/policy-cases.json``: by policy, parameters and requests with the condition keys that they carry.
"""

from __future__ import annotations

import copy
import dataclasses
import fnmatch
import json
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_policy import pod_identity_policy
from ansible_collections.podidentity.eks.plugins.plugin_utils import policy_library
from support.environment import ROOT
from support.iam_roles import make_role
from support.sandbox_process import SandboxProcess

Mapping = dict[str, t.Any]
CASES: dict[str, list[Mapping]] = json.loads(
    (ROOT / "tests" / "data" / "policy-cases.json").read_text(encoding="utf-8")
)
every_policy = pytest.mark.parametrize("name", CASES)


def decision(iam: t.Any, document: Mapping, case: Mapping) -> str:
    """What IAM says to a request of a role with this policy alone."""
    entries = [
        {
            "ContextKeyName": key,
            "ContextKeyType": "stringList" if isinstance(value, list) else "string",
            "ContextKeyValues": value if isinstance(value, list) else [value],
        }
        for key, value in case.get("context", {}).items()
    ]
    answer = iam.simulate_custom_policy(
        PolicyInputList=[json.dumps(document)],
        ActionNames=[case["action"]],
        ResourceArns=[case["resource"]],
        ContextEntries=entries,
    )
    [result] = answer["EvaluationResults"]
    return str(result["EvalDecision"])


def wrong_decisions(iam: t.Any, document: Mapping, cases: Mapping, actions: t.Sequence[str] = ("*",)) -> list[Mapping]:
    """The cases about these actions that the document decides otherwise than it should."""
    expected = [(case, "allowed") for case in cases["allow"]] + [(case, "implicitDeny") for case in cases["deny"]]
    return [
        case
        for case, right in expected
        if any(fnmatch.fnmatch(case["action"], action) for action in actions) and decision(iam, document, case) != right
    ]


@every_policy
def test_policy_allows_and_denies_expected_requests(sandbox: SandboxProcess, name: str) -> None:
    for cases in CASES[name]:
        assert min(len(cases["allow"]), len(cases["deny"])) >= 2
        document = pod_identity_policy(name, **cases["parameters"])
        assert wrong_decisions(sandbox.client("iam"), document, cases) == [], cases["parameters"]


def mutations(statements: t.Sequence[Mapping]) -> t.Iterator[tuple[str, t.Sequence[str], list[Mapping]]]:
    """Every way to spoil a policy by one step: what was done, which actions it is about, and the statements then."""
    for number, statement in enumerate(statements):
        before, after = statements[:number], statements[number + 1 :]
        where, actions = statement["Sid"], statement["Action"]
        yield f"without {where}", actions, [*before, *after]
        for switch in {"when", "unless"} & set(statement):
            rest = {key: value for key, value in statement.items() if key != switch}
            yield f"{where} without {switch}", actions, [*before, rest, *after]
        for operator, keys in statement.get("Condition", {}).items():
            for key in keys:
                rest = copy.deepcopy(statement)
                del rest["Condition"][operator][key]
                yield f"{where} without {key}", actions, [*before, rest, *after]
        if set(policy_library.PLACEHOLDER.findall(" ".join(statement["Resource"]))) - {"partition"}:
            yield f"{where} on everything", actions, [*before, {**statement, "Resource": ["*"]}, *after]


@every_policy
def test_every_policy_part_is_covered_by_a_case(sandbox: SandboxProcess, name: str) -> None:
    iam = sandbox.client("iam")
    policy = policy_library.policy(name)

    def detected(actions: t.Sequence[str], statements: list[Mapping]) -> bool:
        spoilt = dataclasses.replace(policy, statements=statements)
        try:
            return any(wrong_decisions(iam, spoilt.document(each["parameters"]), each, actions) for each in CASES[name])
        except policy_library.PolicyError:
            return True

    idle = [what for what, actions, statements in mutations(policy.statements) if not detected(actions, statements)]
    assert idle == []


def test_iam_accepts_every_policy_inline_and_managed(sandbox: SandboxProcess) -> None:
    iam = sandbox.client("iam")
    for name, all_cases in CASES.items():
        for number, cases in enumerate(all_cases):
            names = {"PolicyName": f"{name}-{number}"}
            document = json.dumps(pod_identity_policy(name, **cases["parameters"]))
            iam.create_policy(**names, PolicyDocument=document)
            make_role(iam, f"policy-{name}-{number}", "pods.eks.amazonaws.com")
            iam.put_role_policy(**names, RoleName=f"policy-{name}-{number}", PolicyDocument=document)

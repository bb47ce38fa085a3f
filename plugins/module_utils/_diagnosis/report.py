# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Proofs as lines that a person reads in the output of a play."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import Role

Proof = t.Mapping[str, t.Any]


def report(proofs: t.Iterable[Proof]) -> list[str]:
    """What was proven and what was not; the failures come last, where a reader looks first."""
    ordered = sorted(proofs, key=is_failure)
    return [line for proof in ordered for line in describe(proof)]


def is_failure(proof: Proof) -> bool:
    return not proof["proven"]


def describe(proof: Proof) -> list[str]:
    """One workload: the identity, each call, and for a failure what was expected, why it is not so, and what to do."""
    name = f"{proof['namespace']}/{proof['service_account']} in cluster {proof['cluster']}"
    identity = proof["identity"]
    seen = identity["arn"] if identity else "no AWS identity"
    warnings = [f"  warning   {warning}" for warning in proof.get("warnings", [])]
    if proof["proven"]:
        return [f"PROVEN {name}", f"  identity  {seen}", *map(describe_call, proof["calls"]), *warnings]
    return [
        f"NOT PROVEN {name}: {proof['cause']['id']}",
        f"  expected  {expectation(proof)}",
        f"  seen      {seen}",
        *map(describe_call, proof["calls"]),
        *warnings,
        f"  cause     {proof['cause']['text']}",
        f"  to do     {proof['advice']}",
    ]


def expectation(proof: Proof) -> str:
    """Whom the pod should have been, by its association."""
    arn = proof["target_role_arn"] or proof["role_arn"]
    role = Role.from_arn(arn) if arn else None
    if role is None:
        return "an association that names a role"
    return f"a session eks-... of role {role.name} in account {role.account}"


def describe_call(call: t.Mapping[str, t.Any]) -> str:
    """One call, what was expected of it and what came, with what it showed."""
    mark = "ok" if call["ok"] else "NOT OK"
    told = [f"{call['service']}.{call['operation']}", f"expected {call['expected']}:", call["outcome"]]
    if call["outcome"] == "error":
        told.append(f"({call.get('code', '')})")
    if call.get("shown") is not None:
        told.append(f"-> {shorten(call['shown'])}")
    if call.get("show_error"):
        told.append(f"-> show is no valid JMESPath: {call['show_error']}")
    return f"  {mark:<8}  {' '.join(told)}"


def shorten(shown: t.Any, limit: int = 400) -> str:
    """What an answer showed, on one line: names in a row, anything else as JSON."""
    if isinstance(shown, (list, tuple)) and all(isinstance(item, str) for item in shown):
        line = ", ".join(shown) or "none"
    else:
        line = shown if isinstance(shown, str) else json.dumps(shown, default=str)
    return line if len(line) <= limit else f"{line[:limit]}..."

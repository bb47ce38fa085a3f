# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Trust policy documents: observed document and wanted statements in, planned document, changes and findings out."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import ACTIONS
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import SERVICE
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import WRONG_SERVICE
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Statement
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import allows
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import as_list
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import canonical
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import only_assumes
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import services
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import sole_service
from ansible_collections.podidentity.eks.plugins.module_utils._workload.cluster import TrustError

Document = t.Mapping[str, t.Any]

VERSION = "2012-10-17"
#: IAM's quota "Role trust policy length": 2,048 characters, up to 8,192 on request; white space does not count.
SIZE_LIMIT = 2048
LARGEST_SIZE_LIMIT = 8192


@dataclasses.dataclass(frozen=True)
class StatementChange:
    """One statement added (no ``before``), removed (no ``after``) or changed."""

    before: Statement | None
    after: Statement | None

    def __str__(self) -> str:
        if self.before is None:
            return f"add trust statement {label(self.after or {})}"
        if self.after is None:
            return f"remove trust statement {label(self.before)}"
        return f"change trust statement {label(self.before)}"


@dataclasses.dataclass(frozen=True)
class TrustPlan:
    """What becomes of one trust policy. ``document`` is None when no statement is left."""

    document: dict[str, t.Any] | None
    findings: tuple[str, ...] = ()


def label(statement: Statement) -> str:
    """A statement's Sid, or what it allows or denies where it has none."""
    return str(statement.get("Sid") or f"without Sid that {described(statement)}")


def described(statement: Statement) -> str:
    """What a statement allows or denies, to whom, and on which conditions it depends."""
    verb = "denies" if statement.get("Effect") == "Deny" else "allows"
    conditions = [key for keys in (statement.get("Condition") or {}).values() for key in keys]
    depends = f", depending on {' and '.join(conditions)}" if conditions else ""
    resources = part(statement, "Resource")
    who_and_what = [part(statement, "Principal"), part(statement, "Action"), f"on {resources}" if resources else ""]
    return f"{' '.join(filter(None, [verb, *who_and_what]))}{depends}"


def part(statement: Statement, element: str) -> str:
    """The principals, actions or resources of a statement, as a sentence has them."""
    excluded = f"Not{element}" in statement
    value = statement.get(f"Not{element}" if excluded else element)
    listed = value.values() if isinstance(value, t.Mapping) else [value]
    names = ", ".join(str(name) for names in listed for name in as_list(names))
    return f"everything but {names}" if excluded else names


def parse(document: Document | str | None) -> dict[str, t.Any]:
    """A trust policy as a mapping; :class:`TrustError` when the text is no JSON object."""
    if not document:
        return {"Version": VERSION, "Statement": []}
    try:
        parsed = json.loads(document) if isinstance(document, str) else document
    except ValueError as error:
        raise TrustError(f"The trust policy is no JSON: {error}.") from error
    if not isinstance(parsed, t.Mapping):
        raise TrustError("The trust policy is no JSON object with Version and Statement.")
    return dict(parsed)


def same(one: Document, other: Document) -> bool:
    """Whether two policies mean the same."""
    return canonical(one) == canonical(other)


def statements_of(document: Document | None) -> list[Statement]:
    """All statements of a document that may be none, or have a single one outside a list."""
    return [item for item in as_list((document or {}).get("Statement")) if isinstance(item, t.Mapping)]


def size(document: Document) -> int:
    """Characters that IAM counts: all but white space."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return sum(not character.isspace() for character in text)


def ensure_statements(document: Document | str | None, wanted: t.Sequence[Statement], repair: bool = True) -> TrustPlan:
    """Merge the statements of workloads into the trust policy of a role that EKS assumes itself.

    Statements that are meant for Pod Identity and cannot work are put right (see :func:`repaired`) unless ``repair`` is
    false; every other foreign statement stays as it is.
    """
    return merge_statements(document, wanted, lambda statement: repaired(statement, repair))


def untouched(statement: Statement) -> tuple[Statement | None, list[str]]:
    """A foreign statement that nothing is to be said about."""
    return statement, []


def merge_statements(
    document: Document | str | None,
    wanted: t.Sequence[Statement],
    foreign: t.Callable[[Statement], tuple[Statement | None, list[str]]] = untouched,
) -> TrustPlan:
    """Merge statements into a document: each replaces the one with its Sid, in its place, or is appended.

    :param foreign: what becomes of any other statement, and what is to be said about it.
    """
    observed = parse(document)
    pending = {str(statement["Sid"]): statement for statement in wanted}
    ours = frozenset(pending)
    kept: list[Statement] = []
    findings: list[str] = []
    for before in as_list(observed.get("Statement")):
        if before.get("Sid") in ours:
            after = pending.pop(before["Sid"], None)  # None: a second statement with the same Sid
        else:
            after, found = foreign(before)
            findings += found
        if after is not None:
            kept.append(before if canonical(before) == canonical(after) else after)
    kept += pending.values()
    return TrustPlan(observed | {"Statement": kept} if kept else None, tuple(findings))


def repaired(statement: Statement, repair: bool) -> tuple[Statement | None, list[str]]:
    """A foreign statement as it should stand, and what is to be said about it.

    Two mistakes keep Pod Identity from assuming the role: the principal of the EKS control plane, and a missing
    sts:TagSession. Such a statement never worked. Where its author gave conditions they are kept and the mistake is
    corrected; without conditions the corrected form would trust every workload of the account, so it gives way to the
    scoped statements that the plan adds. None means: take it out.
    """
    service = sole_service(statement)
    if service not in (SERVICE, WRONG_SERVICE) or not only_assumes(statement):
        return statement, mixed_findings(statement)
    mistakes = []
    if service == WRONG_SERVICE:
        mistakes.append(f"it trusts {WRONG_SERVICE}, the EKS control plane, where Pod Identity is {SERVICE}")
    if not allows(statement, "sts:TagSession"):
        mistakes.append("it lacks sts:TagSession, without which EKS refuses the role")
    if not mistakes:
        return statement, open_findings(statement)
    what = f"Trust statement {label(statement)} cannot work for Pod Identity: {' and '.join(mistakes)}"
    if not repair and service == WRONG_SERVICE:
        return statement, [f"{what}; left alone, because this looks like the role of an EKS cluster."]
    if not statement.get("Condition"):
        return None, [f"{what}; replaced by the statements of the declared workloads."]
    return {**statement, "Principal": {"Service": SERVICE}, "Action": list(ACTIONS)}, [f"{what}; put right."]


def mixed_findings(statement: Statement) -> list[str]:
    """The wrong principal beside others: whose statement it is cannot be told, so it is only named."""
    if statement.get("Effect") == "Allow" and SERVICE in services(statement) and WRONG_SERVICE in services(statement):
        return [
            f"Trust statement {label(statement)} trusts {WRONG_SERVICE}, the EKS control plane, beside {SERVICE}; left "
            "alone: take it out if the role is not a cluster's."
        ]
    return []


def open_findings(statement: Statement) -> list[str]:
    """A foreign statement that lets every association of the account use the role (a risk, not a failure)."""
    if statement.get("Condition"):
        return []
    return [
        f"Trust statement {label(statement)} has no conditions: whoever may pass this role can use it for any workload "
        "of any cluster in the account. It is not ours and was left alone; remove it when nothing else needs it."
    ]


def remove_statements(document: Document | str | None, sids: t.Collection[str]) -> dict[str, t.Any] | None:
    """Take the statements with these Sids out and leave every other as it is; None when none is left."""
    observed = parse(document)
    kept = [statement for statement in as_list(observed.get("Statement")) if statement.get("Sid") not in sids]
    return observed | {"Statement": kept} if kept else None


def differences(before: Document | None, after: Document | None) -> t.Iterator[StatementChange]:
    """Statement by statement what one document has and the other has not."""
    old, new = labelled(before), labelled(after)
    for name, statement in old.items():
        if name not in new:
            yield StatementChange(statement, None)
        elif canonical(statement) != canonical(new[name]):
            yield StatementChange(statement, new[name])
    yield from (StatementChange(None, statement) for name, statement in new.items() if name not in old)


def labelled(document: Document | None) -> dict[str, Statement]:
    """Statements by their Sids, or by what they say; those that are called alike are numbered."""
    found: dict[str, Statement] = {}
    for statement in statements_of(document):
        name = called = label(statement)
        number = 1
        while name in found:
            number += 1
            name = f"{called} ({number})"
        found[name] = statement
    return found


def size_problems(document: Document, where: str, limit: int = SIZE_LIMIT) -> list[str]:
    """One sentence when IAM would refuse the document for its size, with what to do."""
    characters = size(document)
    if characters <= limit:
        return []
    quota = (
        f" or have the quota 'Role trust policy length' raised (to {LARGEST_SIZE_LIMIT} at most) and say so"
        if limit < LARGEST_SIZE_LIMIT
        else ""
    )
    return [
        f"The trust policy of {where} would have {characters} characters without white space, IAM takes {limit}: give "
        f"some of its workloads a role of their own{quota}."
    ]

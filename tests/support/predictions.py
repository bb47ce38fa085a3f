# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a check run has predicted beside what the run did: the plan of the one, and two readings around the other."""

from __future__ import annotations

import re
import typing as t

from support.account_state import Fields
from support.account_state import Key

#: Action, and what is known of both sides.
Changes = dict[Key, tuple[str, Fields, Fields]]
#: What nobody knows before AWS has made it.
ID = re.compile(r"^(subnet|sg|vpc|lt|igw|nat|eipalloc)-")
#: Fields of a prediction that hold IDs of AWS, or that EKS does not tell afterwards.
UNKNOWN = {"statements", "subnets", "launch_template", "namespace"}
#: What EKS takes and does not answer.
UNTOLD = {"bootstrap_cluster_creator_admin_permissions"}
POLICY = re.compile(r"(attach|detach|write inline policy|remove inline policy) (.+)")
STATEMENT = re.compile(r"(add|change|remove) trust statement")
TAG = re.compile(r"set tag ([^=]+)=(.*)")


def predicted(plan: t.Mapping[str, t.Any]) -> Changes:
    """The changes of a plan, by kind and name."""
    found: Changes = {}
    for one in [*plan["resources"], *plan["addons"]]:
        sides = [{field: values[side] for field, values in one["changes"].items()} for side in ("before", "after")]
        found[one["kind"], one["name"]] = (one["action"], sides[0], sides[1])
    for role in plan["roles"]:
        # A role that is narrowed after its association stands in a plan twice.
        action, _before, old = found.get(("role", role["name"]), (role["action"], {}, {}))
        found["role", role["name"]] = (action, {}, {"words": [*old.get("words", []), *role["changes"]]})
    for one in plan["service_accounts"]:
        found[one["kind"], one["name"]] = (one["action"], {}, {})
    for one in plan["associations"]:
        values = one["changes"] or {}
        sides = [{field: value[side] for field, value in values.items()} for side in ("before", "after")]
        found["association", f"{one['namespace']}/{one['service_account']}"] = (one["action"], sides[0], sides[1])
    for one in plan["restarts"]:
        found[one["kind"], f"{one['namespace']}/{one['name']}"] = ("update", {}, {})
    return found


def contradictions(said: Changes, done: Changes) -> list[str]:
    """One line for each item that only one side has, or that has become something else than was said."""
    lines = [f"not predicted: {done[key][0]} {' '.join(key)}" for key in done if key not in said]
    lines += [f"predicted only: {said[key][0]} {' '.join(key)}" for key in said if key not in done]
    for key in said.keys() & done.keys():
        action = "update" if said[key][0] == "adopt" else said[key][0]
        if action == "replace":
            action = "update"
        if action != done[key][0]:
            lines.append(f"{' '.join(key)}: {action} was predicted, {done[key][0]} was done")
        elif action == "delete":
            continue
        elif key[0] == "role" and "words" in said[key][2]:
            lines += _role_contradictions(key, said[key][2]["words"], *done[key][1:])
        else:
            lines += [f"{' '.join(key)}: {line}" for line in _fields(key[0], *said[key], *done[key][1:])]
    return sorted(lines)


def _fields(kind: str, action: str, _old: Fields, said: Fields, before: Fields, after: Fields) -> t.Iterator[str]:
    for field, value in said.items():
        if field == "route" if kind == "route table" else field in UNKNOWN:
            continue
        if action == "update" and field not in after:
            yield f"{field} was predicted to become {value!r} and has not changed"
        elif not _within(_policies_of(value) if field == "policies" else value, after.get(field)):
            yield f"{field}: predicted {value!r}, found {after.get(field)!r}"
    if action == "update" and said:
        unsaid = {field for field in after if before.get(field) != after[field]} - set(said) - UNKNOWN
        yield from (f"{field} was not predicted to change: {before.get(field)!r}" for field in sorted(unsaid))
    if kind == "access entry" and action == "create":
        yield from (f"{field} was not predicted" for field in ("username", "kubernetes_groups") if field not in said)


def _policies_of(value: t.Any) -> t.Any:
    """Access policies as they are read."""
    return [(one["policy"], one["namespaces"]) for one in value or []]


def _within(said: t.Any, found: t.Any) -> bool:
    """Whether everything that is known before is as it was said; nothing and empty are the same."""
    if isinstance(said, dict) and isinstance(found, dict):
        told = {key: value for key, value in said.items() if value is not None and key not in UNTOLD}
        return all(_within(value, found.get(key)) for key, value in told.items())
    if isinstance(said, list) and isinstance(found, list):
        if any(isinstance(one, str) and ID.match(one) for one in said):
            return len(said) == len(found)
        if said and isinstance(said[0], dict):
            return len(said) == len(found) and all(map(_within, said, found))
        return sorted(map(str, said)) == sorted(map(str, found))
    return said == found or (not said and not found) or bool(isinstance(said, str) and ID.match(said))


def _role_contradictions(key: Key, words: t.Sequence[str], before: Fields, after: Fields) -> list[str]:
    """Policies, statements and tags of a workload's role, beside the words of the plan."""
    said = {(match[1], match[2]) for word in words if (match := POLICY.fullmatch(word))}
    done = set(_policies(before, after))
    lines = [f"{' '.join(key)}: predicted {sorted(said - done)}, done {sorted(done - said)}"] if said != done else []
    old, new = before.get("statements", {}), after.get("statements", {})
    touched = [sid for sid in {*old, *new} if old.get(sid) != new.get(sid)]
    if bool(touched) != any(STATEMENT.match(word) for word in words):
        lines.append(f"{' '.join(key)}: statements {touched} changed, and the words were {list(words)}")
    tags = {match[1]: match[2] for word in words if (match := TAG.fullmatch(word))}
    if before and tags != {k: v for k, v in after.get("tags", {}).items() if before.get("tags", {}).get(k) != v}:
        lines.append(f"{' '.join(key)}: tags {tags} were predicted, found {after.get('tags')}")
    return lines


def _policies(before: Fields, after: Fields) -> t.Iterator[tuple[str, str]]:
    old, new = before.get("managed_policies", []), after.get("managed_policies", [])
    yield from (("attach", arn.rpartition("/")[2]) for arn in new if arn not in old)
    yield from (("detach", arn.rpartition("/")[2]) for arn in old if arn not in new) if after else ()
    before_inline, after_inline = before.get("inline", {}), after.get("inline", {})
    for name, document in after_inline.items():
        if before_inline.get(name) != document:
            yield "write inline policy", name
    yield from (("remove inline policy", name) for name in before_inline if name not in after_inline) if after else ()


def sentences(changes: Changes) -> list[str]:
    """The changes as a person reads them in a table."""
    return [f"{action} {kind} {name}" for (kind, name), (action, _before, _after) in sorted(changes.items())]

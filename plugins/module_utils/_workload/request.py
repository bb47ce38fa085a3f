# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""A workload that is requested by the answers of a survey, and what a request may not ask for.

AWX writes answers as ``!unsafe`` YAML, and ansible-core 2.19 gives such scalars a type: an empty answer arrives as
None, ``007`` as the number 7 and ``on`` as true. What was typed is then lost, so an answer that is no text is refused.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import re
import typing as t

if t.TYPE_CHECKING:
    import collections.abc as c

Workload = dict[str, t.Any]

#: The answers, and what a sentence calls them.
LABELS = {
    "namespace": "namespace",
    "service_account": "service account",
    "role": "IAM role",
    "managed_policies": "managed policies",
    "allow": "calls that must be allowed",
}
CALL = re.compile(r"(?P<service>[a-z0-9-]+)\.(?P<operation>[a-z0-9_]+)")
#: A policy of AWS has the same name in every partition.
AWS_POLICY = re.compile(r"arn:aws[a-z-]*:iam::aws:policy/(?P<name>.+)")
#: The limits, what they limit, and the variable that sets each.
LIMITS = {
    "namespaces": ("namespace", "podidentity_allowed_namespaces"),
    "role_names": ("role", "podidentity_allowed_role_names"),
    "policies": ("managed policy", "podidentity_allowed_policies"),
}
#: What a playbook does with answers: it takes them, needs them, or refuses them.
USES = ("taken", "required", "refused")


class RequestError(ValueError):
    """A request that is refused, in one sentence."""


@dataclasses.dataclass(frozen=True)
class Rules:
    """What a request is compared with."""

    #: What the inventory declares for this cluster.
    declared: t.Sequence[t.Any] = ()
    #: One of :data:`USES`.
    use: str = "taken"
    #: By a key of :data:`LIMITS` a list of patterns; None is no limit.
    limits: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


def requested(answers: t.Mapping[str, t.Any], rules: Rules) -> list[Workload]:
    """The requested workload as the only item; without any answer nothing is requested.

    :raises RequestError: when the answers are incomplete, or ask for what they may not.
    """
    given = {key: as_text(key, answer) for key, answer in answers.items()}
    if not any(given.values()):
        if rules.use == "required":
            raise RequestError("No workload is requested: answer at least namespace and service account.")
        return []
    if rules.use == "refused":
        named = ", ".join(f"podidentity_request_{key}" for key, answer in given.items() if answer)
        raise RequestError(
            f"This playbook takes no answers of a survey, and got {named}: take them out, or use the playbook "
            "podidentity.eks.request."
        )
    known = declaration_of(given, rules.declared)
    if known is None:
        return [new_workload(given, rules)]
    return [declared_workload(given, known)]


def as_text(key: str, answer: object) -> str:
    """An answer as it was typed.

    :raises RequestError: when its text is lost.
    """
    if answer is None:
        return ""
    if isinstance(answer, (list, tuple)):  # of a question with several choices
        return "\n".join(as_text(key, one) for one in answer)
    if not isinstance(answer, str):
        raise RequestError(
            f'The answer "{LABELS.get(key, key)}" arrived as {answer!r} and not as a text, so that leading zeros or '
            'the word that was typed are lost: answer it in double quotes, such as "007".'
        )
    text = answer.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1].strip() if quoted else text


def declaration_of(given: t.Mapping[str, str], declared: t.Sequence[t.Any]) -> Workload | None:
    """What the inventory declares for the requested service account; keys are compared as texts."""
    wanted = [given.get("namespace"), given.get("service_account")]
    for one in declared:
        if isinstance(one, t.Mapping) and [str(one.get(key)) for key in ("namespace", "service_account")] == wanted:
            return dict(one)
    return None


def declared_workload(given: t.Mapping[str, str], known: Workload) -> Workload:
    """The workload as the inventory declares it, which a request neither changes nor removes."""
    name = f"{known['namespace']}/{known['service_account']}"
    if any(given.get(key) for key in ("role", "managed_policies", "allow")):
        raise RequestError(
            f"The inventory declares {name}: leave the other answers empty to apply it as declared, or change it in "
            "the inventory."
        )
    if known.get("state", "present") != "present":
        raise RequestError(
            f"The inventory declares {name} as absent, and a request removes nothing: apply the inventory."
        )
    return known


def new_workload(given: t.Mapping[str, str], rules: Rules) -> Workload:
    """A workload that only the request describes."""
    missing = [f"{'an' if key == 'role' else 'a'} {LABELS[key]}" for key in list(LABELS)[:3] if not given.get(key)]
    if missing:
        exception = "" if rules.use == "required" else ", or leave every answer empty for all that it declares"
        raise RequestError(
            f"The survey's answers lack {' and '.join(missing)}: answer namespace, service account and IAM role; the "
            f"role may be left out for a workload that the inventory declares{exception}."
        )
    policies = lines(given.get("managed_policies", ""))
    check_limits(given, policies, rules.limits)
    role: dict[str, t.Any] = {"arn" if given["role"].startswith("arn:") else "name": given["role"]}
    if policies:
        role["managed_policies"] = policies
    calls = [read_call(line) for line in lines(given.get("allow", ""))]
    workload: Workload = {"namespace": given["namespace"], "service_account": given["service_account"], "role": role}
    return workload | ({"prove": {"allow": calls}} if calls else {})


def lines(answer: str) -> list[str]:
    """What stands on the lines of an answer."""
    return [line.strip() for line in answer.splitlines() if line.strip()]


def read_call(line: str) -> dict[str, str]:
    """A call such as ``s3.list_buckets``."""
    match = CALL.fullmatch(line)
    if not match:
        raise RequestError(f'The survey names the call "{line}": give service and operation, as s3.list_buckets.')
    return match.groupdict()


# --- limits -----------------------------------------------------------------------------------------------------------


def check_limits(given: t.Mapping[str, str], policies: c.Iterable[str], limits: t.Mapping[str, t.Any]) -> None:
    """Refuse what no pattern of a limit matches."""
    # A role that exists is known by its ARN, whose last part is its name.
    asked = {
        "namespaces": [given["namespace"]],
        "role_names": [given["role"].rsplit("/", 1)[-1]],
        "policies": [policy_name(policy) for policy in policies],
    }
    for limit, values in asked.items():
        patterns = limits.get(limit)
        if patterns is not None:
            check_limit(limit, values, patterns)


def check_limit(limit: str, values: t.Iterable[str], patterns: object) -> None:
    """Refuse values that no pattern matches."""
    what, variable = LIMITS[limit]
    if not isinstance(patterns, (list, tuple)) or not all(isinstance(one, str) for one in patterns):
        raise RequestError(f"{variable} must be a list of texts; got {patterns!r}.")
    allowed = [policy_name(pattern) for pattern in patterns]
    for value in values:
        if not any(fnmatch.fnmatchcase(value, pattern) for pattern in allowed):
            raise RequestError(
                f'The request asks for the {what} "{value}", which {variable} does not allow: ask for '
                f"{' or '.join(patterns) if patterns else 'none'}."
            )


def policy_name(policy: str) -> str:
    """The name of a policy of AWS however it was written; another policy's ARN as it is."""
    match = AWS_POLICY.fullmatch(policy)
    return match["name"] if match else policy

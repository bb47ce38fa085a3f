# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Causes that show when AWS is called: who the pod is, and what it may do."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import Case
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import Cause
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import is_met
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import results
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import Fault
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import sentence
from ansible_collections.podidentity.eks.plugins.module_utils._trust.role import INLINE_POLICY_NAME
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import canonical
from ansible_collections.podidentity.eks.plugins.module_utils._workload.prove import Call

#: An explicit Deny in whatever of the role's own policies.
_DENY = "explicit deny in an? "
#: What AWS says of a denial, the cause it stands for, and what to do
#: (IAM user guide, "Troubleshoot access denied error messages").
DENIALS: t.Sequence[tuple[str, str, str]] = (
    (
        f"(no |{_DENY})permissions boundary",
        "boundary_denies",
        "Widen the permissions boundary of role {role} to {what}, or give the role another one: a role may do only "
        "what its boundary allows as well.",
    ),
    (
        f"(no |{_DENY})session policy",
        "session_policy_denies",
        "Widen the session policy of the association (policy) to {what}: the pod may do only what role {role} and the "
        "session policy both allow.",
    ),
    (
        f"(no |{_DENY})(service|resource) control policy",
        "organization_denies",
        "Ask whoever keeps the service and resource control policies of the organization to let role {role} do {what}.",
    ),
    (
        f"(no |{_DENY})(resource-based|VPC endpoint) policy",
        "resource_policy_denies",
        "Let the policy of the resource, or of the VPC endpoint on the way to it, allow role {role} {what}.",
    ),
    (
        f"{_DENY}identity-based policy",
        "policy_denies",
        "Take the Deny for {what} out of the policies of role {role}; it wins over whatever allows.",
    ),
)
NOT_ALLOWED = (
    "permission_missing",
    "Give role {role} a policy that allows {what}; if it has one, look for a permissions boundary, a session policy or "
    "a service control policy that does not.",
)


def credentials_failed(case: Case) -> Cause | None:
    """No identity, and none of the reasons that are known by name."""
    document = case.document
    if document is None or document.identity is not None:
        return None
    fault = document.credentials_fault or document.identity_fault or Fault("no credentials", "", "the SDK found none")
    return Cause(
        "identity_unknown",
        f"The pod could not ask AWS who it is: {fault.type}: {sentence(fault.message)}.",
        "Make sure that pods reach STS of the region, and that the pod's region is right.",
    )


def wrong_identity(case: Case) -> Cause | None:
    """Credentials by Pod Identity, but not those that the association stands for."""
    identity = case.document.identity if case.document else None
    role = case.role
    if identity is None or role is None:
        return None
    held = f"the pod held {identity.arn}, and its association stands for {role.arn}"
    advice = (
        "Run again when the association's last change is some seconds old; if it stays so, restart the agent's pods."
    )
    if identity.account != role.account:
        return Cause("wrong_account", f"Another account: {held}.", advice)
    if identity.role != role.name:
        return Cause("wrong_role", f"Another role: {held}.", advice)
    if not identity.session_name.startswith("eks-"):
        return Cause(
            "wrong_session", f"Not a session of EKS Pod Identity, whose names begin with eks-: {held}.", advice
        )
    return None


def deny_allowed(case: Case) -> Cause | None:
    done = [call for call, result in results(case) if call.expected == "deny" and result.outcome == "allowed"]
    if not done:
        return None
    names = " and ".join(map(call_name, done))
    return Cause(
        "deny_allowed",
        f"{names} was to be denied and was allowed: role {role_name(case)} may do more than declared, and whatever the "
        f"call does has been done{attached(case)}.",
        f"Take that permission from role {role_name(case)}, and undo what {names} did.",
    )


def session_tags_refused(case: Case) -> Cause | None:
    """A role that the pod assumes next gets the session's transitive tags, and must be willing to."""
    refused = [call for call, word in denials(case) if "not authorized to perform: sts:TagSession" in word]
    if not refused:
        return None
    role = refused[0].parameters.get("RoleArn", "the next role")
    return Cause(
        "session_tags_refused",
        f"Role {role_name(case)} may not hand its session tags on to {role}, which {call_name(refused[0])} was to "
        "assume.",
        f"Allow sts:TagSession beside sts:AssumeRole, in the trust policy of {role} and in the policies of "
        f"{role_name(case)}, or switch the association's session tags off (disable_session_tags).",
    )


def permission_denied(case: Case) -> Cause | None:
    """An allowed call was denied: by which kind of policy is in AWS's own words, for most services."""
    denied = denials(case)
    if not denied:
        return None
    names = " and ".join(call_name(call) for call, _word in denied)
    words = [word for _call, word in denied if word]
    said = f"; AWS said: {words[0]}" if words else ""
    # What IAM calls the permission is often not what the SDK calls the operation (s3:ListAllMyBuckets).
    actions = [action for word in words for action in re.findall(r"not authorized to perform: ([\w-]+:\w+)", word)]
    what = " and ".join(dict.fromkeys(actions)) or names
    cause, advice = next(
        (found for words_of, *found in DENIALS if any(re.search(words_of, word) for word in words)), NOT_ALLOWED
    )
    if cause == NOT_ALLOWED[0] and (missing := unattached(case)):
        subject = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'}"
        advice = f"{subject} declared and not attached as declared: run the playbook podidentity.eks.workload."
    return Cause(
        cause,
        f"Role {role_name(case)} was denied {names}{attached(case)}{said}.",
        advice.format(role=role_name(case), what=what),
    )


def denials(case: Case) -> list[tuple[Call, str]]:
    """The allowed calls that were denied, with what AWS said."""
    return [
        (call, aws_words(result.fault) if result.fault else "")
        for call, result in results(case)
        if call.expected == "allow" and result.outcome == "denied"
    ]


def call_name(call: Call) -> str:
    return f"{call.service}.{call.operation}"


def aws_words(fault: Fault) -> str:
    """What AWS said, without what boto3 puts before it."""
    return sentence(re.sub(r"^An error occurred \(.*?\) when calling the \w+ operation[^:]*: ", "", fault.message))


def attached(case: Case) -> str:
    """The role's policies as a clause, empty if they are not known."""
    facts = case.surroundings.roles.get(case.role.arn) if case.role else None
    if facts is None or not facts.exists:
        return ""
    return f"; attached to it: {', '.join(facts.policies)}" if facts.policies else "; no policy is attached to it"


def unattached(case: Case) -> list[str]:
    """Policies that are declared for the pod's role and that it does not have, as far as it was read."""
    facts = case.surroundings.roles.get(case.role.arn) if case.role else None
    if facts is None or not facts.exists:
        return []
    missing = [name for name in case.workload.managed_policies if name.rpartition("/")[2] not in facts.managed]
    inline, found = case.workload.inline_policy, facts.inline.get(INLINE_POLICY_NAME)
    if inline is not None and (found is None or canonical(inline) != canonical(found)):
        missing.append(f"Inline policy {INLINE_POLICY_NAME}")
    return missing


def role_name(case: Case) -> str:
    return case.role.name if case.role else "unknown"


def call_failed(case: Case) -> Cause | None:
    failed = [pair for pair in results(case) if not is_met(*pair)]
    if not failed:
        return None
    call, result = failed[0]
    fault = result.fault or Fault("no answer", "", "the call was not made")
    if fault.code.startswith("PackedPolicyTooLarge"):
        return session_too_large(call, fault)
    return Cause(
        "call_failed",
        f"{call_name(call)} failed for another reason than a permission: "
        f"{fault.code or fault.type}: {aws_words(fault)}.",
        "Correct the call's parameters in the workload's prove, or what the message names, and run again.",
    )


def session_too_large(call: Call, fault: Fault) -> Cause:
    return Cause(
        "session_too_large",
        f"The session that {call_name(call)} asked for is too large: {aws_words(fault)}.",
        "Ask for a shorter session policy or fewer tags. The six tags of EKS Pod Identity go on to every next session "
        "and take most of the room: the association's disable_session_tags leaves them out.",
    )


def unexplained(_case: Case) -> Cause:
    return Cause(
        "unexplained",
        "The pod's answer does not fit what was declared.",
        "Run again with verify_keep set to true, and look at the pod's log.",
    )

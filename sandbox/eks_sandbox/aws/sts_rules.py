# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What STS refuses of sts:AssumeRole beyond its model: durations, session tags, session policies.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
"""

from __future__ import annotations

import typing as t

from eks_sandbox.aws.errors import ServiceError
from eks_sandbox.aws.model import Parameters
from eks_sandbox.aws.policy_documents import Malformed
from eks_sandbox.aws.policy_documents import check_permissions

DEFAULT_DURATION = 3600
#: Longest session of a role that a session of a role assumes.
CHAINED_DURATION = 3600
#: Characters that fill the packed form of a session, by what they are part of. AWS does not publish how it packs; this
#: estimate makes the six tags of Pod Identity take about three quarters, as users see it
#: (https://github.com/aws/containers-roadmap/issues/2413).
PACKED_TAGS, PACKED_POLICIES = 520, 2048

Tags = dict[str, str]


def check_duration(parameters: Parameters, longest: int, *, chained: bool) -> None:
    """Refuse a session longer than the role or role chaining allows; raises ServiceError."""
    duration = parameters.get("DurationSeconds", DEFAULT_DURATION)
    message = ""
    if chained and duration > CHAINED_DURATION:
        message = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
    elif duration > longest:
        message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
    if message:
        raise ServiceError("ValidationError", message, status=400)


def check_policy(parameters: Parameters) -> None:
    """Refuse a malformed session policy; raises ServiceError."""
    if "Policy" not in parameters:
        return
    try:
        check_permissions(parameters["Policy"])
    except Malformed as error:
        raise ServiceError("MalformedPolicyDocument", str(error), status=400) from error


def tags_of(parameters: Parameters, inherited: Tags) -> Tags:
    """All tags of the new session: the requested ones and the transitive ones of the calling session.

    Raises ServiceError if they contradict each other. https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html
    """
    asked = {tag["Key"]: tag["Value"] for tag in parameters.get("Tags", [])}
    lowered = {key.lower() for key in asked}
    if lowered & {key.lower() for key in inherited}:
        raise ServiceError(
            "InvalidParameterValue",
            "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key "
            "from the calling session.",
            status=400,
        )
    if {key.lower() for key in parameters.get("TransitiveTagKeys", [])} - lowered:
        message = "The specified transitive tag key must be included in the requested tags."
        raise ServiceError("InvalidParameterValue", message, status=400)
    return {**inherited, **asked}


def transitive_keys(parameters: Parameters, inherited: Tags) -> list[str]:
    """Keys of the tags that the next role in the chain inherits."""
    return [*inherited, *parameters.get("TransitiveTagKeys", [])]


def packed_size(parameters: Parameters, tags: Tags, transitive: t.Sequence[str]) -> int:
    """Per cent of the packed size that a session takes; raises ServiceError (PackedPolicyTooLarge) over 100."""
    tagged = sum(len(key) + len(value) for key, value in tags.items()) + sum(map(len, transitive))
    policies = [parameters.get("Policy", ""), *(policy["arn"] for policy in parameters.get("PolicyArns", []))]
    percent = 100 * tagged // PACKED_TAGS + 100 * sum(map(len, policies)) // PACKED_POLICIES
    if percent > 100:
        what = "Packed policy" if any(policies) else "Packed size of session tags"
        raise ServiceError("PackedPolicyTooLarge", f"{what} consumes {percent}% of allotted space.", status=400)
    return percent

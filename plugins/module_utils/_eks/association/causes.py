# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Why a call was refused, and what to do about it."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .. import codes
from .. import common
from . import calls

if t.TYPE_CHECKING:
    from mypy_boto3_eks.client import EKSClient

    from .objects import Step

# EKS's messages drift, so these ask for no more than what makes them different from others.
ROLE_NOT_SEEN = re.compile(r"\brole\b.*\bdoes not exist", re.IGNORECASE)
TRUST_REFUSED = re.compile(r"\btrust policy\b.*\binvalid", re.IGNORECASE)
ASSOCIATION_ID = re.compile(r"\ba-[0-9a-z]{10,}\b")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Failure:
    """A step that could not be made."""

    step: Step
    error: common.AnsibleEKSError
    #: What is wrong, and what to do; empty where nobody knows more than the service says.
    cause: str = ""
    advice: str = ""
    #: Whether some of its calls were carried out.
    written: bool = False

    @property
    def explained(self) -> common.AnsibleEKSError:
        """The error with cause and advice; the service's own words follow them."""
        if not self.cause:
            return self.error
        return common.AnsibleEKSError(
            "; ".join(filter(None, [self.cause, self.advice])), exception=self.error.exception
        )

    @property
    def explanation(self) -> str:
        """All of it in one sentence."""
        return str(self.explained)

    def render(self) -> dict[str, t.Any]:
        """As the module returns it."""
        code, message = common.error_of(self.error)
        return {
            "namespace": self.step.spec.namespace,
            "service_account": self.step.spec.service_account,
            "action": self.step.action,
            "code": code or type(self.error.exception or self.error).__name__,
            "message": message or str(self.error.exception or self.error),
            "cause": self.cause or str(self.error.message),
            "advice": self.advice,
        }


def is_not_seen_yet(error: common.AnsibleEKSError) -> bool:
    """Whether EKS may not yet see what was done to a role in IAM a moment ago."""
    code, message = common.error_of(error)
    return code == codes.INVALID_PARAMETER and bool(ROLE_NOT_SEEN.search(message) or TRUST_REFUSED.search(message))


def failure(client: EKSClient, step: Step, error: common.AnsibleEKSError, waited: float, written: bool) -> Failure:
    """A failure with its cause and what to do about it, where that is known.

    :param waited: for how many seconds EKS had time to see the role.
    """
    cause, advice = cause_and_advice(client, step, error, waited)
    return Failure(step=step, error=error, cause=cause, advice=advice, written=written)


def cause_and_advice(client: EKSClient, step: Step, error: common.AnsibleEKSError, waited: float) -> tuple[str, str]:
    """What is wrong and what to do, one clause each; empty where nobody knows more than the service says."""
    code, message = common.error_of(error)
    spec = step.spec
    if ROLE_NOT_SEEN.search(message):
        cause = f"EKS did not see the role {spec.role_arn} within {waited:g} seconds"
        return cause, "create the role, or correct role_arn"
    if TRUST_REFUSED.search(message):
        cause = f"EKS refuses the trust policy of the role {spec.role_arn}, after {waited:g} seconds"
        return cause, "it must allow the principal pods.eks.amazonaws.com both sts:AssumeRole and sts:TagSession"
    if code in codes.ACCESS_DENIED and "iam:PassRole" in message:
        cause = f"The caller may not pass the role {spec.role_arn} to EKS"
        advice = "allow it iam:PassRole on that role, with the condition iam:PassedToService pods.eks.amazonaws.com"
        return cause, advice
    if code == "ResourceLimitExceededException":
        cause = f"Cluster {spec.cluster_name} has as many associations as EKS allows"
        return cause, "delete some that nobody needs"
    if code == "ResourceNotFoundException" and step.action in ("create", "replace"):
        return calls.missing_cluster(client, spec.cluster_name), ""
    return "", ""

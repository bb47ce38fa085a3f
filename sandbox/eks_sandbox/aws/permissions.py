# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What IAM checked for callers, and which permissions they used, as CloudTrail shows."""

from __future__ import annotations

import collections
import dataclasses
import fnmatch
import typing as t


@dataclasses.dataclass(frozen=True)
class Question:
    """Whether a caller may do one action on one resource; a request succeeds if every check allows it."""

    #: ``ec2:CreateSubnet``
    action: str
    #: An ARN; its last part is ``*`` if the resource does not exist yet.
    resource: str
    #: Condition keys of the request and of this resource.
    keys: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


def request_tag_keys(tags: t.Mapping[str, str]) -> dict[str, t.Any]:
    """The condition keys of tags in a request; without tags there is no aws:TagKeys."""
    keys: dict[str, t.Any] = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
    return {**keys, "aws:TagKeys": list(tags)} if tags else keys


def resource_tag_keys(tags: t.Mapping[str, str], *services: str) -> dict[str, str]:
    """The condition keys of tags that something has; some services have keys of their own beside those of AWS."""
    return {f"{space}:ResourceTag/{key}": value for space in ("aws", *services) for key, value in tags.items()}


class Permissions:
    """Every action that was evaluated since the start or the last clearing, by caller."""

    def __init__(self) -> None:
        #: By caller's ARN and action: the resources, and whether each was allowed.
        self._used: dict[tuple[str, str], dict[str, bool]] = collections.defaultdict(dict)

    def add(self, caller: str, action: str, resource: str, allowed: bool) -> None:
        """IAM checked whether a caller may do an action on a resource."""
        self._used[caller, action][resource] = allowed

    def clear(self) -> None:
        """Forget everything."""
        self._used.clear()

    def document(self, caller: str = "*") -> dict[str, t.Any]:
        """For JSON: each action of the callers that match a pattern, with its resources, allowed and denied.

        The actions are in the order of their first check.
        """
        shown: dict[str, dict[str, set[str]]] = {}
        for (arn, action), resources in self._used.items():
            if fnmatch.fnmatchcase(arn, caller):
                answers = shown.setdefault(action, {"allowed": set(), "denied": set()})
                for resource, allowed in resources.items():
                    answers["allowed" if allowed else "denied"].add(resource)
        return {
            action: {answer: sorted(resources) for answer, resources in answers.items()}
            for action, answers in shown.items()
        }

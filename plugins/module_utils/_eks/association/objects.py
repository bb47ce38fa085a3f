# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The nouns: a declared association, one that is there, and the steps of a plan between them."""

from __future__ import annotations

import dataclasses
import json
import typing as t

if t.TYPE_CHECKING:
    import collections.abc as c

from .. import common
from ..validation import quoted

#: The fields that UpdatePodIdentityAssociation can change, and what the API calls them.
UPDATABLE = {
    "role_arn": "roleArn",
    "target_role_arn": "targetRoleArn",
    "disable_session_tags": "disableSessionTags",
    "policy": "policy",
}

#: Namespace and service account: what an association is found by within its cluster.
Key = tuple[str, str]
ActionName = t.Literal["create", "update", "adopt", "replace", "delete", "unchanged", "skipped"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AssociationSpec:
    """What is declared about the association of one service account.

    ``None`` leaves a field as it is, an empty string removes a target role or a policy. A namespace and a service
    account have at most one association in a cluster, and it cannot move: these two are its key.
    """

    cluster_name: str
    namespace: str
    service_account: str
    present: bool = True
    #: The association that is meant; when it is another service account's, it is replaced.
    association_id: str | None = None
    role_arn: str | None = None
    target_role_arn: str | None = None
    disable_session_tags: bool | None = None
    policy: str | None = None
    tags: t.Mapping[str, str] | None = None
    purge_tags: bool = True
    #: Tags that it gets when it is made, and never later.
    creation_tags: t.Mapping[str, str] | None = None
    #: Tags that tell ours from those that somebody else made; None when nobody asks.
    marks: t.Mapping[str, str] | None = None
    #: Whether one that somebody else made becomes ours.
    adopt: bool = False
    #: Whether one that somebody else made is changed as declared without becoming ours; it is never deleted.
    update_foreign: bool = False
    #: Whether an association may be changed or deleted that belongs to an add-on, or that somebody else made.
    force_owned: bool = False
    #: Whether it carries a hash of what is declared, for the fast mode.
    indexed: bool = False

    @property
    def key(self) -> Key:
        return self.namespace, self.service_account

    def __str__(self) -> str:
        return (
            f"association {quoted(f'{self.namespace}/{self.service_account}')} in cluster {quoted(self.cluster_name)}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Association:
    """An association as EKS has it, or as it will have it: then what only EKS knows is ``None``."""

    cluster_name: str
    namespace: str
    service_account: str
    association_id: str | None = None
    association_arn: str | None = None
    role_arn: str | None = None
    target_role_arn: str | None = None
    disable_session_tags: bool | None = False
    policy: str | None = None
    #: ARN of the add-on that made it and keeps it.
    owner_arn: str | None = None
    external_id: str | None = None
    #: None where only the list was looked at, as with everything else that the list does not tell.
    tags: t.Mapping[str, str] | None = dataclasses.field(default_factory=dict)
    created_at: str | None = None
    modified_at: str | None = None

    @property
    def key(self) -> Key:
        return self.namespace, self.service_account

    def carries(self, marks: t.Mapping[str, str]) -> bool:
        """Whether it has all these tags."""
        return marks.items() <= (self.tags or {}).items()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a plan: what happens to one association, and how it looks before and after."""

    action: ActionName
    spec: AssociationSpec
    before: Association | None
    after: Association | None
    #: The calls that carry it out, in order.
    calls: tuple[common.Action, ...] = ()
    #: Why it was skipped.
    reason: str = ""
    #: Whether it becomes ours by this step.
    adopted: bool = False

    @property
    def change(self) -> common.Change:
        """The step as every module reports it."""
        return common.Change(
            before=render(self.before) if self.before else None,
            after=render(self.after) if self.after else None,
            actions=self.calls,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What has to happen so that the declared associations are there; ``problems`` forbid to start."""

    steps: tuple[Step, ...] = ()
    problems: tuple[str, ...] = ()

    def steps_that(self, *actions: ActionName) -> list[Step]:
        """The steps with one of these actions."""
        return [step for step in self.steps if step.action in actions]

    @property
    def changed(self) -> bool:
        return any(step.calls for step in self.steps)


def from_api(answer: t.Mapping[str, t.Any]) -> Association:
    """An association as EKS answers it."""
    values = common.to_ansible(answer)
    known: dict[str, t.Any] = {field.name: values.get(field.name) for field in dataclasses.fields(Association)}
    known["disable_session_tags"] = bool(known["disable_session_tags"])
    known["tags"] = known["tags"] or {}
    # What was removed is answered as an empty string, or not at all.
    known["target_role_arn"] = known["target_role_arn"] or None
    known["policy"] = known["policy"] or None
    known["owner_arn"] = known["owner_arn"] or None
    return Association(**known)


def from_summary(answer: t.Mapping[str, t.Any]) -> Association:
    """An association as a list tells it; what the list leaves out is None."""
    return Association(
        cluster_name=answer["clusterName"],
        namespace=answer["namespace"],
        service_account=answer["serviceAccount"],
        association_id=answer["associationId"],
        association_arn=answer["associationArn"],
        owner_arn=answer.get("ownerArn"),
        disable_session_tags=None,
        tags=None,
    )


def render(association: Association) -> dict[str, t.Any]:
    """An association as modules return it: always with the same keys, the policy as a mapping."""
    rendered = {field.name: getattr(association, field.name) for field in dataclasses.fields(association)}
    rendered["tags"] = None if association.tags is None else dict(association.tags)
    if association.policy:
        rendered["policy"] = json.loads(association.policy)
    return rendered


def with_arns(
    associations: c.Sequence[t.Mapping[str, t.Any]], cluster_name: str, region: str
) -> list[dict[str, t.Any]]:
    """Associations as modules return them, each with its ARN, which those that are as declared lack in a result.

    The role of an association is in the cluster's account (EKS refuses others), so its ARN tells partition and account.
    """
    completed = []
    for one in associations:
        parts = str(one.get("role_arn") or "").split(":")
        if one.get("association_arn") or len(parts) < 6:
            completed.append(dict(one))
            continue
        place = f"arn:{parts[1]}:eks:{region}:{parts[4]}:podidentityassociation/{cluster_name}"
        completed.append({**one, "association_arn": f"{place}/{one.get('association_id')}"})
    return completed

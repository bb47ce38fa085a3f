# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The plan: pure functions from what is there and what is declared to the calls in between."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.amazon.aws.plugins.module_utils.arn import parse_aws_arn

from .. import common
from ..validation import quoted
from .index import SPEC_TAG
from .index import spec_hash
from .objects import UPDATABLE
from .objects import Association
from .objects import AssociationSpec
from .objects import Key
from .objects import Plan
from .objects import Step
from .policies import compact
from .policies import policies_differ

if t.TYPE_CHECKING:
    import collections.abc as c

#: Deletions come first, because a cluster has room for so many associations only.
ORDER = ("delete", "replace", "update", "adopt", "create", "unchanged", "skipped")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Purge:
    """What happens to associations that are not declared: those that carry our tags go."""

    scope: t.Literal["none", "namespace", "cluster"] = "none"
    marks: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: Service accounts that count as declared.
    kept: frozenset[Key] = frozenset()

    def covers(self, key: Key, namespaces: c.Container[str]) -> bool:
        """Whether an association that is not declared is looked at, given the namespaces that are."""
        if key in self.kept:
            return False
        return self.scope == "cluster" or (self.scope == "namespace" and key[0] in namespaces)


def plan(
    observed: c.Iterable[Association],
    desired: c.Sequence[AssociationSpec],
    account: str | None = None,
    purge: Purge | None = None,
) -> Plan:
    """What must be done to the observed associations of a cluster so that the declared ones are there.

    :param observed: associations with all their fields, at least those whose keys are declared.
    :param desired: declared associations without problems; what is not named here is left alone, unless ``purge``.
    :param account: the cluster's account where the caller knows it; otherwise an observed association tells.
    """
    there = list(observed)
    by_key = {association.key: association for association in there}
    by_id = {association.association_id: association for association in there}
    account = account or known_account(there)
    steps = [decide(by_key.get(spec.key), spec, by_id.get(spec.association_id)) for spec in desired]
    leftovers = [decide(by_key[spec.key], spec) for spec in undeclared(there, steps, purge or Purge())]
    return Plan(
        steps=tuple(sorted([*steps, *leftovers], key=place)),
        problems=(
            *(problem for step in steps for problem in late_problems(step, account)),
            *moves_of_declared(steps),
        ),
    )


def place(step: Step) -> tuple[int, Key]:
    """Where a step stands in the plan."""
    return ORDER.index(step.action), step.spec.key


def known_account(associations: c.Iterable[Association]) -> str | None:
    """The cluster's account, as the ARN of any of its associations names it."""
    for association in associations:
        parts = parse_aws_arn(association.association_arn or "")
        if parts:
            return str(parts["account_id"])
    return None


def undeclared(observed: c.Iterable[Association], steps: c.Sequence[Step], purge: Purge) -> c.Iterator[AssociationSpec]:
    """Declarations of absence for what is there and not declared, as far as it is to be purged."""
    declared = {step.spec.key for step in steps} | {step.before.key for step in steps if step.before}
    namespaces = {step.spec.namespace for step in steps}
    for association in observed:
        if association.key not in declared and purge.covers(association.key, namespaces):
            yield AssociationSpec(
                cluster_name=association.cluster_name,
                namespace=association.namespace,
                service_account=association.service_account,
                present=False,
                marks=purge.marks,
            )


# --- one association --------------------------------------------------------------------------------------------------


def decide(before: Association | None, spec: AssociationSpec, named: Association | None = None) -> Step:
    """The step that one declared association needs.

    :param before: what the service account has.
    :param named: the association with the declared ID, which may be another service account's.
    """
    if named is not None and named.key != spec.key and spec.present:
        return replacement(named, before, spec)
    if before is None:
        return creation(spec) if spec.present else Step(action="unchanged", spec=spec, before=None, after=None)
    step = difference(before, spec) if spec.present else deletion(before, spec)
    reason = why_left_alone(before, step)
    if step.calls and reason:
        return Step(action="skipped", spec=spec, before=before, after=before, reason=reason)
    return step


def why_left_alone(before: Association, step: Step) -> str:
    """Why a step must not be made: the association is not ours, and nobody has said that it is meant all the same."""
    spec = step.spec
    if spec.force_owned:
        return ""
    if before.owner_arn:
        return owned(before)
    may_change = spec.present and (step.adopted or spec.update_foreign)
    return foreign(before, spec.marks or {}) if is_foreign(before, spec) and not may_change else ""


def is_foreign(association: Association, spec: AssociationSpec) -> bool:
    """Whether somebody else made it, where that is asked."""
    return spec.marks is not None and not association.carries(spec.marks)


def owned(association: Association) -> str:
    """Why an association of an add-on is left alone (EKS user guide, "Attach an IAM Role to an Amazon EKS add-on")."""
    return (
        f"Association {association.association_id} of {association.namespace}/{association.service_account} belongs to "
        f"the add-on {association.owner_arn}: change it through the add-on, or set force_owned: true."
    )


def foreign(association: Association, marks: t.Mapping[str, str]) -> str:
    """Why an association that somebody else made is left alone."""
    tags = ", ".join(f"{key}={value}" for key, value in marks.items())
    return (
        f"Association {association.association_id} of {association.namespace}/{association.service_account} was not "
        f"made here, since it does not carry {tags}: set adopt: true to take over what is declared, or force_owned: "
        "true to change or delete it as it is."
    )


def creation(spec: AssociationSpec) -> Step:
    """The step that makes an association that is not there."""
    fields = declared_fields(spec)
    tags = common.first_tags(spec.tags, spec.creation_tags)
    if spec.indexed:
        tags[SPEC_TAG] = spec_hash(fields)
    after = Association(
        cluster_name=spec.cluster_name,
        namespace=spec.namespace,
        service_account=spec.service_account,
        role_arn=spec.role_arn,
        target_role_arn=spec.target_role_arn or None,
        disable_session_tags=bool(spec.disable_session_tags),
        policy=str(fields["policy"]) if spec.policy else None,
        tags=tags,
    )
    parameters: dict[str, t.Any] = {
        "clusterName": spec.cluster_name,
        "namespace": spec.namespace,
        "serviceAccount": spec.service_account,
        # An empty string removes and false is the default; there is nothing to remove yet.
        **{UPDATABLE[name]: value for name, value in fields.items() if value},
    }
    if tags:
        parameters["tags"] = tags
    call = common.Action("create_pod_identity_association", parameters)
    return Step(action="create", spec=spec, before=None, after=after, calls=(call,))


def deletion(before: Association, spec: AssociationSpec) -> Step:
    """The step that removes an association."""
    parameters = {"clusterName": before.cluster_name, "associationId": before.association_id}
    call = common.Action("delete_pod_identity_association", parameters)
    return Step(action="delete", spec=spec, before=before, after=None, calls=(call,))


def replacement(named: Association, before: Association | None, spec: AssociationSpec) -> Step:
    """The step that gives an association to another service account: it cannot move, so it is deleted and made anew.

    The calls follow each other without anything in between, so that its pods are without it for a moment only.
    """
    removal = decide(named, dataclasses.replace(spec, present=False))
    arrival = decide(before, spec)
    for part in (removal, arrival):
        if part.action == "skipped":
            return Step(action="skipped", spec=spec, before=named, after=named, reason=part.reason)
    calls = (*removal.calls, *arrival.calls)
    return Step(action="replace", spec=spec, before=named, after=arrival.after, calls=calls, adopted=arrival.adopted)


def difference(before: Association, spec: AssociationSpec) -> Step:
    """The update that makes an association what is declared, or the finding that there is nothing to do."""
    fields = {
        name: value for name, value in declared_fields(spec).items() if differs(name, getattr(before, name), value)
    }
    adopted = spec.adopt and is_foreign(before, spec) and not before.owner_arn
    tags, calls = tag_calls(before, spec, adopted, changed=bool(fields))
    if fields:
        parameters = {
            "clusterName": before.cluster_name,
            "associationId": before.association_id,
            **{UPDATABLE[name]: value for name, value in fields.items()},
        }
        calls = around(calls, common.Action("update_pod_identity_association", parameters))
    if not calls:
        return Step(action="unchanged", spec=spec, before=before, after=before)
    values: dict[str, t.Any] = {name: None if value == "" else value for name, value in fields.items()}
    # EKS gives an external id together with a target role.
    external_id = before.external_id if values.get("target_role_arn", before.target_role_arn) else None
    after = dataclasses.replace(before, tags=tags, external_id=external_id, **values)
    only_marked = adopted and not difference(before, dataclasses.replace(spec, adopt=False)).calls
    return Step(
        action="adopt" if only_marked else "update", spec=spec, before=before, after=after, calls=calls, adopted=adopted
    )


def tag_calls(
    before: Association, spec: AssociationSpec, adopted: bool, changed: bool
) -> tuple[dict[str, str], tuple[common.Action, ...]]:
    """The tags that an association will have, and the calls that bring it there."""
    tags, arn = dict(before.tags or {}), str(before.association_arn)
    added = tags_of_ours(before, spec, adopted, changed)
    # Whatever is declared, a purge of tags leaves what says whose it is, and what the fast mode reads.
    lasting = {**(spec.creation_tags or {}), SPEC_TAG: ""}
    if spec.tags is None:
        after, calls = common.plan_tags(arn, tags, added, False)
    else:
        after, calls = common.plan_tags(arn, tags, {**spec.tags, **added}, spec.purge_tags, lasting)
    if changed and SPEC_TAG in tags and tags[SPEC_TAG] != after[SPEC_TAG]:
        calls = without_hash_meanwhile(arn, calls)
    return after, calls


def tags_of_ours(before: Association, spec: AssociationSpec, adopted: bool, changed: bool) -> dict[str, str]:
    """The tags that an association gets beside the declared ones."""
    marks = dict(spec.marks or {}) if adopted else {}
    ours = adopted or not (is_foreign(before, spec) or before.owner_arn)
    if (spec.indexed and ours) or (changed and SPEC_TAG in (before.tags or {})):
        return {**marks, SPEC_TAG: spec_hash(declared_fields(spec))}
    return marks


def without_hash_meanwhile(arn: str, calls: tuple[common.Action, ...]) -> tuple[common.Action, ...]:
    """Take the old hash away first, so that a run that is killed half-way leaves none that is wrong."""
    keys = {key for call in calls for key in call.parameters.get("tagKeys", ())} | {SPEC_TAG}
    first = common.Action("untag_resource", {"resourceArn": arn, "tagKeys": sorted(keys)})
    return (first, *(call for call in calls if call.operation != "untag_resource"))


def around(calls: tuple[common.Action, ...], update: common.Action) -> tuple[common.Action, ...]:
    """The update before the calls for tags, but after one that takes away the hash."""
    if calls and SPEC_TAG in calls[0].parameters.get("tagKeys", ()):
        return (calls[0], update, *calls[1:])
    return (update, *calls)


def declared_fields(spec: AssociationSpec) -> dict[str, str | bool]:
    """The fields that are declared at all, as the API takes them; the others stay as they are."""
    fields = {name: getattr(spec, name) for name in UPDATABLE if getattr(spec, name) is not None}
    if spec.policy:
        fields["policy"] = compact(json.loads(spec.policy))
    return fields


def differs(name: str, current: str | bool | None, declared: str | bool) -> bool:
    """Whether a field is not as declared; policies are compared by meaning, not by their text."""
    if name == "policy" and current and declared:
        return policies_differ(str(current), str(declared))
    return (current or "") != (declared or "")


# --- what forbids to start --------------------------------------------------------------------------------------------


def late_problems(step: Step, account: str | None) -> c.Iterator[str]:
    """What cannot be right once it is known what is there; the API says the same, but after other writes."""
    if step.action not in ("create", "update", "replace") or step.after is None:
        return
    role = parse_aws_arn(step.after.role_arn or "")
    moved = step.before is None or step.before.role_arn != step.after.role_arn
    if account and role and moved and role["account_id"] != account:
        yield (
            f"role_arn {quoted(step.after.role_arn)} of {step.spec} is in account {role['account_id']}, "
            f"the cluster is in {account}: give a role of the cluster's account, and that one as target_role_arn."
        )
    if step.after.policy and not step.after.disable_session_tags:
        yield (
            f"disable_session_tags of {step.spec} cannot be false while it has a session policy: "
            'set disable_session_tags: true, or remove the policy with policy: "".'
        )


def moves_of_declared(steps: c.Sequence[Step]) -> c.Iterator[str]:
    """The association that is meant is that of another service account, which is declared as well."""
    declared = {step.spec.key: step.spec for step in steps}
    for step in steps:
        if step.before and step.before.key != step.spec.key and step.before.key in declared:
            yield (
                f"association_id {quoted(step.before.association_id)} of {step.spec} is that of "
                f"{declared[step.before.key]}, which is declared too: leave association_id out, and each is changed "
                "where it is."
            )

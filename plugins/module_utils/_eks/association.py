# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Pod identity associations: what is declared, what is there, the plan between the two, and its calls.

The planner takes lists and knows no network, so one association and all associations of a cluster are the same code.
Rules that come from AWS are those of the EKS API reference (CreatePodIdentityAssociation, UpdatePodIdentityAssociation)
and of the EKS user guide's pages on EKS Pod Identity.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import json
import operator
import re
import time
import typing as t

from ansible_collections.amazon.aws.plugins.module_utils.arn import parse_aws_arn
from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies

from . import common
from .validation import NAMESPACE
from .validation import SERVICE_ACCOUNT
from .validation import SERVICE_ACCOUNT_LIMIT
from .validation import cluster_name_problems
from .validation import quoted
from .validation import role_arn_problems
from .validation import tags_problems
from .waiters import intervals

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_eks.client import EKSClient

#: The fields that UpdatePodIdentityAssociation can change, and what the API calls them.
UPDATABLE = {
    "role_arn": "roleArn",
    "target_role_arn": "targetRoleArn",
    "disable_session_tags": "disableSessionTags",
    "policy": "policy",
}
#: The first botocore with each field that came after the API itself.
FEATURES = {"target_role_arn": "1.38.35", "disable_session_tags": "1.38.35", "policy": "1.42.46"}
#: The API's limit on the text of a session policy, in characters (CreatePodIdentityAssociation, ``policy``).
POLICY_LIMIT = 2048

#: The largest page that ListPodIdentityAssociations gives.
PAGE_SIZE = 100
#: How many associations are described at once: as many connections as a client of boto3 keeps.
CONCURRENCY = 10

ACCESS_DENIED_CODES = ("AccessDeniedException", "AccessDenied")
# EKS's messages drift, so these ask for no more than what makes them different from others.
ROLE_NOT_SEEN = re.compile(r"\brole\b.*\bdoes not exist", re.IGNORECASE)
TRUST_REFUSED = re.compile(r"\btrust policy\b.*\binvalid", re.IGNORECASE)
ASSOCIATION_ID = re.compile(r"\ba-[0-9a-z]{10,}\b")
#: How often to plan anew, without time left, when others change the association between our looking and writing.
MOST_RACES = 5

#: Namespace and service account: what an association is found by within its cluster.
Key = tuple[str, str]


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
    role_arn: str | None = None
    target_role_arn: str | None = None
    disable_session_tags: bool | None = None
    policy: str | None = None
    tags: t.Mapping[str, str] | None = None
    purge_tags: bool = True
    #: Tags that it gets when it is made, and never later.
    creation_tags: t.Mapping[str, str] | None = None
    #: Whether an association that belongs to an add-on may be changed or deleted.
    force_owned: bool = False

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
    disable_session_tags: bool = False
    policy: str | None = None
    #: ARN of the add-on that made it and keeps it.
    owner_arn: str | None = None
    external_id: str | None = None
    tags: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    created_at: str | None = None
    modified_at: str | None = None

    @property
    def key(self) -> Key:
        return self.namespace, self.service_account


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a plan: what happens to one association, and how it looks before and after."""

    action: t.Literal["create", "update", "delete", "unchanged", "skipped"]
    spec: AssociationSpec
    before: Association | None
    after: Association | None
    #: The calls that carry it out, in order.
    calls: tuple[common.Action, ...] = ()
    #: Why it was skipped.
    reason: str = ""

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

    create: tuple[Step, ...] = ()
    update: tuple[Step, ...] = ()
    delete: tuple[Step, ...] = ()
    unchanged: tuple[Step, ...] = ()
    skipped: tuple[Step, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every step; deletions come first, because a service account has room for one association only."""
        return self.delete + self.update + self.create + self.unchanged + self.skipped

    @property
    def changed(self) -> bool:
        return bool(self.create or self.update or self.delete)


# --- what is declared -------------------------------------------------------------------------------------------------


def spec_from(params: t.Mapping[str, t.Any]) -> AssociationSpec:
    """The declaration in the options of the module ``eks_pod_identity_association``."""
    fields = {field.name for field in dataclasses.fields(AssociationSpec)}
    options = {option: value for option, value in params.items() if option in fields}
    tags = {option: common.text_tags(params[option]) for option in ("tags", "creation_tags")}
    return AssociationSpec(**{**options, **tags, "present": params["state"] == "present"})


def problems(specs: c.Sequence[AssociationSpec]) -> list[str]:
    """Everything that cannot be right about what is declared, one sentence each, without asking AWS."""
    found = [
        problem
        for name in dict.fromkeys(spec.cluster_name for spec in specs)
        for problem in cluster_name_problems(name)
    ]
    for spec in specs:
        found += [*key_problems(spec), *role_problems(spec), *policy_problems(spec)]
        found += tags_problems(common.first_tags(spec.tags, spec.creation_tags), str(spec))
    counts = collections.Counter(str(spec) for spec in specs)
    found += [
        f"{name} is declared {count} times: a service account has one association at most, declare it once."
        for name, count in counts.items()
        if count > 1
    ]
    return found


def key_problems(spec: AssociationSpec) -> c.Iterator[str]:
    """Names that EKS would store although no pod can ever match them (Kubernetes object names)."""
    if not NAMESPACE.fullmatch(spec.namespace):
        yield (
            f"namespace {quoted(spec.namespace)} of {spec} is no Kubernetes namespace: use 1 to 63 "
            "lower-case letters, digits and hyphens, the first and the last a letter or digit."
        )
    if len(spec.service_account) > SERVICE_ACCOUNT_LIMIT or not SERVICE_ACCOUNT.fullmatch(spec.service_account):
        yield (
            f"service_account {quoted(spec.service_account)} of {spec} is no Kubernetes service account: "
            f"use 1 to {SERVICE_ACCOUNT_LIMIT} lower-case letters, digits, hyphens and dots, each part between dots "
            "beginning and ending with a letter or digit."
        )


def role_problems(spec: AssociationSpec) -> c.Iterator[str]:
    """Role ARNs that cannot be right; the role's account is checked by the planner, which knows the cluster's."""
    if spec.role_arn is not None:
        yield from role_arn_problems(spec.role_arn, "role_arn", str(spec))
    elif spec.present:
        yield f"role_arn of {spec} is missing: an association needs the ARN of an IAM role."
    if spec.target_role_arn:
        yield from role_arn_problems(spec.target_role_arn, "target_role_arn", str(spec))


def policy_problems(spec: AssociationSpec) -> c.Iterator[str]:
    """A session policy that EKS refuses: JSON, at most 2,048 characters, and only without session tags."""
    if not spec.policy:
        return
    document = parse_policy(spec.policy)
    if document is None:
        yield (
            f"policy of {spec} is no IAM policy: give a JSON object with Version and Statement, "
            "as text or as a mapping."
        )
    elif len(compact(document)) > POLICY_LIMIT:
        yield (
            f"policy of {spec} has {len(compact(document))} characters without white space: EKS takes at "
            f"most {POLICY_LIMIT}, so move permissions to the role."
        )
    if spec.disable_session_tags is not True:
        yield (
            f"policy of {spec} needs disable_session_tags: true, because EKS takes a session policy "
            "only without session tags."
        )


def parse_policy(text: str) -> dict[str, t.Any] | None:
    """The policy document in a text, or None where there is none."""
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) and "Statement" in document else None


def compact(document: t.Mapping[str, t.Any]) -> str:
    """A policy as it is sent: without white space, which would count against the limit."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


# --- the plan ---------------------------------------------------------------------------------------------------------


def plan(observed: c.Iterable[Association], desired: c.Sequence[AssociationSpec], account: str | None = None) -> Plan:
    """What must be done to the observed associations of a cluster so that the declared ones are there.

    :param observed: associations with all their fields, at least those whose keys are declared.
    :param desired: declared associations without :func:`problems`; what is not named here is left alone.
    :param account: the cluster's account where the caller knows it; otherwise an observed association tells.
    """
    there = {association.key: association for association in observed}
    account = account or known_account(there.values())
    steps = [decide(there.get(spec.key), spec) for spec in desired]
    sorted_steps: dict[str, list[Step]] = collections.defaultdict(list)
    for step in steps:
        sorted_steps[step.action].append(step)
    return Plan(
        **{action: tuple(changes) for action, changes in sorted_steps.items()},
        problems=tuple(problem for step in steps for problem in late_problems(step, account)),
    )


def known_account(associations: c.Iterable[Association]) -> str | None:
    """The cluster's account, as the ARN of any of its associations names it."""
    for association in associations:
        parts = parse_aws_arn(association.association_arn or "")
        if parts:
            return str(parts["account_id"])
    return None


def decide(before: Association | None, spec: AssociationSpec) -> Step:
    """The step that one declared association needs."""
    if before is None:
        return creation(spec) if spec.present else Step(action="unchanged", spec=spec, before=None, after=None)
    step = difference(before, spec) if spec.present else deletion(before, spec)
    if step.calls and before.owner_arn and not spec.force_owned:
        return Step(action="skipped", spec=spec, before=before, after=before, reason=owned(before))
    return step


def owned(association: Association) -> str:
    """Why an association of an add-on is left alone (EKS user guide, "Attach an IAM Role to an Amazon EKS add-on")."""
    return (
        f"Association {association.association_id} of {association.namespace}/{association.service_account} belongs to "
        f"the add-on {association.owner_arn}: change it through the add-on, or set force_owned: true."
    )


def creation(spec: AssociationSpec) -> Step:
    """The step that makes an association that is not there."""
    tags = common.first_tags(spec.tags, spec.creation_tags)
    after = Association(
        cluster_name=spec.cluster_name,
        namespace=spec.namespace,
        service_account=spec.service_account,
        role_arn=spec.role_arn,
        target_role_arn=spec.target_role_arn or None,
        disable_session_tags=bool(spec.disable_session_tags),
        policy=spec.policy or None,
        tags=tags,
    )
    parameters: dict[str, t.Any] = {
        "clusterName": spec.cluster_name,
        "namespace": spec.namespace,
        "serviceAccount": spec.service_account,
        # An empty string removes; there is nothing to remove yet.
        **{UPDATABLE[name]: value for name, value in declared_fields(spec).items() if value != ""},
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


def difference(before: Association, spec: AssociationSpec) -> Step:
    """The update that makes an association what is declared, or the finding that there is nothing to do."""
    fields = {
        name: value for name, value in declared_fields(spec).items() if differs(name, getattr(before, name), value)
    }
    arn = str(before.association_arn)
    tags, calls = common.plan_tags(arn, before.tags, spec.tags, spec.purge_tags, spec.creation_tags)
    if fields:
        parameters = {
            "clusterName": before.cluster_name,
            "associationId": before.association_id,
            **{UPDATABLE[name]: value for name, value in fields.items()},
        }
        calls = (common.Action("update_pod_identity_association", parameters), *calls)
    if not calls:
        return Step(action="unchanged", spec=spec, before=before, after=before)
    values: dict[str, t.Any] = {name: None if value == "" else value for name, value in fields.items()}
    # EKS gives an external id together with a target role.
    external_id = before.external_id if values.get("target_role_arn", before.target_role_arn) else None
    after = dataclasses.replace(before, tags=tags, external_id=external_id, **values)
    return Step(action="update", spec=spec, before=before, after=after, calls=calls)


def declared_fields(spec: AssociationSpec) -> dict[str, str | bool]:
    """The fields that are declared at all, as the API takes them; the others stay as they are."""
    fields = {name: getattr(spec, name) for name in UPDATABLE if getattr(spec, name) is not None}
    if spec.policy:
        fields["policy"] = compact(json.loads(spec.policy))
    return fields


def differs(name: str, current: str | bool | None, declared: str | bool) -> bool:
    """Whether a field is not as declared; policies are compared by meaning, not by their text."""
    if name == "policy" and current and declared:
        there = parse_policy(str(current))
        return there is None or bool(compare_policies(there, json.loads(str(declared))))
    return (current or "") != (declared or "")


def late_problems(step: Step, account: str | None) -> c.Iterator[str]:
    """What cannot be right once it is known what is there; the API says the same, but after other writes."""
    if step.action not in ("create", "update") or step.after is None:
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


# --- results ----------------------------------------------------------------------------------------------------------


def from_api(answer: t.Mapping[str, t.Any]) -> Association:
    """An association as EKS answers it; the summary of a list lacks most fields and does not serve."""
    values = common.to_ansible(answer)
    known: dict[str, t.Any] = {field.name: values.get(field.name) for field in dataclasses.fields(Association)}
    known["disable_session_tags"] = bool(known["disable_session_tags"])
    known["tags"] = known["tags"] or {}
    # What was removed is answered as an empty string, or not at all.
    known["target_role_arn"] = known["target_role_arn"] or None
    known["policy"] = known["policy"] or None
    return Association(**known)


def render(association: Association) -> dict[str, t.Any]:
    """An association as modules return it: always with the same keys, the policy as a mapping."""
    rendered = dataclasses.asdict(association)
    if association.policy:
        rendered["policy"] = json.loads(association.policy)
    return rendered


# --- the calls --------------------------------------------------------------------------------------------------------


@common.finding("list the pod identity associations")
def list_associations(client: EKSClient, cluster_name: str, **filters: str) -> list[dict[str, t.Any]]:
    """Summaries of a cluster's associations, None where there is no such cluster.

    :param filters: ``namespace`` and ``serviceAccount`` of the API.
    """
    paginator = client.get_paginator("list_pod_identity_associations")
    pages = paginator.paginate(clusterName=cluster_name, PaginationConfig={"PageSize": PAGE_SIZE}, **filters)
    return [t.cast("dict[str, t.Any]", summary) for page in pages for summary in page["associations"]]


@common.finding("describe the pod identity association")
def describe_association(client: EKSClient, cluster_name: str, association_id: str) -> Association:
    """An association with all its fields, None where there is none."""
    answer = client.describe_pod_identity_association(clusterName=cluster_name, associationId=association_id)
    return from_api(answer["association"])


def describe_associations(client: EKSClient, cluster_name: str, association_ids: c.Sequence[str]) -> list[Association]:
    """Associations with all their fields; one that vanished since it was listed is left out."""

    def describe(association_id: str) -> Association | None:
        return describe_association(client, cluster_name, association_id)

    with concurrent.futures.ThreadPoolExecutor(max_workers=CONCURRENCY) as pool:
        return [association for association in pool.map(describe, association_ids) if association]


def observe(client: EKSClient, spec: AssociationSpec) -> list[Association] | None:
    """The association that a declaration means, as a list of one or none; None where there is no such cluster."""
    filters = {"namespace": spec.namespace, "serviceAccount": spec.service_account}
    summaries = list_associations(client, spec.cluster_name, **filters)
    if summaries is None:
        return None
    return describe_associations(client, spec.cluster_name, [summary["associationId"] for summary in summaries])


@common.finding("describe the cluster")
def cluster_account(client: EKSClient, cluster_name: str) -> str:
    """The account of a cluster, None where there is no such cluster."""
    arn = client.describe_cluster(name=cluster_name)["cluster"]["arn"]
    return str(parse_aws_arn(arn)["account_id"])


# --- one association --------------------------------------------------------------------------------------------------


def ensure(
    client: EKSClient, spec: AssociationSpec, propagation_timeout: float, check_mode: bool
) -> tuple[Step, Association | None]:
    """Make one association be as declared; returns what was done and what is there now.

    In check mode nothing is written, and both say what would be.

    :param propagation_timeout: seconds to go on while EKS does not see a new role or trust policy.
    :raises common.AnsibleEKSError: when it cannot be, with the cause; an association of an add-on is left alone so.
    """
    common.refuse(problems([spec]))
    require_features(client, spec)
    step = look_and_decide(client, spec)
    if check_mode or not step.calls:
        return step, step.after
    return carry_out(client, step, propagation_timeout)


def require_features(client: EKSClient, spec: AssociationSpec) -> None:
    """Raise unless the installed botocore knows every option that is used."""
    for name, since in FEATURES.items():
        if getattr(spec, name) is not None:
            common.require_parameter(client, "CreatePodIdentityAssociation", UPDATABLE[name], name, since)


def look_and_decide(client: EKSClient, spec: AssociationSpec) -> Step:
    """The step that a declared association needs, by what is there now."""
    observed = observe(client, spec)
    if observed is None and spec.present:
        raise common.AnsibleEKSError(f"{missing_cluster(client, spec.cluster_name)}.")
    # Only a creation needs to ask for the account: an association that is there tells it.
    account = None if observed or not spec.present else account_if_allowed(client, spec.cluster_name)
    return only_step(plan(observed or [], [spec], account))


def only_step(found: Plan) -> Step:
    """The step of a plan for one association.

    :raises common.AnsibleEKSError: when it must not be carried out.
    """
    common.refuse(found.problems)
    common.refuse([step.reason for step in found.skipped])
    (step,) = found.steps
    return step


def missing_cluster(client: EKSClient, cluster_name: str) -> str:
    """The sentence for a cluster that is not there; it asks nothing, so it needs no permission to describe clusters."""
    return (
        f"cluster_name {quoted(cluster_name)} names no cluster in region {client.meta.region_name}: "
        "create the cluster first, or correct the name or the region"
    )


def account_if_allowed(client: EKSClient, cluster_name: str) -> str | None:
    """The cluster's account, None where the caller may not look at the cluster: then EKS itself is left to judge."""
    try:
        return cluster_account(client, cluster_name)
    except common.AnsibleEKSError as error:
        if error_of(error)[0] in ACCESS_DENIED_CODES:
            return None
        raise


def carry_out(client: EKSClient, step: Step, propagation_timeout: float) -> tuple[Step, Association | None]:
    """Make the calls of a step, and follow what others do meanwhile; returns the step that was made in the end.

    :raises common.AnsibleEKSError: with the cause, and what to do, where that is known.
    """
    deadline = time.monotonic() + propagation_timeout
    for attempt, pause in enumerate(intervals()):
        try:
            return step, make_calls(client, step)
        except common.AnsibleEKSError as error:
            again = step_after(client, step, error)
            remaining = deadline - time.monotonic()
            if again is None or (remaining <= 0 and (again == step or attempt >= MOST_RACES)):
                raise explained(client, step, error, propagation_timeout) from error
        if not again.calls:
            # It came to be since the task looked, by somebody else or by a call whose answer got lost.
            return step, again.after
        step = again
        time.sleep(max(0, min(pause, remaining)))
    raise AssertionError("intervals() never ends")


def make_calls(client: EKSClient, step: Step) -> Association | None:
    """Make the calls of a step; returns the association as it is then."""
    result = step.after
    for call in step.calls:
        answer = common.perform(client, call)
        if step.after and "association" in answer:
            result = dataclasses.replace(from_api(answer["association"]), tags=step.after.tags)
    return result


def step_after(client: EKSClient, step: Step, error: common.AnsibleEKSError) -> Step | None:
    """What to try after a call was refused, None where there is no point in trying.

    Between looking and writing somebody else may have created or deleted the association, and EKS may not yet see what
    was done to a role in IAM a moment ago.
    """
    code, message = error_of(error)
    if code == "InvalidParameterException" and (ROLE_NOT_SEEN.search(message) or TRUST_REFUSED.search(message)):
        return step
    taken = step.action == "create" and code == "ResourceInUseException"
    vanished = step.action == "update" and code in ("ResourceNotFoundException", "NotFoundException")
    if not (taken or vanished):
        return None
    named = ASSOCIATION_ID.search(message) if taken else None
    if named:
        observed: list[Association] | None = describe_associations(client, step.spec.cluster_name, [named.group()])
    else:
        observed = observe(client, step.spec)
    return None if observed is None else only_step(plan(observed, [step.spec]))


def error_of(error: common.AnsibleEKSError) -> tuple[str, str]:
    """Code and message of the service's answer, empty where no service has answered."""
    answer = getattr(error.exception, "response", None) or {}
    return answer.get("Error", {}).get("Code", ""), answer.get("Error", {}).get("Message", "")


def explained(
    client: EKSClient, step: Step, error: common.AnsibleEKSError, propagation_timeout: float
) -> common.AnsibleEKSError:
    """The error with its cause and what to do about it, where that is known; the service's own words follow it."""
    code, message = error_of(error)
    spec = step.spec
    advice = None
    if ROLE_NOT_SEEN.search(message):
        advice = (
            f"EKS did not see the role {spec.role_arn} of {spec} within {propagation_timeout:g} seconds; "
            "create the role, or correct role_arn"
        )
    elif TRUST_REFUSED.search(message):
        advice = (
            f"EKS refuses the trust policy of the role {spec.role_arn} of {spec}, after "
            f"{propagation_timeout:g} seconds; it must allow the principal pods.eks.amazonaws.com both sts:AssumeRole "
            "and sts:TagSession"
        )
    elif code in ACCESS_DENIED_CODES and "iam:PassRole" in message:
        advice = (
            f"The caller may not pass the role {spec.role_arn} to EKS for {spec}; allow it iam:PassRole on "
            "that role, with the condition iam:PassedToService pods.eks.amazonaws.com"
        )
    elif code == "ResourceLimitExceededException":
        advice = f"Cluster {spec.cluster_name} has as many associations as EKS allows; delete some that nobody needs"
    elif code == "ResourceNotFoundException" and step.action == "create":
        advice = missing_cluster(client, spec.cluster_name)
    return common.AnsibleEKSError(advice, exception=error.exception) if advice else error


# --- looking only -----------------------------------------------------------------------------------------------------


def find(
    client: EKSClient,
    cluster_name: str,
    namespace: str | None = None,
    service_account: str | None = None,
    association_ids: c.Sequence[str] | None = None,
) -> list[Association]:
    """The associations that match all that is given, sorted by namespace and service account.

    Empty when nothing matches, or when there is no such cluster.
    """
    if association_ids is None:
        filters = common.without_none({"namespace": namespace, "serviceAccount": service_account})
        summaries = list_associations(client, cluster_name, **filters) or []
        association_ids = [summary["associationId"] for summary in summaries]
    return sorted(
        (
            association
            for association in describe_associations(client, cluster_name, list(dict.fromkeys(association_ids)))
            if namespace in (None, association.namespace) and service_account in (None, association.service_account)
        ),
        key=operator.attrgetter("key"),
    )

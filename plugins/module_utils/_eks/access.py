# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What is read for the overview of who may do what: associations and their roles, each role once, side by side.

Whoever looks at other people's clusters may not read everything. What may not be read is said and left out.
"""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from .._access import orphans
from .._access.objects import Found
from .._access.objects import Policy
from .._access.objects import Role
from .._access.reports import access_of
from .._access.reports import over_clusters
from .._diagnosis.reading import sentence
from . import cluster
from . import codes
from . import common
from . import ownership
from .association import calls as association_calls
from .association.objects import Association
from .association.objects import render
from .role import calls as role_calls
from .threads import at_once
from .validation import cluster_name_problems

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_eks.client import EKSClient
    from mypy_boto3_iam.client import IAMClient
    from mypy_boto3_iam.type_defs import RoleTypeDef

    from .._access.objects import Document

R = t.TypeVar("R")
#: A role's name and the policy's for an inline policy, no role and the policy's ARN for a managed one.
PolicyKey = tuple[str | None, str]  # pylint: disable=unsupported-binary-operation


def look_up(eks: EKSClient, iam: IAMClient, params: t.Mapping[str, t.Any], concurrency: int) -> Found:
    """The report of one cluster.

    :param params: the options of the module ``eks_pod_identity_access_info``.
    :raises AnsibleEKSError: when the name cannot be one, when there is no such cluster, or when a call fails for
        another reason than a missing permission for one role.
    """
    name, documents = params["cluster_name"], params["policies"] == "documents"
    common.refuse(cluster_name_problems(name))
    associations = all_associations(eks, name, concurrency)
    found, notes = cluster_of(eks, name, associations)
    arns = {arn for one in associations for arn in (one.role_arn, one.target_role_arn) if arn}
    roles = read_roles(iam, sorted(arns), found["account"], documents, concurrency)
    declared = params["declared"]
    forgotten = set() if declared is None else {one.key for one in associations} - set(map(key_of, declared))

    def ours(association: Association) -> bool:
        return association.carries({ownership.TAG: name})

    report = {
        "cluster": found,
        "access": [
            access_of(render(one), found, roles, ours(one), documents, undeclared=ours(one) and one.key in forgotten)
            for one in associations
        ],
        "orphans": [],
        "notes": notes,
    }
    if params["orphans"]:
        report["orphans"] = left_over(iam, found["arn"], associations, notes)
    return over_clusters([report])[0]


def key_of(workload: t.Mapping[str, t.Any]) -> tuple[str, str]:
    return str(workload.get("namespace")), str(workload.get("service_account"))


# --- the cluster ------------------------------------------------------------------------------------------------------


def all_associations(eks: EKSClient, name: str, concurrency: int) -> list[Association]:
    """All associations of a cluster, with all their fields."""
    listed = association_calls.list_associations(eks, name)
    if listed is None:
        raise common.AnsibleEKSError(f"{association_calls.missing_cluster(eks, name)}.")
    ids = [one.association_id for one in listed if one.association_id]
    return association_calls.describe_associations(eks, name, ids, concurrency)


def cluster_of(eks: EKSClient, name: str, associations: c.Sequence[Association]) -> tuple[Found, list[str]]:
    """Which cluster it is, and why its ARN is not known. An association's ARN tells it without a further call."""
    notes: list[str] = []
    if associations:
        arn = f"{(associations[0].association_arn or '').partition(':podidentityassociation/')[0]}:cluster/{name}"
    else:
        described, note = if_allowed(lambda: cluster.look_up(eks, name))
        notes = [f"The cluster's account is not known: {note}."] if note else []
        arn = described[0]["arn"] if described else ""
    region, account = ([*arn.split(":"), *[""] * 5])[3:5]
    return {
        "name": name,
        "arn": arn or None,
        "region": region or eks.meta.region_name,
        "account": account or None,
    }, notes


# --- roles ------------------------------------------------------------------------------------------------------------


def read_roles(
    iam: IAMClient, arns: c.Sequence[str], account: str | None, documents: bool, concurrency: int
) -> dict[str, Role]:
    """Roles by their ARNs: those of the cluster's account, which is that of the credentials, as far as may be."""
    ours = [arn for arn in arns if Role(arn=arn).account == account]
    roles = {arn: Role(arn=arn, note=elsewhere(arn)) for arn in arns if arn not in ours}
    roles |= {role.arn: role for role in at_once(functools.partial(read_role, iam), ours, concurrency)}
    return with_documents(iam, roles, concurrency) if documents else roles


def elsewhere(arn: str) -> str:
    return f"it is in account {Role(arn=arn).account}, and the credentials are those of the cluster's account"


def read_role(iam: IAMClient, arn: str) -> Role:
    """A role with the names of its policies."""
    name = Role(arn=arn).name
    found, note = if_allowed(lambda: role_calls.get_role(iam, name))
    if note:
        return Role(arn=arn, note=note)
    if found is None:
        return Role(arn=arn, exists=False)
    if found["Arn"] != arn:
        # Names are unique in an account whatever the path; the association keeps the ARN that it was given.
        return Role(arn=arn, exists=False, note=f"there is {found['Arn']}, which is another one")
    attached, unlisted = if_allowed(lambda: role_calls.list_attached(iam, name))
    inline, unnamed = if_allowed(lambda: role_calls.list_inline(iam, name))
    managed = [Policy(name=policy, arn=policy_arn) for policy_arn, policy in (attached or {}).items()]
    policies = [*managed, *(Policy(name=policy) for policy in inline or [])]
    return described_role(found, sorted(policies, key=lambda policy: policy.name), unlisted or unnamed)


def described_role(found: RoleTypeDef, policies: c.Iterable[Policy], note: str) -> Role:
    """A role as GetRole describes it."""
    role = role_calls.from_api(found, {}, {})
    used = found.get("RoleLastUsed", {})
    date = used.get("LastUsedDate")
    return Role(
        arn=role.arn,
        exists=True,
        note=note or None,
        trust=role.trust,
        create_date=role.created,
        policies=tuple(policies),
        permissions_boundary=role.boundary,
        max_session_duration=role.max_session_duration,
        last_used={"date": date.isoformat(), "region": used.get("Region")} if date else None,
    )


def with_documents(iam: IAMClient, roles: t.Mapping[str, Role], concurrency: int) -> dict[str, Role]:
    """The roles with what their policies say; a managed policy is read once however many roles have it."""
    keys = dict.fromkeys(policy_key(role, policy) for role in roles.values() for policy in role.policies)
    answers = dict(at_once(lambda key: (key, if_allowed(lambda: read_document(iam, *key))), keys, concurrency))

    def completed(role: Role) -> Role:
        found = [(policy, *answers[policy_key(role, policy)]) for policy in role.policies]
        notes = [note for _policy, _document, note in found if note]
        policies = (dataclasses.replace(policy, document=document) for policy, document, _note in found)
        return dataclasses.replace(role, policies=tuple(policies), note=role.note or next(iter(notes), None))

    return {arn: completed(role) for arn, role in roles.items()}


def policy_key(role: Role, policy: Policy) -> PolicyKey:
    return (None, policy.arn) if policy.arn else (role.name, policy.name)


def read_document(iam: IAMClient, role: str | None, policy: str) -> Document | None:
    """What a policy says, None where it is gone."""
    return role_calls.get_inline(iam, role, policy) if role else get_managed(iam, policy)


@common.finding("get the managed policy")
def get_managed(iam: IAMClient, arn: str) -> Document:
    """What the version of a managed policy says that counts."""
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    answer = iam.get_policy_version(PolicyArn=arn, VersionId=version)
    return role_calls.document_of(answer["PolicyVersion"]["Document"])


def left_over(
    iam: IAMClient, cluster_arn: str | None, associations: c.Iterable[Association], notes: list[str]
) -> list[Found]:
    """What roles still trust of this cluster without an association; adds a note where that cannot be told."""
    trusts, note = if_allowed(lambda: role_calls.list_trusts(iam)) if cluster_arn else ([], "its ARN is not known")
    if note or not cluster_arn:
        notes.append(f"Trust without an association was not looked for: {note}.")
        return []
    used = {(Role(arn=one.role_arn or "").name, one.namespace, one.service_account) for one in associations}
    return orphans.left_over(trusts or [], cluster_arn, used)


def if_allowed(look: t.Callable[[], R]) -> tuple[R | None, str]:
    """What a look tells, or why the caller may not look."""
    try:
        return look(), ""
    except common.AnsibleEKSError as error:
        code, message = common.error_of(error)
        if code not in codes.ACCESS_DENIED:
            raise
        return None, sentence(message)

# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The trust policy of a target role: which source roles may assume it, and for which associations.

The principal is the source role's account, narrowed to the role by ``aws:PrincipalArn``: IAM would keep a role that is
named as the principal by its ID, so that the trust would be lost when the role is made anew. The external ID of the
association (CreatePodIdentityAssociation, ``externalId``) keeps other associations with the same source role out. It is
no condition key of sts:TagSession, which therefore has a statement of its own, one for each source role.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._trust import document as trust
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Statement
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Subject
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import condition
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import made_sid
from ansible_collections.podidentity.eks.plugins.module_utils._workload.cluster import Cluster

SID_PREFIX = "PodIdentityTarget"
TAGS_SID_PREFIX = "PodIdentityTargetTags"
PRINCIPAL_ARN = "aws:PrincipalArn"
EXTERNAL_ID = "sts:ExternalId"


@dataclasses.dataclass(frozen=True)
class Chain:
    """One association that leads to a target role."""

    subject: Subject
    #: The role that EKS assumes first.
    source_arn: str
    external_id: str
    session_tags: bool


def external_id(subject: Subject) -> str:
    """What EKS makes the external ID of (CreatePodIdentityAssociation, ``externalId``)."""
    cluster = subject.cluster
    return "/".join((cluster.region, cluster.account, cluster.name, subject.namespace, subject.service_account))


def chain_id(subject: Subject) -> str:
    """The Sid of the statement for one association."""
    words = (subject.namespace, subject.service_account)
    return made_sid(SID_PREFIX, words, (subject.cluster.arn, *words))


def tags_id(source_arn: str) -> str:
    """The Sid of the statement that lets a source role pass session tags."""
    return made_sid(TAGS_SID_PREFIX, [source_arn.rpartition("/")[2]], [source_arn])


def from_source(sid: str, source_arn: str, action: str) -> dict[str, t.Any]:
    """A statement that lets a source role do one thing."""
    partition, account = source_arn.split(":")[1], source_arn.split(":")[4]
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:{partition}:iam::{account}:root"},
        "Action": action,
        "Condition": {"ArnEquals": {PRINCIPAL_ARN: source_arn}},
    }


def chain_statement(chain: Chain) -> dict[str, t.Any]:
    """The statement that lets EKS go from the source role to the target role for one association."""
    statement = from_source(chain_id(chain.subject), chain.source_arn, "sts:AssumeRole")
    statement["Condition"]["StringEquals"] = {EXTERNAL_ID: chain.external_id}
    return statement


def tags_statement(source_arn: str) -> dict[str, t.Any]:
    """The statement that lets a source role pass session tags on, as it must where its own session has any."""
    return from_source(tags_id(source_arn), source_arn, "sts:TagSession")


def ensure_chains(
    document: trust.Document | None, chains: t.Sequence[Chain], leaving: t.Container[str] = ()
) -> dict[str, t.Any] | None:
    """Merge the statements for associations into a document, and take those with the Sids ``leaving`` out."""
    wanted = [chain_statement(chain) for chain in chains]
    tagged = dict.fromkeys(chain.source_arn for chain in chains if chain.session_tags)
    before = trust.statements_of(document)
    here = {statement["Sid"] for statement in wanted}
    others = {
        source_of(item)
        for item in before
        if is_chain(item) and item.get("Sid") not in here and item.get("Sid") not in leaving
    }
    unneeded = {
        item.get("Sid")
        for item in before
        if is_tags(item) and source_of(item) not in tagged and source_of(item) not in others
    }
    out = [sid for sid in (item.get("Sid") for item in before) if sid and (sid in leaving or sid in unneeded)]
    removed = trust.remove_statements(document, out)
    return trust.merge_statements(removed, [*wanted, *map(tags_statement, tagged)]).document


def source_of(statement: Statement) -> str:
    """The source role that a statement names."""
    return str(condition(statement, "ArnEquals").get(PRINCIPAL_ARN, ""))


def is_chain(statement: Statement) -> bool:
    """Whether a statement was made here for an association, of whichever cluster."""
    sid = str(statement.get("Sid", ""))
    return sid.startswith(SID_PREFIX) and not is_tags(statement) and bool(source_of(statement))


def is_tags(statement: Statement) -> bool:
    """Whether a statement was made here to let a source role pass session tags."""
    return statement.get("Sid") == tags_id(source_of(statement))


def subject_of(statement: Statement, cluster: Cluster) -> Subject | None:
    """Whose statement this is, if it was made here for an association of this cluster; the Sid is made anew."""
    value = condition(statement, "StringEquals").get(EXTERNAL_ID)
    parts = value.split("/") if isinstance(value, str) else []
    if len(parts) != 5 or parts[:3] != [cluster.region, cluster.account, cluster.name]:
        return None
    found = Subject(cluster, parts[3], parts[4])
    return found if chain_id(found) == statement.get("Sid") else None


def passes_tags(document: trust.Document | None, statement: Statement) -> bool:
    """Whether sessions that come by a statement for an association have session tags."""
    source = source_of(statement)
    return any(is_tags(item) and source_of(item) == source for item in trust.statements_of(document))

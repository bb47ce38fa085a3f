# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The overview: one report for each cluster, what is only seen over several of them, and the sum of it all."""

from __future__ import annotations

import collections
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._access.findings import Subject
from ansible_collections.podidentity.eks.plugins.module_utils._access.findings import findings_of
from ansible_collections.podidentity.eks.plugins.module_utils._access.findings import scope_of
from ansible_collections.podidentity.eks.plugins.module_utils._access.findings import undeclared_finding
from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import SEVERITIES
from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import Finding
from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import Found
from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import Role
from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import in_order
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import listing
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import mapping
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import plain
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import text

if t.TYPE_CHECKING:
    import collections.abc as c

SHARED = "role_shared"
#: How many places a sentence names.
TOLD_PLACES = 6
#: What is read of a report, wherever it comes from.
ITEM_KEYS = (
    *("namespace", "service_account", "association_id", "owner", "managed", "created_at", "modified_at", "role"),
    *("target_role", "session_policy", "session_tags", "trust", "findings"),
)
ROLE_KEYS = tuple(Role(arn="").render(documents=False))
ORPHAN_KEYS = ("role_name", "namespace", "service_account", "findings")


class ReportError(ValueError):
    """What was given is no list of reports; the message is one sentence for the user."""


def access_of(
    association: t.Mapping[str, t.Any],
    cluster: Found,
    roles: t.Mapping[str, Role],
    managed: bool,
    documents: bool,
    undeclared: bool = False,
) -> Found:
    """One item of ``access``: what the workload of an association may do, and what is to be said about it.

    :param association: as :func:`.._eks.association.objects.render` returns it.
    :param roles: what was found of the roles, by their ARNs.
    :param managed: whether the association was made here, and ``undeclared`` whether it is no longer declared.
    """
    target = association["target_role_arn"]
    subject = Subject(
        cluster_arn=cluster["arn"],
        namespace=association["namespace"],
        service_account=association["service_account"],
        session_tags=not association["disable_session_tags"],
        session_policy=bool(association["policy"]),
        external_id=association["external_id"] or "",
        role=roles[association["role_arn"]],
        target=roles[target] if target else None,
    )
    scope = scope_of(subject)
    return {
        "cluster": cluster,
        **{key: association[key] for key in ("namespace", "service_account", "association_id", "association_arn")},
        "owner": association["owner_arn"],
        "managed": managed,
        "created_at": association["created_at"],
        "modified_at": association["modified_at"],
        "role": subject.role.render(documents),
        "target_role": subject.target.render(documents) if subject.target else None,
        "session_policy": association["policy"],
        "session_tags": subject.session_tags,
        "trust": {"scope": scope.scope, "reason": scope.reason},
        "findings": in_order(finding.render() for finding in findings_about(subject, undeclared)),
    }


def findings_about(subject: Subject, undeclared: bool) -> c.Iterator[Finding]:
    """What is to be said about a workload; that it is no longer declared comes first."""
    if undeclared:
        yield undeclared_finding(subject)
    yield from findings_of(subject)


def over_clusters(reports: t.Any) -> list[Found]:
    """Reports of clusters in order, with what is only seen over all of them: roles that several places share.

    A report has ``cluster``, ``access``, ``orphans`` and ``notes`` as the module returns them. One of a cluster that
    could not be read has its ``error``, or is the result of a failed task. What is given is not changed, and doing it
    again changes nothing.

    :raises ReportError: for what is no such list.
    """
    given = plain(reports)
    if not isinstance(given, list):
        raise ReportError("What is given is no list: give a list of results of eks_pod_identity_access_info.")
    cleaned = sorted((clean(number, report) for number, report in enumerate(given, 1)), key=cluster_order)
    places = places_of_roles(cleaned)
    for report in cleaned:
        for item in report["access"]:
            own = [finding for finding in item["findings"] if finding["id"] != SHARED]
            item["findings"] = in_order([*own, *shared_findings(item["role"], places[item["role"]["arn"]])])
    return cleaned


def clean(number: int, report: t.Any) -> Found:
    """A report with all its parts, and nothing else."""
    given = mapping(report)
    cluster = mapping(given.get("cluster"))
    failed = given.get("failed") is True or given.get("unreachable") is True
    error = text(given.get("error")) or (text(given.get("msg")) if failed else "")
    missing = [key for key in ("cluster", *(() if error else ("access",))) if key not in given]
    access, orphans = listing(given.get("access")), listing(given.get("orphans"))
    missing += sorted({key for item in access for key in lacks(item, ITEM_KEYS)})
    missing += sorted({key for item in access for key in lacks(mapping(item).get("role"), ROLE_KEYS)})
    missing += sorted({key for item in orphans for key in lacks(item, ORPHAN_KEYS)})
    if missing:
        raise ReportError(
            f"Item {number} of the list lacks {', '.join(missing)}: give results of eks_pod_identity_access_info, "
            "those of failed tasks with the name of the cluster as cluster.name."
        )
    return {
        "cluster": {key: text(cluster.get(key)) or None for key in ("name", "arn", "region", "account")},
        "access": sorted(access, key=lambda item: (item["namespace"], item["service_account"])),
        "orphans": orphans,
        "notes": listing(given.get("notes")),
        "error": error or None,
    }


def lacks(item: t.Any, keys: t.Iterable[str]) -> list[str]:
    """The keys that something lacks."""
    return [key for key in keys if key not in mapping(item)]


def cluster_order(report: Found) -> list[str]:
    return [report["cluster"][key] or "" for key in ("name", "region", "account")]


def cluster_names(reports: t.Sequence[Found]) -> list[str]:
    """What the cluster of each report is called, with its region and account where several have its name."""
    clusters = [report["cluster"] for report in reports]
    count = collections.Counter(cluster["name"] for cluster in clusters)
    return [
        cluster["name"] or "without a name"
        if count[cluster["name"]] == 1
        else f"{cluster['name']} ({', '.join(filter(None, (cluster['region'], cluster['account'])))})"
        for cluster in clusters
    ]


def places_of_roles(reports: t.Sequence[Found]) -> dict[str, list[str]]:
    """Cluster and namespace of all that has a role, by the role's ARN."""
    places: dict[str, set[tuple[str, str]]] = collections.defaultdict(set)
    for name, report in zip(cluster_names(reports), reports, strict=True):
        for item in report["access"]:
            places[item["role"]["arn"]].add((name, item["namespace"]))
    return {arn: [f"{name}/{namespace}" for name, namespace in sorted(found)] for arn, found in places.items()}


def shared_findings(role: Found, places: t.Sequence[str]) -> c.Iterator[Found]:
    """That a role is shared, so that what one place needs all of them may do."""
    if len(places) > 1:
        more = f" and {len(places) - TOLD_PLACES} more" if len(places) > TOLD_PLACES else ""
        yield Finding(
            id=SHARED,
            severity="info",
            text=f"Role {role['name']} serves {len(places)} namespaces: {', '.join(places[:TOLD_PLACES])}{more} "
            f"({role['arn']}).",
            advice="Give each a role of its own where they need not be allowed the same.",
        ).render()


def all_findings(report: Found) -> list[tuple[Found, Found]]:
    """Each finding of a report, with the item of ``access`` or ``orphans`` that it is about."""
    return [(finding, item) for part in ("access", "orphans") for item in report[part] for finding in item["findings"]]


def summary(reports: t.Sequence[Found]) -> Found:
    """How much there is of everything; a finding that several workloads share counts once."""
    items = [item for report in reports for item in report["access"]]
    roles = {role["arn"] for item in items for role in (item["role"], item["target_role"]) if role}
    found = {
        (finding["severity"], finding["id"], finding["text"])
        for report in reports
        for finding, _item in all_findings(report)
    }
    counted = collections.Counter(severity for severity, _id, _text in found)
    return {
        "clusters": len(reports),
        "unread_clusters": sum(bool(report["error"]) for report in reports),
        "workloads": len(items),
        "roles": len(roles),
        "findings": {severity: counted[severity] for severity in SEVERITIES},
    }

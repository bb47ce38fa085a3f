# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The overview as a table: one row for each association, each trust that was left over and each unread cluster."""

from __future__ import annotations

import csv
import io
import json
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import Found
from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import worst
from ansible_collections.podidentity.eks.plugins.module_utils._access.reports import over_clusters

COLUMNS = (
    *("kind", "cluster", "region", "account", "namespace", "service_account", "association_id", "owner", "managed"),
    *("role", "role_arn", "role_exists", "target_role_arn", "target_role_exists", "managed_policies"),
    *("inline_policies", "permissions_boundary", "session_policy", "session_tags", "trust_scope", "trust_reason"),
    *("role_created", "role_last_used", "created_at", "modified_at", "severity", "findings"),
)
#: What a spreadsheet takes for the beginning of a formula
#: (https://owasp.org/www-community/attacks/CSV_Injection).
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")

Row = dict[str, t.Any]


def as_csv(reports: t.Iterable[t.Any]) -> str:
    """The table as CSV with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([cell(row.get(column)) for column in COLUMNS] for row in rows(over_clusters(reports)))
    return text.getvalue()


def cell(value: t.Any) -> str:
    """A value as a spreadsheet shows it; an apostrophe keeps it from calculating."""
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def rows(reports: t.Iterable[Found]) -> list[Row]:
    """All rows, cluster by cluster."""
    found: list[Row] = []
    for report in reports:
        cluster = report["cluster"]
        place = {"cluster": cluster["name"], "region": cluster["region"], "account": cluster["account"]}
        if report["error"]:
            found.append({**place, "kind": "unread cluster", "severity": "error", "findings": report["error"]})
        found += [{**place, **association_row(item)} for item in report["access"]]
        found += [{**place, **orphan_row(item)} for item in report["orphans"]]
    return found


def association_row(item: Found) -> Row:
    role, target = item["role"], item["target_role"] or {}
    # What the pods may do is what the last role of the chain may.
    effective = target or role
    last_used = role["last_used"] or {}
    return {
        "kind": "association",
        **{key: item[key] for key in ("namespace", "service_account", "association_id", "owner", "managed")},
        "role": role["name"],
        "role_arn": role["arn"],
        "role_exists": role["exists"],
        "target_role_arn": target.get("arn"),
        "target_role_exists": target.get("exists"),
        "managed_policies": names(effective["managed_policies"]),
        "inline_policies": names(effective["inline_policies"]),
        "permissions_boundary": effective["permissions_boundary"],
        "session_policy": json.dumps(item["session_policy"], sort_keys=True) if item["session_policy"] else None,
        "session_tags": item["session_tags"],
        "trust_scope": item["trust"]["scope"],
        "trust_reason": item["trust"]["reason"],
        "role_created": role["create_date"],
        "role_last_used": last_used.get("date"),
        "created_at": item["created_at"],
        "modified_at": item["modified_at"],
        **told(item["findings"]),
    }


def orphan_row(item: Found) -> Row:
    workload = {key: item[key] for key in ("namespace", "service_account")}
    return {"kind": "trust left over", **workload, "role": item["role_name"], **told(item["findings"])}


def names(policies: t.Iterable[Found]) -> str:
    return "; ".join(policy["name"] for policy in policies)


def told(findings: t.Sequence[Found]) -> Row:
    return {
        "severity": worst(finding["severity"] for finding in findings) or None,
        "findings": "; ".join(f"{finding['severity']} {finding['id']}: {finding['text']}" for finding in findings),
    }

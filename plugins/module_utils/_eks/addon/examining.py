# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What EKS would refuse in a plan, found before its first write, in check mode too.

It costs calls, so only what is to be written is looked at.
"""

from __future__ import annotations

import typing as t

from .. import common
from ..association import calls as associations
from ..validation import quoted
from . import calls
from . import schema

if t.TYPE_CHECKING:
    from mypy_boto3_eks.client import EKSClient

    from ..association.objects import Association
    from .declared import AddonSpec

#: The operations that write configuration and associations.
WRITES = ("create_addon", "update_addon")


def examine(client: EKSClient, spec: AddonSpec, change: common.Change) -> list[str]:
    """Refuse a plan that EKS would refuse; returns what a person should know all the same.

    :raises common.AnsibleEKSError: with everything that is wrong.
    """
    written = next((action.parameters for action in change.actions if action.operation in WRITES), None)
    if written is None or change.after is None:
        return []
    configuration = change.after["configuration"] if "configurationValues" in written else {}
    identities = written.get("podIdentityAssociations")
    if not configuration and not identities:
        return []
    known = calls.describe_configuration(client, spec.name, written["addonVersion"])
    found: list[str] = []
    warnings: list[str] = []
    if configuration and known:
        found, warnings = _configuration_problems(configuration, known, spec)
    if identities:
        found += unsupported(spec, known) if known else []
        found += _taken(client, spec, change)
    common.refuse(found)
    return warnings


def _configuration_problems(
    configuration: t.Mapping[str, t.Any], known: calls.Configuration, spec: AddonSpec
) -> tuple[list[str], list[str]]:
    """What is wrong with a configuration, and a warning when that cannot be known."""
    where = f"{spec} in version {known.version}"
    if known.schema is None:
        return [], [f"EKS tells no schema that can be read for {where}, so only EKS itself checks its configuration."]
    try:
        return schema.problems(configuration, known.schema, where), []
    except ValueError as error:
        return [], [f"{error}; only EKS itself checks the configuration."]


def unsupported(spec: AddonSpec, known: calls.Configuration) -> list[str]:
    """Service accounts that cannot have an association, beside those that can."""
    declared = [identity["service_account"] for identity in spec.pod_identity_associations or ()]
    if not known.service_accounts:
        return [
            f"pod_identity_associations of {spec} name {', '.join(declared)}: version {known.version} of it takes no "
            "EKS Pod Identity association, leave the option out."
        ]
    return [
        f"service_account {quoted(account)} in pod_identity_associations of {spec} is none that version "
        f"{known.version} of it has: {', '.join(sorted(known.service_accounts))} can have an association."
        for account in declared
        if account not in known.service_accounts
    ]


def _taken(client: EKSClient, spec: AddonSpec, change: common.Change) -> list[str]:
    """Associations of others in the way of those that are to be made."""
    own = {one["service_account"] for one in (change.before or {}).get("pod_identity_associations", ())}
    new = {identity["service_account"] for identity in spec.pod_identity_associations or ()} - own
    namespace = (change.after or {}).get("namespace")
    if not new or namespace is None:
        return []
    listed = associations.list_associations(client, spec.cluster_name, namespace=namespace) or []
    return [in_the_way(spec, one) for one in listed if one.service_account in new]


def in_the_way(spec: AddonSpec, association: Association) -> str:
    """The sentence for an association that the add-on cannot have, because EKS hands none over."""
    owner = f"add-on {association.owner_arn.split('/')[-2]}" if association.owner_arn else "no add-on"
    way = (
        "take it out of that add-on's pod_identity_associations"
        if association.owner_arn
        else "delete it (eks_pod_identity_association with state=absent)"
    )
    return (
        f"{association.namespace}/{association.service_account} has the association {association.association_id} "
        f"already, which belongs to {owner}, and EKS hands none over to {spec}: {way}, or leave the service account "
        "out of pod_identity_associations."
    )

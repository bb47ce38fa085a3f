# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The plan between an add-on that is declared and the one that is there."""

from __future__ import annotations

import json
import typing as t

from .. import common
from . import comparing
from .results import normalized

if t.TYPE_CHECKING:
    from .declared import Addon
    from .declared import AddonSpec


def plan(
    before: Addon | None, spec: AddonSpec, version: str | None = None, namespace: str | None = None
) -> common.Change:
    """What must be done to an add-on so that the declared one is there.

    :param before: the add-on as it is, None where there is none.
    :param version: the exact version that the declared one means, None to leave the version as it is.
    :param namespace: where EKS puts a new add-on when nothing is declared, None where that is not known.
    """
    names = {"clusterName": spec.cluster_name, "addonName": spec.name}
    if not spec.present:
        deletes = before is not None and before["status"] != "DELETING"
        parameters = {**names, "preserve": True} if spec.preserve else names
        return common.Change(before, None, (common.Action("delete_addon", parameters),) if deletes else ())
    if before is None:
        return _plan_creation(spec, version, names, namespace)
    return _plan_update(before, spec, version, names)


def _plan_creation(
    spec: AddonSpec, version: str | None, names: t.Mapping[str, str], namespace: str | None
) -> common.Change:
    fields = {
        **names,
        "addonVersion": version,
        "configurationValues": json.dumps(spec.configuration) if spec.configuration else None,
        "serviceAccountRoleArn": spec.service_account_role_arn or None,
        # EKS takes PRESERVE for updates only; of a new add-on there is nothing yet to preserve.
        "resolveConflicts": _conflicts(spec) if spec.resolve_conflicts != "preserve" else None,
        "tags": spec.first_tags or None,
        "namespaceConfig": {"namespace": spec.namespace} if spec.namespace else None,
    }
    expected = {
        **normalized({**common.without_none(fields), "status": "ACTIVE"}),
        "namespace": spec.namespace or namespace,
        "pod_identity_associations": comparing.associations((), spec),
    }
    identities = _identities(spec) if spec.pod_identity_associations else None
    parameters = common.without_none({**fields, "podIdentityAssociations": identities})
    return common.Change(None, expected, (common.Action("create_addon", parameters),))


def _plan_update(before: Addon, spec: AddonSpec, version: str | None, names: t.Mapping[str, str]) -> common.Change:
    wanted = comparing.wanted(before, spec, version)
    tags, actions = common.plan_tags(before["arn"], before["tags"], spec.tags, spec.purge_tags, spec.creation_tags)
    after = {**before, "tags": tags}
    if comparing.needs_update(before, wanted):
        parameters = {**names, **_update_parameters(before, spec, wanted), "resolveConflicts": _conflicts(spec)}
        # The tags first: they cannot be written while an update is in progress that nobody waits for.
        actions = (*actions, common.Action("update_addon", common.without_none(parameters)))
        after = {**after, **wanted, "status": "ACTIVE", "health": {"issues": []}}
    return common.Change(before, after, actions)


def _update_parameters(before: Addon, spec: AddonSpec, wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Everything that the add-on shall have, because what an update leaves out goes back to a default.

    Associations are the exception: left out, they stay; and naming them restarts the add-on's pods.
    """
    configured = wanted["configuration"] or before["configuration"]
    moved = wanted["pod_identity_associations"] != before["pod_identity_associations"]
    return {
        "addonVersion": wanted["version"],
        "configurationValues": json.dumps(wanted["configuration"]) if configured else None,
        "serviceAccountRoleArn": wanted["service_account_role_arn"],
        "podIdentityAssociations": _identities(spec) if moved else None,
    }


def _identities(spec: AddonSpec) -> list[dict[str, str]]:
    return [
        {"serviceAccount": identity["service_account"], "roleArn": identity["role_arn"]}
        for identity in spec.pod_identity_associations or ()
    ]


def _conflicts(spec: AddonSpec) -> str | None:
    return spec.resolve_conflicts.upper() if spec.resolve_conflicts else None

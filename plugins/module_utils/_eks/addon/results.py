# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Add-ons as our modules return them."""

from __future__ import annotations

import json
import typing as t

try:
    import yaml
except ImportError:
    yaml = None  # type: ignore[assignment]  # needed only for an add-on that others configured by YAML

from .. import common

if t.TYPE_CHECKING:
    import collections.abc as c

    from ..association.objects import Association
    from .declared import Addon


def normalized(addon: t.Mapping[str, t.Any], described: c.Iterable[Association] = ()) -> dict[str, t.Any]:
    """An add-on as modules return it: always with the same keys, the configuration as a mapping.

    :param described: its associations; DescribeAddon tells their ARNs only, so of others the rest is None.
    """
    values = common.to_ansible({key: value for key, value in addon.items() if key != "configurationValues"})
    return {
        "name": values["addon_name"],
        "cluster_name": values["cluster_name"],
        "arn": values.get("addon_arn"),
        "version": values.get("addon_version"),
        "status": values["status"],
        "health": {"issues": values.get("health", {}).get("issues", [])},
        "configuration": configuration_of(addon),
        "namespace": values.get("namespace_config", {}).get("namespace"),
        "service_account_role_arn": values.get("service_account_role_arn") or None,
        "pod_identity_associations": _associations(addon, described),
        "tags": values.get("tags") or {},
        "created_at": values.get("created_at"),
        "modified_at": values.get("modified_at"),
    }


def _associations(addon: t.Mapping[str, t.Any], described: c.Iterable[Association]) -> list[dict[str, t.Any]]:
    """The associations that an add-on owns, in the order of their service accounts."""
    known = {one.association_arn: one for one in described}
    found = [
        {
            "association_id": arn.rsplit("/", 1)[-1],
            "association_arn": arn,
            "service_account": known[arn].service_account if arn in known else None,
            "role_arn": known[arn].role_arn if arn in known else None,
        }
        for arn in addon.get("podIdentityAssociations") or ()
    ]
    return sorted(found, key=lambda one: (one["service_account"] or "", one["association_arn"]))


def association_ids(addon: t.Mapping[str, t.Any]) -> list[str]:
    """The IDs of the associations that an add-on, as EKS answers it, owns."""
    return [arn.rsplit("/", 1)[-1] for arn in addon.get("podIdentityAssociations") or ()]


def told(addon: Addon) -> str:
    """The state of an add-on with EKS's health issues, for a message."""
    issues = [
        f"{issue['code']}: {issue['message']}" + (f" [{', '.join(ids)}]" if (ids := issue.get("resource_ids")) else "")
        for issue in addon["health"]["issues"]
    ]
    return f"{addon['status']} ({'; '.join(issues) or 'EKS names no issue'})"


def configuration_of(addon: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The configuration values of an add-on as data; EKS keeps the text that somebody wrote, JSON or YAML.

    :raises common.AnsibleEKSError: when they cannot be read.
    """
    text = addon.get("configurationValues") or "{}"
    try:
        values = json.loads(text)
    except ValueError:
        values = _from_yaml(addon["addonName"], text)
    if not isinstance(values or {}, dict):
        raise common.AnsibleEKSError(f"The configuration of add-on {addon['addonName']} in EKS is no mapping.")
    return dict(values or {})


def _from_yaml(name: str, text: str) -> t.Any:
    if yaml is None:
        raise common.AnsibleEKSError(
            f"The configuration of add-on {name} was written as YAML: install PyYAML to compare it."
        )
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise common.AnsibleEKSError(f"The configuration of add-on {name} in EKS is no YAML: {error}.") from error

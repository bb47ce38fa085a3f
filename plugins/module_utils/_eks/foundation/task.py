# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""From the options of the module ``eks_cluster_plan`` to its plan: check, observe, check again, plan."""

from __future__ import annotations

import typing as t

from ..common import CONCURRENCY
from ..common import refuse
from ..role import calls
from . import api
from . import plan as plans
from .obstacles import obstacles
from .spec import problems
from .spec import spec_from

if t.TYPE_CHECKING:
    from ..common import AnsibleEKSModule
    from .spec import Declaration


def observe_and_plan(module: AnsibleEKSModule) -> tuple[dict[str, t.Any], list[str]]:
    """The plan, and what the caller may not read.

    :raises AnsibleEKSError: when the declaration is wrong, which is found before any call, when it cannot be applied to
        what exists, or when a call fails.
    """
    declared = spec_from(module.params)
    refuse(problems(declared))
    eks, iam, ec2 = module.eks_client(), module.watched_client("iam"), module.watched_client("ec2")
    found = api.look_up(api.Clients(eks, iam, ec2), declared, CONCURRENCY)
    refuse(obstacles(declared, found))
    predicts = module.check_mode and declared.present and not found["foreign"]
    place = plans.Place(eks.meta.region_name, _account(module, declared, found) if predicts else None)
    return plans.plan(declared, found, place), api.unread(found) if declared.present else []


def _account(module: AnsibleEKSModule, declared: Declaration, found: api.Found) -> str:
    """The account in which check mode predicts ARNs; the caller is only asked for where nothing else tells it."""
    known = module.params["account"] or plans.known_account(declared, found)
    return known or calls.caller_arn(module.watched_client("sts")).split(":")[4]

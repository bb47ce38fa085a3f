# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Whether new pods would get their identity, read from association, role and agent, where no pod has proven it."""

from __future__ import annotations

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import Association
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import read_association
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import dig
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import listing
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import sentence
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import text
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.surroundings import RoleFacts
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.surroundings import read_addon
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.surroundings import read_roles
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import explain_refusal
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import session_context

#: Namespace and service account.
Account = tuple[str, str]
#: States of an add-on in which its agents run, or are being replaced one after the other.
RUNNING = ("ACTIVE", "UPDATING")
#: Causes that say why no pod could be asked, and nothing about the identity.
UNTRIED = frozenset(
    {
        "verification_failed",
        "job_refused",
        "pods_not_listed",
        "pod_not_created",
        "pod_unschedulable",
        "image_pull_failed",
        "image_unusable",
        "image_without_boto3",
        "no_running_pod",
        "exec_refused",
    }
)


def judged(proofs: t.Any) -> tuple[set[Account], dict[Account, str]]:
    """Who is proven, and why others are not, as a clause; where no pod could be asked, neither."""
    proven: set[Account] = set()
    refuted: dict[Account, str] = {}
    for proof in listing(proofs):
        account = (text(dig(proof, "namespace")), text(dig(proof, "service_account")))
        cause = text(dig(proof, "cause", "id"))
        if dig(proof, "proven") is True:
            proven.add(account)
        elif cause not in UNTRIED:
            refuted[account] = f"it is not proven ({cause})"
    return proven, refuted


def associated(associations: t.Any) -> dict[Account, Association]:
    """The associations of a list by namespace and service account."""
    return {
        (text(dig(one, "namespace")), text(dig(one, "service_account"))): read_association(one)
        for one in listing(associations)
    }


def refusals(accounts: t.Iterable[Account], associations: t.Any, roles: t.Any) -> dict[Account, str]:
    """Why EKS would not assume the role, as a clause, for each account for which that is so or cannot be told.

    :param roles: what ``eks_pod_identity_role_info`` returns.
    """
    known, facts = associated(associations), read_roles(roles)
    unread = {text(dig(one, "arn")): text(dig(one, "message")) for one in listing(dig(roles, "unread"))}
    found = {}
    for account in accounts:
        association = known.get(account)
        reason = "it has no association" if association is None else refusal(account, association, facts, unread)
        if reason:
            found[account] = reason
    return found


def refusal(
    account: Account, association: Association, facts: t.Mapping[str, RoleFacts], unread: t.Mapping[str, str]
) -> str:
    """Why EKS would not assume the role of one association; empty where nothing speaks against it."""
    arn = association.role_arn
    role = facts.get(arn)
    if role is None:
        return f"its role {arn} could not be read ({sentence(unread.get(arn, 'not tried'))})"
    if not role.exists:
        return f"its role {arn} does not exist"
    context = session_context(association.cluster_arn, *account, tags=association.session_tags)
    why = explain_refusal(role.trust, context)
    return f"trust_refused, EKS may not assume its role {arn}: {why}" if why else ""


def agent_refusal(agent: t.Any) -> str:
    """Why no agent would hand out credentials, as a clause; empty where nothing speaks against it or nothing is known.

    :param agent: by ``addons`` what ``eks_addon_info`` returns, by ``clusters`` what ``eks_cluster_info`` returns of a
        cluster without the add-on, and by ``managed`` whether the add-on is the agent.
    """
    addons = dig(agent, "addons")
    if not isinstance(addons, (list, tuple)):
        return ""
    if addons:
        addon = read_addon(addons[0])
        if addon.status in RUNNING:
            return ""
        issues = f" ({' '.join(addon.issues)})" if addon.issues else ""
        return f"the add-on eks-pod-identity-agent is {addon.status}{issues}"
    # Auto Mode has an agent of its own, and a chart may bring one.
    auto_mode = dig(next(iter(listing(dig(agent, "clusters"))), {}), "auto_mode")
    if auto_mode is not False or dig(agent, "managed") is False:
        return ""
    return "the cluster has no add-on eks-pod-identity-agent (where a chart brings the agent, set agent_managed: false)"

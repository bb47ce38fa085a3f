# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Why a verification failed: one function for each cause, asked in this order until one recognises its own.

The order goes from what must come first (an association) to what comes last (a call), so that the first answer is the
one to mend first. The causes are those of facts that users report again and again; the identifiers are part of the
collection's interface and stay as they are.
"""

from __future__ import annotations

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis import agent_causes
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis import call_causes
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis import pod_causes
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis import role_causes
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import Case
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import Cause

#: From what must come first to what comes last.
CAUSES: tuple[t.Callable[[Case], Cause | None], ...] = (
    pod_causes.association_missing,
    pod_causes.job_refused,
    pod_causes.pod_not_created,
    pod_causes.image_pull_failed,
    pod_causes.image_unusable,
    pod_causes.pod_unschedulable,
    pod_causes.deadline_exceeded,
    pod_causes.no_document,
    pod_causes.image_without_boto3,
    pod_causes.injection_skipped,
    pod_causes.webhook_missing,
    pod_causes.webhook_changed,
    pod_causes.not_injected,
    pod_causes.credentials_shadowed,
    pod_causes.sdk_too_old,
    agent_causes.agent_down,
    agent_causes.node_role_forbidden,
    role_causes.role_refused,
    agent_causes.agent_refused,
    call_causes.credentials_failed,
    call_causes.wrong_identity,
    call_causes.deny_allowed,
    call_causes.session_tags_refused,
    call_causes.permission_denied,
    call_causes.call_failed,
)


def find_cause(case: Case) -> Cause:
    """The first cause that recognises its own, in the order of :data:`CAUSES`."""
    for recognise in CAUSES:
        cause = recognise(case)
        if cause is not None:
            return cause
    return call_causes.unexplained(case)

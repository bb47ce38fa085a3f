# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What does not fail a verification and may well fail the workload, whose SDK is another one."""

from __future__ import annotations

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import Case


def warn(case: Case) -> list[str]:
    """The warnings about one workload, one sentence each."""
    proxies = case.document.proxies if case.document else ()
    if not proxies:
        return []
    return [
        f"{' and '.join(proxies)} sends SDKs other than boto3 to a proxy for the Pod Identity agent's address: add "
        "169.254.170.23 and fd00:ec2::23 to NO_PROXY."
    ]

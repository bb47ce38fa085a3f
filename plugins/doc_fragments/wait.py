# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of waiting: documentation fragment ``podidentity.eks.wait``, for ``argspec.WAIT``."""

from __future__ import annotations


class ModuleDocFragment:
    """Options that say whether and how long to wait."""

    DOCUMENTATION = r"""
options:
  wait:
    description:
      - Whether to wait until what was begun is done. A state of failure fails the task with EKS's reasons.
      - With V(true), what others or an earlier run have begun is waited for first.
      - With V(false), the task ends as soon as EKS has accepted the last call, and the returned object shows the state
        it had then. EKS takes one update of a resource at a time, so when several are needed, all but the last one are
        waited for even then.
    type: bool
    default: true
  wait_timeout:
    description:
      - For how many seconds to wait at most for each thing that is waited for. When they are over the task fails and
        says which state was reached; the next run goes on from there.
    type: int
    default: 1200
"""

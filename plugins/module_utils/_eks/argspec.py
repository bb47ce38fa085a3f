# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Options that several modules share; their documentation is in ``plugins/doc_fragments``."""

from __future__ import annotations

import typing as t

from .common import AnsibleEKSError
from .waiters import Patience

ArgumentSpec = dict[str, dict[str, t.Any]]

STATE: ArgumentSpec = {"state": {"type": "str", "choices": ["present", "absent"], "default": "present"}}
#: Which parts of a task that creates and removes are done.
OPERATIONS: ArgumentSpec = {
    "operations": {
        "type": "list",
        "elements": "str",
        "choices": ["apply", "remove"],
        "default": ["apply", "remove"],
    }
}
TAGS: ArgumentSpec = {
    "tags": {"type": "dict", "aliases": ["resource_tags"]},
    "purge_tags": {"type": "bool", "default": True},
}
CREATION_TAGS: ArgumentSpec = {"creation_tags": {"type": "dict"}}
PLANNED_CLUSTER: ArgumentSpec = {"planned_cluster": {"type": "dict"}}
ASSUME_ROLE: ArgumentSpec = {"assume_role_arn": {"type": "str"}, "assume_role_external_id": {"type": "str"}}
IAM_PROPAGATION: ArgumentSpec = {"iam_propagation_timeout": {"type": "int", "default": 120}}
WAIT: ArgumentSpec = {
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 1200},
}


def merged(*parts: ArgumentSpec) -> ArgumentSpec:
    """One argument specification out of several."""
    return {option: spec for part in parts for option, spec in part.items()}


def patience(params: t.Mapping[str, t.Any]) -> Patience:
    """How long the task may wait.

    :raises AnsibleEKSError: when ``wait_timeout`` is no number of seconds to wait.
    """
    if params["wait_timeout"] < 1:
        raise AnsibleEKSError(f"wait_timeout: {params['wait_timeout']} cannot be right, it must be 1 second or more.")
    return Patience(params["wait"], params["wait_timeout"])

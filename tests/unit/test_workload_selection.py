# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Selecting workloads, and lines about what failed."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_select import pod_identity_select
from ansible_collections.podidentity.eks.plugins.module_utils._workload.failure import all_failed
from ansible_collections.podidentity.eks.plugins.module_utils._workload.failure import failed_item
from ansible_collections.podidentity.eks.plugins.module_utils._workload.failure import lines

WEB = {"namespace": "a", "service_account": "web", "role": {"name": "app"}, "target_role": {"name": "far"}}
JOBS = {"namespace": "a", "service_account": "jobs", "role": {"arn": "arn:x"}, "state": "present"}
OLD = {"namespace": "b", "service_account": "old", "state": "absent"}
ALL = [WEB, JOBS, OLD]


def test_selects_by_state_name_role_and_key() -> None:
    assert pod_identity_select(ALL) == ALL
    assert pod_identity_select(ALL, "present") == [WEB, JOBS]
    assert pod_identity_select(ALL, "absent") == [OLD]
    assert pod_identity_select(ALL, without=["a/web"]) == [JOBS, OLD]
    assert pod_identity_select(ALL, only=["a/web", "c/none"]) == [WEB]
    assert pod_identity_select(ALL, roles=["app"]) == [WEB]
    assert pod_identity_select(ALL, has="target_role") == [WEB]
    assert pod_identity_select([]) == []


def test_workload_without_a_name_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match=r"workloads\[2\] lacks namespace or service_account: give both\."):
        pod_identity_select([WEB, {"namespace": "a"}])


def test_failures_name_each_reason_once() -> None:
    many = [{"namespace": "n", "service_account": str(number)} for number in range(7)]
    items = [
        *all_failed(many, "association", "The role app does not exist."),
        failed_item("", "iam_role", "role left: it could not be deleted"),
        failed_item("a/web", "restart", "Deployment a/web was not restarted: it is paused."),
        failed_item("a/web", "restart", "Deployment a/web was not restarted: it is paused."),
    ]
    assert lines(items) == [
        "n/0, n/1, n/2, n/3, n/4 and 2 more: The role app does not exist.",
        "role left: it could not be deleted",
        "a/web: Deployment a/web was not restarted: it is paused.",
    ]
    assert items[0] == {
        "workload": "n/0",
        "namespace": "n",
        "service_account": "0",
        "phase": "association",
        "reason": "The role app does not exist.",
    }

# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values with which ansible-core's own check of options ends in a traceback: one sentence each, before any call."""

from __future__ import annotations

import typing as t

import pytest
from support.module_runs import RunModule
from support.sandbox_process import SandboxProcess

NODEGROUP: dict[str, t.Any] = {"cluster_name": "example", "name": "general"}
WRONG: list[tuple[str, dict[str, t.Any], str]] = [
    (
        "eks_cluster",
        {"name": "example", "auto_mode": True},
        "auto_mode is true: give a mapping of enabled, node_pools, node_role_arn.",
    ),
    ("eks_nodegroup", {**NODEGROUP, "scaling": 3}, "scaling is 3: give a mapping of min_size, max_size, desired_size."),
    ("eks_nodegroup", {**NODEGROUP, "wait_timeout": float("inf")}, "wait_timeout is .inf: give a finite number."),
    ("eks_nodegroup", {**NODEGROUP, "taints": [5]}, "taints[1] is 5: give a mapping of key, value, effect."),
    ("eks_nodegroup", {**NODEGROUP, "scaling": {"min_size": float("nan")}}, "scaling.min_size is .nan: give a finite"),
    (
        "eks_access_entry",
        {"cluster_name": "example", "principal_arn": "x", "policies": [True]},
        "policies[1] is true: give a mapping of policy, namespaces.",
    ),
    (
        "eks_pod_identity_associations",
        {"cluster_name": "example", "associations": [7]},
        "associations[1] is 7: give a mapping of namespace, service_account,",
    ),
    ("eks_pod_identity_probe", {"workloads": [7]}, "workloads[1] is 7: give a mapping."),
    (
        "eks_cluster",
        {"name": "example", "aws_config": {"name": "x"}},
        "aws_config: Got unexpected keyword argument 'name'; give options of botocore.config.Config, such as retries.",
    ),
]


@pytest.mark.parametrize(("module", "params", "sentence"), WRONG)
def test_unusable_value_is_refused_in_one_sentence(
    run_module: RunModule, sandbox: SandboxProcess, module: str, params: dict[str, t.Any], sentence: str
) -> None:
    sandbox.clear_calls()
    result = run_module(module, **params)
    assert result["failed"] and result["msg"].startswith(sentence)
    assert sandbox.call_log() == []


def test_all_unusable_values_are_named_at_once(run_module: RunModule, sandbox: SandboxProcess) -> None:
    result = run_module("eks_nodegroup", **NODEGROUP, scaling=3, update_config=False)
    assert [line.split(":")[0] for line in result["msg"].splitlines()] == ["scaling is 3", "update_config is false"]

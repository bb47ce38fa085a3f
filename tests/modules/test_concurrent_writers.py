# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs that write the same thing at the same time: nothing that one of them has written gets lost."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import sys
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Subject
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import statement_id
from support import role_writers
from support.aws_proxy import AwsProxy
from support.iam_roles import make_role
from support.module_runs import CLUSTER_ROLE
from support.module_runs import NODE_ROLE
from support.module_runs import Account
from support.module_runs import RunModule
from support.sandbox_process import SandboxProcess

ROLE = "fleet"


def controller_env(folder: pathlib.Path) -> dict[str, str]:
    """The environment of a controller with a folder for temporary files of its own."""
    folder.mkdir()
    return {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def subject_sid(name: str) -> str:
    return statement_id(Subject(role_writers.cluster(name), "default", "app"))


@pytest.mark.parametrize(
    ("hosts", "controllers"),
    [(12, 2), pytest.param(50, 1, marks=pytest.mark.deep), pytest.param(50, 2, marks=pytest.mark.deep)],
)
def test_hosts_share_a_role_without_loss(
    sandbox: SandboxProcess, clients: dict[str, t.Any], tmp_path: pathlib.Path, hosts: int, controllers: int
) -> None:
    iam = clients["iam"]
    make_role(iam, ROLE, "lambda.amazonaws.com")
    sandbox.knobs(latency_seconds=0.03, trust_policy_characters=8192)
    names = [f"c{number}" for number in range(hosts)]
    runs = [
        role_writers.start(ROLE, names[number::controllers], controller_env(tmp_path / str(number)))
        for number in range(controllers)
    ]
    assert [json.loads(run.communicate()[0]) for run in runs] == [[]] * controllers
    statements = iam.get_role(RoleName=ROLE)["Role"]["AssumeRolePolicyDocument"]["Statement"]
    assert {one.get("Sid") for one in statements} == {None, *map(subject_sid, names)}
    policy = iam.get_role_policy(RoleName=ROLE, PolicyName="podidentity.eks-target")["PolicyDocument"]
    resources = {resource for one in policy["Statement"] for resource in one["Resource"]}
    assert resources == {f"arn:aws:iam::222233334444:role/{name}" for name in names}


# --- one resource, two runs -------------------------------------------------------------------------------------------


def test_nodegroup_created_by_other_run_is_waited_for(
    example: Account, aws_proxy: AwsProxy, run_module: RunModule
) -> None:
    aws_proxy.before("POST", "/node-groups$", functools.partial(example.create_nodegroup, labels={"by": "other"}))
    params: dict[str, t.Any] = {
        "cluster_name": "example",
        "name": "general",
        "node_role_arn": NODE_ROLE,
        "endpoint_url": aws_proxy.endpoint,
    }
    params |= {"subnet_ids": example.subnet_ids[:2], "instance_types": ["m5.large"]}
    result = run_module("eks_nodegroup", **params)
    assert not result["failed"] and not result["changed"] and result["actions"] == []
    assert result["nodegroup"]["status"] == "ACTIVE" and result["nodegroup"]["labels"] == {"by": "other"}


def test_nodegroup_created_otherwise_by_other_run_is_updated(
    example: Account, aws_proxy: AwsProxy, run_module: RunModule
) -> None:
    aws_proxy.before("POST", "/node-groups$", functools.partial(example.create_nodegroup, labels={"by": "other"}))
    params: dict[str, t.Any] = {
        "cluster_name": "example",
        "name": "general",
        "node_role_arn": NODE_ROLE,
        "endpoint_url": aws_proxy.endpoint,
    }
    result = run_module("eks_nodegroup", **params, subnet_ids=example.subnet_ids[:2], labels={"by": "us"})
    assert result["changed"] and result["actions"] == ["update_nodegroup_config"]
    assert result["nodegroup"]["labels"] == {"by": "us"}


def test_old_nodegroup_deleted_by_other_run_ends_replacement(
    example: Account, aws_proxy: AwsProxy, run_module: RunModule
) -> None:
    example.create_nodegroup()

    def deleted_by_other() -> None:
        example.eks.delete_nodegroup(clusterName="example", nodegroupName="general")
        example.until_gone("general")

    aws_proxy.before("POST", "/node-groups/general/update-config", deleted_by_other)
    params: dict[str, t.Any] = {
        "cluster_name": "example",
        "name": "general",
        "replace": True,
        "instance_types": ["m5.xlarge"],
    }
    result = run_module("eks_nodegroup", **params, endpoint_url=aws_proxy.endpoint)
    assert not result["failed"] and result["actions"] == ["create_nodegroup"]
    assert example.eks.list_nodegroups(clusterName="example")["nodegroups"] == [result["nodegroup"]["nodegroup_name"]]


def test_addon_created_by_other_run_is_updated(example: Account, aws_proxy: AwsProxy, run_module: RunModule) -> None:
    create = functools.partial(example.eks.create_addon, clusterName="example", addonName="coredns")
    aws_proxy.before("POST", "/addons$", create)
    params: dict[str, t.Any] = {"cluster_name": "example", "name": "coredns", "tags": {"team": "a"}, "wait_timeout": 20}
    example.create_nodegroup()
    result = run_module("eks_addon", **params, endpoint_url=aws_proxy.endpoint)
    assert not result["failed"] and result["actions"] == ["tag_resource"]
    assert result["addon"]["status"] == "ACTIVE" and result["addon"]["tags"] == {"team": "a"}


def test_cluster_created_by_other_run_is_waited_for(
    example: Account, aws_proxy: AwsProxy, run_module: RunModule
) -> None:
    aws_proxy.before("POST", "/clusters$", functools.partial(example.create_cluster, "shop"))
    params: dict[str, t.Any] = {
        "name": "shop",
        "role_arn": CLUSTER_ROLE,
        "subnet_ids": example.subnet_ids[:2],
        "version": "1.33",
    }
    result = run_module("eks_cluster", **params, endpoint_url=aws_proxy.endpoint)
    assert not result["failed"] and not result["changed"]
    assert result["cluster"]["status"] == "ACTIVE"

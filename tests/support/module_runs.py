# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Modules of the collection in an account of the sandbox: what is in it, and how a module is run."""

from __future__ import annotations

import collections.abc
import dataclasses
import gzip
import importlib
import json
import os
import pathlib
import time
import typing as t

import botocore.loaders
import pytest
from ansible.module_utils.testing import patch_module_args
from support.iam_roles import NODE_POLICIES
from support.iam_roles import make_role
from support.sandbox_process import SandboxProcess

ACCOUNT = "111122223333"
REGION = "eu-west-1"
CLUSTER_ROLE = f"arn:aws:iam::{ACCOUNT}:role/eks-cluster"
NODE_ROLE = f"arn:aws:iam::{ACCOUNT}:role/eks-node"
#: Role name -> the service that it trusts; the ones that the modules' examples name, too.
ROLES = {"eks-cluster": "eks.amazonaws.com", "eks-node": "ec2.amazonaws.com", "app": "pods.eks.amazonaws.com"}
#: Operations that only look.
READ_PREFIXES = ("eks:Describe", "eks:List")
Result = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Account:
    """What is in the account before a test: two roles for EKS, one for pods, and a network."""

    sandbox: SandboxProcess
    vpc_id: str
    #: Three, in zones a, b and c.
    subnet_ids: list[str]
    #: Two.
    security_group_ids: list[str]
    #: A boto3 client that sees each answer as it comes.
    eks: t.Any

    def create_cluster(self, name: str = "example", **parameters: t.Any) -> dict[str, t.Any]:
        """An ACTIVE cluster, made without our modules."""
        defaults = {"roleArn": CLUSTER_ROLE, "resourcesVpcConfig": {"subnetIds": self.subnet_ids[:2]}}
        self.eks.create_cluster(**{"name": name, "version": "1.33", **defaults, **parameters})
        return self.until_active(lambda: self.eks.describe_cluster(name=name)["cluster"])

    def create_nodegroup(
        self, cluster: str = "example", name: str = "general", **parameters: t.Any
    ) -> dict[str, t.Any]:
        """An ACTIVE node group, made without our modules."""
        names = {"clusterName": cluster, "nodegroupName": name}
        defaults = {"nodeRole": NODE_ROLE, "subnets": self.subnet_ids[:2], "instanceTypes": ["m5.large"]}
        self.eks.create_nodegroup(**{**names, **defaults, **parameters})
        return self.until_active(lambda: self.eks.describe_nodegroup(**names)["nodegroup"])

    def until_gone(self, nodegroup: str) -> None:
        """Look until the node group is not there any more; a test that waits for ten seconds has failed."""
        deadline = time.monotonic() + 10
        while nodegroup in self.eks.list_nodegroups(clusterName="example")["nodegroups"]:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    @staticmethod
    def until_active(describe: collections.abc.Callable[[], dict[str, t.Any]]) -> dict[str, t.Any]:
        """Look until it is ACTIVE; a test that waits for ten seconds has failed."""
        deadline = time.monotonic() + 10
        while (found := describe())["status"] != "ACTIVE":
            assert time.monotonic() < deadline, found
            time.sleep(0.01)
        return found

    def writes(self) -> list[str]:
        """The operations of EKS that could change something, in order, since the log was cleared."""
        return [
            call["operation"].removeprefix("eks:")
            for call in self.sandbox.call_log()
            if call["operation"].startswith("eks:") and not call["operation"].startswith(READ_PREFIXES)
        ]


class RunModule(t.Protocol):
    """Runs a module of the collection; returns its result, ``failed`` being always there."""

    def __call__(
        self, module_name: str, /, *, check_mode: bool = False, diff: bool = False, **params: t.Any
    ) -> Result: ...


def use_environment(monkeypatch: pytest.MonkeyPatch, env: collections.abc.Mapping[str, str]) -> None:
    """Only these AWS settings, whatever the developer's shell has; no file and no machine can add others."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    for name, value in {**nowhere, "AWS_EC2_METADATA_DISABLED": "true", **env}.items():
        monkeypatch.setenv(name, value)


def create_roles(iam: t.Any) -> None:
    """The roles of ``ROLES``, with the policies that EKS wants."""
    policies = {"eks-cluster": ("AmazonEKSClusterPolicy",), "eks-node": NODE_POLICIES}
    for name, service in ROLES.items():
        make_role(iam, name, service, *policies.get(name, ()))


def create_network(ec2: t.Any) -> tuple[str, list[str], list[str]]:
    """A VPC; returns its ID, those of three subnets, and those of two security groups."""
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet_ids = [
        ec2.create_subnet(VpcId=vpc_id, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"{REGION}{zone}")["Subnet"][
            "SubnetId"
        ]
        for number, zone in enumerate("abc")
    ]
    group_ids = [
        ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc_id)["GroupId"] for name in ("one", "two")
    ]
    return vpc_id, subnet_ids, group_ids


@pytest.fixture
def run_module(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> RunModule:
    """Runs a module as Ansible does, with the environment that the test has set up."""
    # A module runs where the controller's code is not loaded; other tests of this process may have loaded it, and then
    # warnings would go to its display instead of the module's result.
    monkeypatch.setattr("ansible.module_utils._internal.is_controller", False)

    def run(module_name: str, /, *, check_mode: bool = False, diff: bool = False, **params: t.Any) -> Result:
        module = importlib.import_module(f"ansible_collections.podidentity.eks.plugins.modules.{module_name}")
        arguments = {**params, "_ansible_check_mode": check_mode, "_ansible_diff": diff}
        # A kubeconfig that is loaded becomes the client's default for its process, which lives for one run.
        monkeypatch.setattr("kubernetes.client.Configuration._default", None)
        capsys.readouterr()
        with patch_module_args(arguments), pytest.raises(SystemExit) as ended:
            module.main()
        result: Result = json.loads(capsys.readouterr().out)
        assert (ended.value.code == 0) is not bool(result.get("failed"))
        return {"failed": False, **result}

    return run


def write_old_eks_model(folder: pathlib.Path, young: collections.abc.Mapping[str, t.Sequence[str]]) -> None:
    """Write the model of EKS without these members of its shapes, for a botocore with ``AWS_DATA_PATH``."""
    built_in = pathlib.Path(botocore.loaders.Loader.BUILTIN_DATA_PATH) / "eks" / "2017-11-01"
    model = json.loads(gzip.decompress((built_in / "service-2.json.gz").read_bytes()))
    for shape, members in young.items():
        for member in members:
            del model["shapes"][shape]["members"][member]
    target = folder / "eks" / "2017-11-01"
    target.mkdir(parents=True)
    (target / "service-2.json").write_text(json.dumps(model), encoding="utf-8")

# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The account of a sandbox, used with boto3, and short ways to wait and to see a refusal."""

from __future__ import annotations

import contextlib
import json
import time
import typing as t

import botocore.exceptions
import pytest
from support.iam_roles import NODE_POLICIES
from support.iam_roles import POD_ACTIONS
from support.iam_roles import make_role
from support.sandbox_process import SandboxProcess

#: As quick as it can be: these tests look at what happens, not at how long it takes.
QUICK = {"cluster_seconds": 0.01, "nodegroup_seconds": 0.01, "addon_seconds": 0.01, "addon_patience_seconds": 0.2}


class Account:
    """The account of a fresh sandbox, used with boto3."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self.sandbox = sandbox
        self.eks = sandbox.client("eks")
        self.iam = sandbox.client("iam")
        self.ec2 = sandbox.client("ec2")

    def subnets(self) -> list[str]:
        """Three subnets in three zones."""
        return [subnet["SubnetId"] for subnet in self.ec2.describe_subnets()["Subnets"]]

    def role(self, name: str, service: str, actions: t.Sequence[str] = POD_ACTIONS, *policies: str) -> str:
        """A role that trusts a service; returns its ARN."""
        return make_role(self.iam, name, service, *policies, actions=actions)

    def pod_role(self, name: str = "workload") -> str:
        """A role as a workload has one."""
        return self.role(name, "pods.eks.amazonaws.com")

    def cluster(self, name: str = "one", mode: str = "API", **more: t.Any) -> dict[str, t.Any]:
        """An ACTIVE cluster."""
        role = f"{name}-cluster"
        arn = self.role(role, "eks.amazonaws.com")
        self.eks.create_cluster(
            name=name,
            roleArn=arn,
            resourcesVpcConfig={"subnetIds": self.subnets()},
            accessConfig={"authenticationMode": mode},
            **more,
        )
        return wait_for(lambda: self.eks.describe_cluster(name=name)["cluster"], "ACTIVE")

    def nodegroup(self, cluster: str = "one", name: str = "nodes", **more: t.Any) -> dict[str, t.Any]:
        """An ACTIVE node group with two nodes."""
        if "nodeRole" not in more:
            more["nodeRole"] = self.role(f"{cluster}-{name}", "ec2.amazonaws.com", POD_ACTIONS[:1], *NODE_POLICIES)
        self.eks.create_nodegroup(
            **{"clusterName": cluster, "nodegroupName": name, "subnets": self.subnets()[:2], **more}
        )
        return wait_for(lambda: self.describe_nodegroup(cluster, name), "ACTIVE")

    def describe_nodegroup(self, cluster: str = "one", name: str = "nodes") -> dict[str, t.Any]:
        """What EKS tells about a node group."""
        group: dict[str, t.Any] = self.eks.describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"]
        return group

    def describe_addon(self, name: str = "eks-pod-identity-agent", cluster: str = "one") -> dict[str, t.Any]:
        """What EKS tells about an add-on."""
        addon: dict[str, t.Any] = self.eks.describe_addon(clusterName=cluster, addonName=name)["addon"]
        return addon

    def associate(self, role: str, account: str = "app", **more: t.Any) -> dict[str, t.Any]:
        """An association in the namespace default."""
        wanted = {"clusterName": "one", "namespace": "default", "serviceAccount": account, "roleArn": role, **more}
        association: dict[str, t.Any] = self.eks.create_pod_identity_association(**wanted)["association"]
        return association

    def user(self, name: str, *statements: dict[str, t.Any]) -> dict[str, str]:
        """A user with these permissions; returns the client settings of its access key."""
        self.iam.create_user(UserName=name)
        if statements:
            document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
            self.iam.put_user_policy(UserName=name, PolicyName="permissions", PolicyDocument=document)
        key = self.iam.create_access_key(UserName=name)["AccessKey"]
        return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}


def allow(*actions: str, resource: str = "*", **more: t.Any) -> dict[str, t.Any]:
    """A statement of a permissions policy."""
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}


def wait_for(describe: t.Callable[[], dict[str, t.Any]], *status: str, seconds: float = 15.0) -> dict[str, t.Any]:
    """Describe until the status is one of these; fails with the last answer."""
    deadline = time.monotonic() + seconds
    found = describe()
    while found["status"] not in status:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
        found = describe()
    return found


def wait_until_gone(describe: t.Callable[[], t.Any], seconds: float = 15.0) -> None:
    """Describe until it is not found."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = describe()
        except botocore.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "ResourceNotFoundException"
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


@contextlib.contextmanager
def refused(code: str, *words: str, status: int | None = None) -> t.Iterator[None]:
    """What happens inside must be refused with this error code, these words and, if given, this HTTP status."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        yield
    answer = caught.value.response
    assert answer["Error"]["Code"] == code, answer
    assert all(word in answer["Error"]["Message"] for word in words), answer
    if status is not None:
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == status

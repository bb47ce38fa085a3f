# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The commands of a guide, typed one after another with the aws CLI and kubectl, from an empty account to a pod's role.

https://docs.aws.amazon.com/eks/latest/userguide/pod-id-association.html and the pages around it.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import typing as t

import pytest
from support.boto3_account import QUICK
from support.iam_roles import trust_policy
from support.sandbox_process import SandboxProcess

AWS, KUBECTL = shutil.which("aws"), shutil.which("kubectl")
pytestmark = [
    pytest.mark.client("aws CLI"),
    pytest.mark.skipif(not (AWS and KUBECTL), reason="there is no aws CLI or no kubectl on PATH"),
]

ROLE = "arn:aws:iam::111122223333:role"
POD = """
apiVersion: v1
kind: Pod
metadata: {name: eks-pod-identity-example}
spec:
  serviceAccountName: my-service-account
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: public.ecr.aws/lambda/python:3.13
    command: [sh, -c, "echo started; sleep 600"]
"""
WHO_AM_I = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"


class Shell:
    """A user's shell: a home of its own, and what the sandbox's file of settings exports."""

    def __init__(self, sandbox: SandboxProcess, home: pathlib.Path) -> None:
        self.home = home
        keys = {name: value for name, value in sandbox.env.items() if name.startswith("AWS_")}
        self._env = {"PATH": os.environ["PATH"], "HOME": str(home), "AWS_PAGER": "", **keys}

    def run(self, *command: str, text: str | None = None) -> str:
        """What a command prints; it must succeed."""
        ended = subprocess.run(
            command, input=text, env=self._env, cwd=self.home, capture_output=True, text=True, check=False, timeout=120
        )
        assert ended.returncode == 0, f"{' '.join(command)}\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    def aws(self, *arguments: str) -> dict[str, t.Any]:
        """The JSON that the aws CLI prints, or nothing."""
        document: dict[str, t.Any] = json.loads(self.run("aws", "--output", "json", *arguments) or "{}")
        return document


@pytest.fixture(scope="module")
def shell(sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A shell in an empty account."""
    sandbox.reset()
    # An agent that needs its time on a busy machine is not yet an unhealthy one.
    sandbox.knobs(**{**QUICK, "addon_patience_seconds": 9.0})
    return Shell(sandbox, tmp_path_factory.mktemp("home"))


def create_role(shell: Shell, name: str, service: str, actions: tuple[str, ...], *policies: str) -> None:
    """``aws iam create-role`` and ``attach-role-policy`` as every guide has them."""
    path = shell.home / f"{name}.json"
    path.write_text(trust_policy(service, actions), encoding="utf-8")
    shell.aws("iam", "create-role", "--role-name", name, "--assume-role-policy-document", f"file://{path}")
    for policy in policies:
        arn = f"arn:aws:iam::aws:policy/{policy}"
        shell.aws("iam", "attach-role-policy", "--role-name", name, "--policy-arn", arn)


def create_cluster(shell: Shell) -> None:
    """A cluster with a node group, each waited for with the CLI's own waiters."""
    create_role(shell, "myClusterRole", "eks.amazonaws.com", ("sts:AssumeRole",), "AmazonEKSClusterPolicy")
    subnets = shell.aws("ec2", "describe-subnets", "--query", "Subnets[].SubnetId")
    access = ("--access-config", "authenticationMode=API")
    network = ("--resources-vpc-config", f"subnetIds={','.join(subnets)}")
    role = ("--role-arn", f"{ROLE}/myClusterRole")
    created = shell.aws("eks", "create-cluster", "--name", "my-cluster", *role, *network, *access)
    assert created["cluster"]["status"] == "CREATING"
    shell.aws("eks", "wait", "cluster-active", "--name", "my-cluster")
    nodes = ("AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly")
    create_role(shell, "myNodeRole", "ec2.amazonaws.com", ("sts:AssumeRole",), *nodes)
    group = ("--cluster-name", "my-cluster", "--nodegroup-name", "my-nodes")
    role = ("--node-role", f"{ROLE}/myNodeRole")
    shell.aws("eks", "create-nodegroup", *group, *role, "--subnets", *subnets, "--scaling-config", "desiredSize=1")
    shell.aws("eks", "wait", "nodegroup-active", *group)


def test_guide_commands_work_as_written(shell: Shell) -> None:
    create_cluster(shell)
    shell.run("aws", "eks", "update-kubeconfig", "--name", "my-cluster")
    assert "Ready" in shell.run("kubectl", "get", "nodes")
    addon = ("--cluster-name", "my-cluster", "--addon-name", "eks-pod-identity-agent")
    shell.aws("eks", "create-addon", *addon)
    shell.aws("eks", "wait", "addon-active", *addon)
    assert "eks-pod-identity-agent-" in shell.run("kubectl", "get", "pods", "-n", "kube-system")
    create_role(
        shell, "my-role", "pods.eks.amazonaws.com", ("sts:AssumeRole", "sts:TagSession"), "AmazonS3ReadOnlyAccess"
    )
    shell.run("kubectl", "create", "serviceaccount", "my-service-account")
    where = ("--cluster-name", "my-cluster", "--namespace", "default", "--service-account", "my-service-account")
    made = shell.aws("eks", "create-pod-identity-association", *where, "--role-arn", f"{ROLE}/my-role")["association"]
    listed = shell.aws("eks", "list-pod-identity-associations", "--cluster-name", "my-cluster")["associations"]
    assert [one["associationId"] for one in listed] == [made["associationId"]]
    shell.run("kubectl", "apply", "-f", "-", text=POD)
    shell.run("kubectl", "wait", "--for=condition=Ready", "pod/eks-pod-identity-example", "--timeout=90s")
    described = shell.run("kubectl", "describe", "pod", "eks-pod-identity-example")
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" in described
    assert shell.run("kubectl", "logs", "eks-pod-identity-example") == "started\n"
    who = shell.run("kubectl", "exec", "eks-pod-identity-example", "--", "python", "-c", WHO_AM_I)
    assert who.startswith("arn:aws:sts::111122223333:assumed-role/my-role/eks-my-cluster-eks-pod-id-")
    delete_everything(shell, made["associationId"])


def delete_everything(shell: Shell, association: str) -> None:
    """The last chapter of the guide: what was made is deleted, in the order in which that is possible."""
    names = ("--cluster-name", "my-cluster")
    shell.aws("eks", "delete-pod-identity-association", *names, "--association-id", association)
    shell.aws("eks", "delete-addon", *names, "--addon-name", "eks-pod-identity-agent")
    shell.aws("eks", "wait", "addon-deleted", *names, "--addon-name", "eks-pod-identity-agent")
    shell.aws("eks", "delete-nodegroup", *names, "--nodegroup-name", "my-nodes")
    shell.aws("eks", "wait", "nodegroup-deleted", *names, "--nodegroup-name", "my-nodes")
    shell.aws("eks", "delete-cluster", "--name", "my-cluster")
    shell.aws("eks", "wait", "cluster-deleted", "--name", "my-cluster")
    assert shell.aws("eks", "list-clusters")["clusters"] == []

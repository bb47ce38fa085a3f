# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Create the resources that a scenario expects, with plain boto3 and the Kubernetes client, not with this collection.

Usage: account.py CLUSTER "cluster role service_account deployment association target_association agent addon" FILE
(the resources to create, in this order; FILE is created when they exist).
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import time

import boto3
import kubernetes

NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryReadOnly")
NAMESPACE = "default"
SERVICE_ACCOUNT = "reports"
#: In another account; it does not exist yet.
TARGET_ROLE = "arn:aws:iam::444455556666:role/Reports"


def make_role(name: str, service: str, *policies: str) -> str:
    """An IAM role that this service may assume; returns its ARN."""
    iam = boto3.client("iam")
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": ["sts:AssumeRole", "sts:TagSession"]}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]
    for policy in policies:
        iam.attach_role_policy(RoleName=name, PolicyArn=f"arn:aws:iam::aws:policy/{policy}")
    return str(role["Arn"])


def make_cluster(name: str) -> None:
    """A cluster with two nodes in its own network."""
    ec2, eks = boto3.client("ec2"), boto3.client("eks")
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.8.{number}.0/24", AvailabilityZone=f"eu-west-1{zone}")
        for number, zone in enumerate("ab")
    ]
    subnet_ids = [subnet["Subnet"]["SubnetId"] for subnet in subnets]
    eks.create_cluster(
        name=name,
        roleArn=make_role(f"{name}-control-plane", "eks.amazonaws.com", "AmazonEKSClusterPolicy"),
        resourcesVpcConfig={"subnetIds": subnet_ids},
        accessConfig={"authenticationMode": "API"},
    )
    eks.get_waiter("cluster_active").wait(name=name, WaiterConfig={"Delay": 1})
    eks.create_nodegroup(
        clusterName=name,
        nodegroupName="nodes",
        subnets=subnet_ids,
        nodeRole=make_role(f"{name}-workers", "ec2.amazonaws.com", *NODE_POLICIES),
        scalingConfig={"minSize": 1, "desiredSize": 2, "maxSize": 2},
    )
    eks.get_waiter("nodegroup_active").wait(clusterName=name, nodegroupName="nodes", WaiterConfig={"Delay": 1})


def make_service_account(cluster_name: str) -> None:
    """The service account, by the official client as the cluster's administrator."""
    file = os.environ["MOLECULE_EPHEMERAL_DIRECTORY"] + "/sandbox/kubeconfig"
    kubernetes.config.load_kube_config(file, context=cluster_name)
    account = {"metadata": {"name": SERVICE_ACCOUNT}}
    kubernetes.client.CoreV1Api().create_namespaced_service_account(NAMESPACE, account)


def make_deployment() -> None:
    """Create a deployment whose pods use the service account, and wait until it is available."""
    labels = {"app": SERVICE_ACCOUNT}
    container = {"name": "main", "image": "busybox", "command": ["sleep", "3600"]}
    spec = {"serviceAccountName": SERVICE_ACCOUNT, "terminationGracePeriodSeconds": 1, "containers": [container]}
    template = {"metadata": {"labels": labels}, "spec": spec}
    apps = kubernetes.client.AppsV1Api()
    rolled = {"selector": {"matchLabels": labels}, "template": template}
    apps.create_namespaced_deployment(NAMESPACE, {"metadata": {"name": SERVICE_ACCOUNT}, "spec": rolled})
    while not apps.read_namespaced_deployment(SERVICE_ACCOUNT, NAMESPACE).status.available_replicas:
        time.sleep(0.2)


def associate(cluster_name: str, role_arn: str, **more: str) -> None:
    """The association of the service account."""
    boto3.client("eks").create_pod_identity_association(
        clusterName=cluster_name, namespace=NAMESPACE, serviceAccount=SERVICE_ACCOUNT, roleArn=role_arn, **more
    )


def install(cluster_name: str, name: str, **parameters: str) -> None:
    """An add-on; the agent runs on every node then."""
    eks, names = boto3.client("eks"), {"clusterName": cluster_name, "addonName": name}
    eks.create_addon(**names, **parameters)
    eks.get_waiter("addon_active").wait(**names, WaiterConfig={"Delay": 1})


def main() -> None:
    cluster_name, wanted, done = sys.argv[1], sys.argv[2].split(), pathlib.Path(sys.argv[3])
    role_arn = ""
    if "cluster" in wanted:
        make_cluster(cluster_name)
    if "role" in wanted:
        role_arn = make_role(f"{cluster_name}-reports", "pods.eks.amazonaws.com", "AmazonS3ReadOnlyAccess")
    if "service_account" in wanted:
        make_service_account(cluster_name)
    if "deployment" in wanted:
        make_deployment()
    if "association" in wanted:
        associate(cluster_name, role_arn)
    if "target_association" in wanted:
        associate(cluster_name, role_arn, targetRoleArn=TARGET_ROLE)
    if "agent" in wanted:
        install(cluster_name, "eks-pod-identity-agent")
    if "addon" in wanted:
        install(cluster_name, "snapshot-controller", addonVersion="v8.2.0-eksbuild.1")
    done.touch()


if __name__ == "__main__":
    main()

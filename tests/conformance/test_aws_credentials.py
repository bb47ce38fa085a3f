# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EKS Auth and EKS tokens: from a pod's token to a role's credentials, and from AWS keys to a Kubernetes user."""

from __future__ import annotations

import base64
import json
import time
import typing as t

import botocore.exceptions
import kubernetes
import pytest
import yaml
from support.boto3_account import QUICK
from support.boto3_account import Account
from support.boto3_account import allow
from support.boto3_account import refused
from support.boto3_account import wait_for
from support.boto3_account import wait_until_gone
from support.eks_tokens import eks_token
from support.eks_tokens import settings
from support.iam_roles import NODE_POLICIES
from support.kubernetes_cluster import eventually
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.client("boto3")

POLICIES = "arn:aws:iam::aws:policy/"
AUDIENCE = "pods.eks.amazonaws.com"
CLUSTER_ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/one"
ADMINISTRATOR = "arn:aws:iam::111122223333:user/sandbox-admin"
OTHER = "444455556666"
UNAUTHORIZED = "Unauthorized Exception! EKS does not have permissions to assume the associated role."


WHO_AM_I = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
#: Trusts EC2, and lets the test take the place of the instance metadata service.
NODE_TRUST = [
    {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
    {"Effect": "Allow", "Principal": {"AWS": ADMINISTRATOR}, "Action": "sts:AssumeRole"},
]


class SharedCluster:
    """A cluster with nodes, for all tests; each test has names of its own for roles and service accounts."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.turn = 0
        self.node_role = self.role("node", NODE_TRUST)
        for policy in NODE_POLICIES:
            account.iam.attach_role_policy(RoleName="node-0", PolicyArn=f"{POLICIES}{policy}")
        account.cluster("one")
        account.nodegroup(nodeRole=self.node_role)
        config = kubernetes.config.new_client_from_config(str(account.sandbox.kubeconfig))
        self.core = kubernetes.client.CoreV1Api(config)

    def own_name(self, name: str) -> str:
        """This test's own name for something."""
        return f"{name}-{self.turn}"

    def associate(self, role: str, account: str = "app", **more: t.Any) -> dict[str, t.Any]:
        """An association of this test's service account."""
        return self.account.associate(role, self.own_name(account), **more)

    def role(self, name: str, statements: list[dict[str, t.Any]], *permissions: dict[str, t.Any]) -> str:
        """A role with this trust policy and these permissions."""
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        own = self.own_name(name)
        arn: str = self.account.iam.create_role(RoleName=own, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        if permissions:
            policy = json.dumps({"Version": "2012-10-17", "Statement": list(permissions)})
            self.account.iam.put_role_policy(RoleName=own, PolicyName="permissions", PolicyDocument=policy)
        return arn

    def pod_role(self, name: str, *permissions: dict[str, t.Any], **condition: dict[str, str]) -> str:
        """A role for pods, with conditions in its trust policy."""
        more = {"Condition": condition} if condition else {}
        actions = ["sts:AssumeRole", "sts:TagSession"]
        statement = {"Effect": "Allow", "Principal": {"Service": AUDIENCE}, "Action": actions, **more}
        return self.role(name, [statement], *permissions)

    def token(self, service_account: str = "app", audience: str = AUDIENCE) -> str:
        """A projected token of a pod with this service account."""
        service_account = self.own_name(service_account)
        name = f"pod-of-{service_account}"
        self.core.create_namespaced_service_account("default", {"metadata": {"name": service_account}})
        container = {"name": "main", "image": "public.ecr.aws/lambda/python:3.13"}
        # Nobody schedules it: a token needs a pod, and none that takes a node's room.
        spec = {"serviceAccountName": service_account, "schedulerName": "nobody", "containers": [container]}
        pod = self.core.create_namespaced_pod("default", {"metadata": {"name": name}, "spec": spec})
        bound = {"kind": "Pod", "apiVersion": "v1", "name": name, "uid": pod.metadata.uid}
        body = {"spec": {"audiences": [audience], "expirationSeconds": 600, "boundObjectRef": bound}}
        answer = self.core.create_namespaced_service_account_token(service_account, "default", body)
        return str(answer.status.token)

    def node_session(self, role: str | None = None) -> dict[str, str]:
        """Client settings with the credentials of a node, or of another role."""
        sts = self.account.sandbox.client("sts")
        given = sts.assume_role(RoleArn=role or self.node_role, RoleSessionName="i-0123456789abcdef0")["Credentials"]
        return settings(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])

    def exchange(self, token: str, cluster: str = "one", **keys: str) -> dict[str, t.Any]:
        """What the agent does with a pod's token."""
        client = self.account.sandbox.client("eks-auth", **(keys or self.node_session()))
        answer: dict[str, t.Any] = client.assume_role_for_pod_identity(clusterName=cluster, token=token)
        return answer

    def client(self, service: str, answer: dict[str, t.Any]) -> t.Any:
        """A client with the credentials that a pod got."""
        given = answer["credentials"]
        keys = settings(given["accessKeyId"], given["secretAccessKey"], given["sessionToken"])
        return self.account.sandbox.client(service, **keys)


@pytest.fixture(scope="module")
def shared_cluster(sandbox: SandboxProcess) -> SharedCluster:
    """A cluster with nodes."""
    sandbox.reset()
    sandbox.knobs(**QUICK)
    return SharedCluster(Account(sandbox))


@pytest.fixture
def cluster(shared_cluster: SharedCluster) -> SharedCluster:
    """The cluster, with names that no other test has."""
    shared_cluster.turn += 1
    return shared_cluster


def test_pod_gets_a_session_of_its_role(cluster: SharedCluster) -> None:
    association = cluster.associate(cluster.pod_role("workload", allow("s3:ListAllMyBuckets")))
    answer = cluster.exchange(cluster.token())
    assert answer["subject"] == {"namespace": "default", "serviceAccount": cluster.own_name("app")}
    assert answer["audience"] == AUDIENCE
    assert answer["podIdentityAssociation"] == {
        "associationArn": association["associationArn"],
        "associationId": association["associationId"],
    }
    who = cluster.client("sts", answer).get_caller_identity()
    assert who["Arn"] == answer["assumedRoleUser"]["arn"]
    role, session = who["Arn"].removeprefix("arn:aws:sts::111122223333:assumed-role/").split("/")
    assert (role, session.startswith("eks-one-pod-of-app"), len(session) <= 64) == (
        cluster.own_name("workload"),
        True,
        True,
    )
    assert who["UserId"] == answer["assumedRoleUser"]["assumeRoleId"]
    assert cluster.client("s3", answer).list_buckets()["Buckets"] == []
    with refused("AccessDenied", status=403):
        cluster.client("s3", answer).create_bucket(Bucket="must-not-exist")


def test_service_account_without_association_has_no_role(cluster: SharedCluster) -> None:
    cluster.associate(cluster.pod_role("workload"), "other")
    with refused("ResourceNotFoundException", "No associated role found for the specified service account", status=404):
        cluster.exchange(cluster.token())


def test_node_role_needs_eks_auth_permission(cluster: SharedCluster) -> None:
    cluster.associate(cluster.pod_role("workload"))
    token, keys = cluster.token(), cluster.node_session(cluster.role("bare-node", NODE_TRUST))
    with refused("AccessDeniedException", "eks-auth:AssumeRoleForPodIdentity", status=400):
        cluster.exchange(token, **keys)
    cluster.account.iam.attach_role_policy(
        RoleName=cluster.own_name("bare-node"), PolicyArn=f"{POLICIES}AmazonEKSWorkerNodeMinimalPolicy"
    )
    assert cluster.exchange(token, **keys)["credentials"]


def test_token_must_be_valid(cluster: SharedCluster) -> None:
    cluster.associate(cluster.pod_role("workload"))
    header, payload, signature = cluster.token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))

    def forged(**changes: t.Any) -> str:
        text = json.dumps({**claims, **changes}).encode()
        return f"{header}.{base64.urlsafe_b64encode(text).decode().rstrip('=')}.{signature}"

    with refused("InvalidTokenException", status=400):
        cluster.exchange(forged(sub="system:serviceaccount:kube-system:default"))
    with refused("ExpiredTokenException", status=400):
        cluster.exchange(forged(exp=1))
    with refused("InvalidTokenException", status=400):
        cluster.exchange(cluster.token("elsewhere", audience="sts.amazonaws.com"))
    with refused("InvalidParameterException", status=400):
        cluster.exchange("no-token")


def test_deleted_pod_invalidates_its_token(cluster: SharedCluster) -> None:
    cluster.associate(cluster.pod_role("workload"))
    token = cluster.token()
    assert cluster.exchange(token)["credentials"]
    cluster.core.delete_namespaced_pod(f"pod-of-{cluster.own_name('app')}", "default", grace_period_seconds=0)

    def is_refused() -> bool:
        try:
            cluster.exchange(token)
        except botocore.exceptions.ClientError as error:
            return bool(error.response["Error"]["Code"] == "InvalidTokenException")
        return False

    # A kube-apiserver remembers for 10 s that a token was good.
    eventually(is_refused)


@pytest.mark.parametrize(
    ("condition", "good"),
    [
        ({"StringEquals": {"aws:SourceAccount": "111122223333"}, "ArnEquals": {"aws:SourceArn": CLUSTER_ARN}}, True),
        ({"StringEquals": {"aws:SourceAccount": "444455556666"}}, False),
        ({"ArnEquals": {"aws:SourceArn": CLUSTER_ARN.replace("one", "two")}}, False),
        ({"StringEquals": {"aws:RequestTag/kubernetes-namespace": "default"}}, True),
        ({"StringEquals": {"aws:RequestTag/kubernetes-namespace": "prod"}}, False),
        ({"StringLike": {"aws:RequestTag/kubernetes-service-account": "app-*"}}, True),
        ({"StringEquals": {"aws:RequestTag/eks-cluster-name": "one"}}, True),
        ({"StringEquals": {"aws:RequestTag/eks-cluster-arn": CLUSTER_ARN}}, True),
        ({"StringLike": {"aws:RequestTag/kubernetes-pod-name": "pod-of-app-*"}}, True),
        ({"StringLike": {"aws:RequestTag/kubernetes-pod-uid": "*-*"}}, True),
        ({"StringLike": {"aws:RequestTag/team": "*"}}, False),
    ],
)
def test_trust_policy_conditions_decide(
    cluster: SharedCluster, condition: dict[str, dict[str, str]], good: bool
) -> None:
    cluster.associate(cluster.pod_role("workload", **condition))
    token = cluster.token()
    if good:
        assert cluster.exchange(token)["credentials"]
    else:
        with refused("AccessDeniedException", UNAUTHORIZED, status=400):
            cluster.exchange(token)


def test_role_changed_or_deleted_after_association_is_refused(cluster: SharedCluster) -> None:
    cluster.associate(cluster.pod_role("workload"))
    token = cluster.token()
    wrong = {"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}, "Action": "sts:*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [wrong]})
    cluster.account.iam.update_assume_role_policy(RoleName=cluster.own_name("workload"), PolicyDocument=document)
    with refused("AccessDeniedException", UNAUTHORIZED, status=400):
        cluster.exchange(token)
    cluster.account.iam.delete_role(RoleName=cluster.own_name("workload"))
    with refused("AccessDeniedException", UNAUTHORIZED, status=400):
        cluster.exchange(token)


def test_session_tags_apply_until_they_are_disabled(cluster: SharedCluster) -> None:
    mine = {"StringEquals": {"aws:PrincipalTag/kubernetes-service-account": cluster.own_name("app")}}
    association = cluster.associate(cluster.pod_role("workload", allow("s3:ListAllMyBuckets", Condition=mine)))
    token = cluster.token()
    assert cluster.client("s3", cluster.exchange(token)).list_buckets()["Buckets"] == []
    names = {"clusterName": "one", "associationId": association["associationId"]}
    cluster.account.eks.update_pod_identity_association(**names, disableSessionTags=True)
    with refused("AccessDenied", status=403):
        cluster.client("s3", cluster.exchange(token)).list_buckets()


def test_session_policy_narrows_role_permissions(cluster: SharedCluster) -> None:
    role = cluster.pod_role("workload", allow("s3:*"))
    only_list = json.dumps({"Version": "2012-10-17", "Statement": [allow("s3:ListAllMyBuckets")]})
    cluster.associate(role, disableSessionTags=True, policy=only_list)
    s3 = cluster.client("s3", cluster.exchange(cluster.token()))
    assert s3.list_buckets()["Buckets"] == []
    with refused("AccessDenied", status=403):
        s3.create_bucket(Bucket="must-not-exist")


def token_with_target_role(cluster: SharedCluster, *, source_may: bool = True, **condition: dict[str, str]) -> str:
    """An association whose role goes on to a target role; returns the pod's token."""
    target = f"arn:aws:iam::111122223333:role/{cluster.own_name('target')}"
    actions = ["sts:AssumeRole", "sts:TagSession"]
    permissions = [allow(*actions, resource=target)] if source_may else []
    source = cluster.pod_role("source", *permissions)
    more = {"Condition": condition} if condition else {}
    trust = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": actions, **more}
    cluster.role("target", [trust], allow("s3:ListAllMyBuckets"))
    cluster.associate(source, targetRoleArn=target)
    return cluster.token()


def test_source_role_assumes_the_target_role(cluster: SharedCluster) -> None:
    source = f"arn:aws:iam::111122223333:role/{cluster.own_name('source')}"
    answer = cluster.exchange(token_with_target_role(cluster, ArnEquals={"aws:PrincipalArn": source}))
    assert f":assumed-role/{cluster.own_name('target')}/eks-one-" in answer["assumedRoleUser"]["arn"]
    assert cluster.client("s3", answer).list_buckets()["Buckets"] == []


def test_external_id_reaches_the_target_role(cluster: SharedCluster) -> None:
    external = {"sts:ExternalId": f"eu-west-1/111122223333/one/default/{cluster.own_name('app')}"}
    assert cluster.exchange(token_with_target_role(cluster, StringEquals=external))["credentials"]


@pytest.mark.parametrize(
    ("source_may", "condition"),
    [
        (False, {}),
        (True, {"StringEquals": {"sts:ExternalId": "another"}}),
        (True, {"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/another"}}),
        (True, {"StringEquals": {"aws:RequestTag/kubernetes-namespace": "prod"}}),
    ],
)
def test_role_chain_needs_permission_and_trust(
    cluster: SharedCluster, source_may: bool, condition: dict[str, dict[str, str]]
) -> None:
    token = token_with_target_role(cluster, source_may=source_may, **condition)
    with refused("AccessDeniedException", UNAUTHORIZED, status=400):
        cluster.exchange(token)


@pytest.mark.parametrize(("key", "reached"), [("kubernetes-*", False), ("*", True)])
def test_source_role_can_be_limited_to_some_tag_keys(cluster: SharedCluster, key: str, reached: bool) -> None:
    """Of the six tags of a pod's session two begin with ``eks-``."""
    target = f"arn:aws:iam::111122223333:role/{cluster.own_name('target')}"
    keys = {"ForAllValues:StringLike": {"aws:TagKeys": key}}
    source = cluster.pod_role(
        "source", allow("sts:AssumeRole", resource=target), allow("sts:TagSession", resource=target, Condition=keys)
    )
    trust = {"Effect": "Allow", "Principal": {"AWS": source}, "Action": ["sts:AssumeRole", "sts:TagSession"]}
    cluster.role("target", [trust], allow("s3:ListAllMyBuckets"))
    cluster.associate(source, targetRoleArn=target)
    if reached:
        assert cluster.exchange(cluster.token())["credentials"]
    else:
        with refused("AccessDeniedException", UNAUTHORIZED, status=400):
            cluster.exchange(cluster.token())


def test_session_policy_applies_to_the_target_role(cluster: SharedCluster) -> None:
    """The source role's session must still be able to go on to the target."""
    target = f"arn:aws:iam::111122223333:role/{cluster.own_name('target')}"
    source = cluster.pod_role("source", allow("sts:AssumeRole", resource=target))
    trust = {"Effect": "Allow", "Principal": {"AWS": source}, "Action": "sts:AssumeRole"}
    cluster.role("target", [trust], allow("s3:*"))
    only_list = json.dumps({"Version": "2012-10-17", "Statement": [allow("s3:ListAllMyBuckets")]})
    cluster.associate(source, targetRoleArn=target, disableSessionTags=True, policy=only_list)
    s3 = cluster.client("s3", cluster.exchange(cluster.token()))
    assert s3.list_buckets()["Buckets"] == []
    with refused("AccessDenied", status=403):
        s3.create_bucket(Bucket="must-not-exist")


def test_session_tag_condition_fails_without_session_tags(cluster: SharedCluster) -> None:
    condition = {"StringEquals": {"aws:RequestTag/kubernetes-namespace": "default"}}
    cluster.associate(cluster.pod_role("workload", **condition), disableSessionTags=True)
    with refused("AccessDeniedException", UNAUTHORIZED, status=400):
        cluster.exchange(cluster.token())


def test_association_tags_are_not_session_tags(cluster: SharedCluster) -> None:
    mine = {"StringEquals": {"aws:PrincipalTag/team": "a"}}
    cluster.associate(cluster.pod_role("workload", allow("s3:ListAllMyBuckets", Condition=mine)), tags={"team": "a"})
    with refused("AccessDenied", status=403):
        cluster.client("s3", cluster.exchange(cluster.token())).list_buckets()


def test_deleted_association_prevents_only_new_sessions(cluster: SharedCluster) -> None:
    association = cluster.associate(cluster.pod_role("workload", allow("s3:ListAllMyBuckets")))
    token = cluster.token()
    s3 = cluster.client("s3", cluster.exchange(token))
    names = {"clusterName": "one", "associationId": association["associationId"]}
    cluster.account.eks.delete_pod_identity_association(**names)
    with refused("ResourceNotFoundException", status=404):
        cluster.exchange(token)
    assert s3.list_buckets()["Buckets"] == []


def test_permissions_boundary_limits_pod_session(cluster: SharedCluster) -> None:
    cluster.associate(cluster.pod_role("workload", allow("s3:*")))
    cluster.account.iam.put_role_permissions_boundary(
        RoleName=cluster.own_name("workload"), PermissionsBoundary=f"{POLICIES}AmazonS3ReadOnlyAccess"
    )
    s3 = cluster.client("s3", cluster.exchange(cluster.token()))
    assert s3.list_buckets()["Buckets"] == []
    with refused("AccessDenied", status=403):
        s3.create_bucket(Bucket="must-not-exist")


def test_role_assumed_by_pod_inherits_session_tags(cluster: SharedCluster) -> None:
    """The six tags are transitive, so a role that does not let sessions be tagged is closed to pods (facts 4)."""
    cluster.associate(cluster.pod_role("workload", allow("sts:*")))
    sts = cluster.client("sts", cluster.exchange(cluster.token()))
    for name, actions in (("closed", "sts:AssumeRole"), ("open", ["sts:AssumeRole", "sts:TagSession"])):
        trust = {"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": actions}
        role = cluster.role(name, [trust])
        if name == "closed":
            with refused("AccessDenied", "sts:TagSession", status=403):
                sts.assume_role(RoleArn=role, RoleSessionName="next")
        else:
            assert sts.assume_role(RoleArn=role, RoleSessionName="next")["PackedPolicySize"] > 50


def token_across_accounts(cluster: SharedCluster, keys: dict[str, str], **condition: dict[str, str]) -> str:
    """An association whose target role is in another account, which trusts the source role; the pod's token."""
    iam = cluster.account.sandbox.client("iam", **keys)
    actions = ["sts:AssumeRole", "sts:TagSession"]
    target = f"arn:aws:iam::{OTHER}:role/{cluster.own_name('target')}"
    source = cluster.pod_role("source", allow(*actions, resource=target))
    trust = {"Effect": "Allow", "Principal": {"AWS": source}, "Action": actions, "Condition": condition}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.create_role(RoleName=cluster.own_name("target"), AssumeRolePolicyDocument=document)
    permissions = json.dumps({"Version": "2012-10-17", "Statement": [allow("s3:ListAllMyBuckets")]})
    iam.put_role_policy(RoleName=cluster.own_name("target"), PolicyName="p", PolicyDocument=permissions)
    cluster.associate(source, targetRoleArn=target)
    return cluster.token()


def test_cross_account_target_role_acts_in_its_account(cluster: SharedCluster) -> None:
    keys = cluster.account.sandbox.add_account(OTHER)[OTHER]
    s3 = cluster.account.sandbox.client("s3", **keys)
    s3.create_bucket(Bucket="theirs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    conditions = {
        "sts:ExternalId": f"eu-west-1/111122223333/one/default/{cluster.own_name('app')}",
        "aws:RequestTag/kubernetes-namespace": "default",
    }
    answer = cluster.exchange(token_across_accounts(cluster, keys, StringEquals=conditions))
    who = cluster.client("sts", answer).get_caller_identity()
    assert (who["Account"], who["Arn"].split("/")[1]) == (OTHER, cluster.own_name("target"))
    assert [bucket["Name"] for bucket in cluster.client("s3", answer).list_buckets()["Buckets"]] == ["theirs"]


@pytest.mark.parametrize(
    "condition",
    [
        {"sts:ExternalId": "eu-west-1/111122223333/one/default/somebody-else"},
        {"aws:RequestTag/eks-cluster-name": "two"},
    ],
)
def test_cross_account_target_role_checks_its_trust_policy(cluster: SharedCluster, condition: dict[str, str]) -> None:
    keys = cluster.account.sandbox.add_account(OTHER)[OTHER]
    token = token_across_accounts(cluster, keys, StringEquals=condition)
    with refused("AccessDeniedException", UNAUTHORIZED, status=400):
        cluster.exchange(token)


def run_pod(cluster: SharedCluster) -> tuple[str, str]:
    """Let a pod with this test's service account ask who it is; returns its phase and its log."""
    name = cluster.own_name("who")
    cluster.core.create_namespaced_service_account("default", {"metadata": {"name": cluster.own_name("app")}})
    image = "public.ecr.aws/lambda/python:3.13"
    container = {"name": "main", "image": image, "command": ["python", "-c", WHO_AM_I]}
    spec = {"serviceAccountName": cluster.own_name("app"), "restartPolicy": "Never", "containers": [container]}
    cluster.core.create_namespaced_pod("default", {"metadata": {"name": name}, "spec": spec})
    deadline = time.monotonic() + 60
    phase = "Pending"
    while phase not in ("Succeeded", "Failed"):
        assert time.monotonic() < deadline, phase
        time.sleep(0.1)
        phase = cluster.core.read_namespaced_pod(name, "default").status.phase
    return phase, cluster.core.read_namespaced_pod_log(name, "default")


def test_pod_gets_credentials_only_while_addon_exists(cluster: SharedCluster) -> None:
    names = {"clusterName": "one", "addonName": "eks-pod-identity-agent"}
    cluster.account.eks.create_addon(**names)
    wait_for(cluster.account.describe_addon, "ACTIVE", seconds=120)
    cluster.associate(cluster.pod_role("workload"))
    phase, log = run_pod(cluster)
    assert (phase, log.strip().split("/")[1]) == ("Succeeded", cluster.own_name("workload"))
    cluster.account.eks.delete_addon(**names)
    wait_until_gone(cluster.account.describe_addon)
    cluster.turn += 1
    cluster.associate(cluster.pod_role("workload"))
    phase, log = run_pod(cluster)
    assert (phase, "CredentialRetrievalError" in log or "ConnectTimeout" in log) == ("Failed", True), log


def status(account: Account, token: str, cluster: str = "one") -> int:
    """The HTTP status that the cluster answers to a list of namespaces with this token."""
    kubeconfig = yaml.safe_load(account.sandbox.kubeconfig.read_text(encoding="utf-8"))
    for user in kubeconfig["users"]:
        user["user"] = {"token": token}
    api = kubernetes.config.new_client_from_config_dict(kubeconfig, context=cluster)
    try:
        kubernetes.client.CoreV1Api(api).list_namespace()
    except kubernetes.client.ApiException as error:
        return int(error.status)
    return 200


def grant_cluster_admin(account: Account, principal: str) -> None:
    """Make a principal an administrator of the cluster."""
    account.eks.create_access_entry(clusterName="one", principalArn=principal)
    account.eks.associate_access_policy(
        clusterName="one",
        principalArn=principal,
        policyArn="arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
        accessScope={"type": "cluster"},
    )


def test_eks_token_is_valid_only_for_its_cluster(cluster: SharedCluster) -> None:
    account = cluster.account
    assert status(account, eks_token(account)) == 200
    assert status(account, eks_token(account, "two")) == 401
    assert status(account, eks_token(account, seconds=1000)) == 401
    assert status(account, eks_token(account, keys={"aws_secret_access_key": "wrong"})) == 401
    root = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    assert status(account, eks_token(account, keys=root)) == 401
    other = base64.urlsafe_b64encode(b"https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity").decode()
    for token in ("k8s-aws-v1.", "k8s-aws-v1.!!!", f"k8s-aws-v1.{other}", "nonsense"):
        assert status(account, token) == 401


def test_cluster_accepts_only_principals_with_access_entry(cluster: SharedCluster) -> None:
    account, name = cluster.account, cluster.own_name("guest")
    keys, principal = account.user(name), f"arn:aws:iam::111122223333:user/{name}"
    assert status(account, eks_token(account, keys=keys)) == 401
    grant_cluster_admin(account, principal)
    assert status(account, eks_token(account, seconds=59, keys=keys)) == 200
    account.eks.delete_access_entry(clusterName="one", principalArn=principal)
    # Another token: the API server remembers the earlier ones for a while, as every kube-apiserver does.
    assert status(account, eks_token(account, seconds=58, keys=keys)) == 401


def test_access_entry_does_not_apply_to_recreated_user(cluster: SharedCluster) -> None:
    """One who is deleted and made again is somebody else (facts 2.4)."""
    account, name = cluster.account, cluster.own_name("guest")
    keys, principal = account.user(name), f"arn:aws:iam::111122223333:user/{name}"
    grant_cluster_admin(account, principal)
    assert status(account, eks_token(account, keys=keys)) == 200
    account.iam.delete_access_key(UserName=name, AccessKeyId=keys["aws_access_key_id"])
    account.iam.delete_user(UserName=name)
    keys = account.user(name)
    assert status(account, eks_token(account, seconds=58, keys=keys)) == 401
    account.eks.delete_access_entry(clusterName="one", principalArn=principal)
    grant_cluster_admin(account, principal)
    assert status(account, eks_token(account, seconds=57, keys=keys)) == 200


def test_role_session_uses_access_entry_of_its_role(cluster: SharedCluster) -> None:
    account, name = cluster.account, cluster.own_name("people")
    document = json.dumps({"Version": "2012-10-17", "Statement": NODE_TRUST})
    role = account.iam.create_role(RoleName=name, Path="/team/", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    keys = cluster.node_session(role)
    assert status(account, eks_token(account, keys=keys)) == 401
    grant_cluster_admin(account, role)
    assert status(account, eks_token(account, seconds=59, keys=keys)) == 200


def test_only_creator_has_access_in_config_map_mode(cluster: SharedCluster) -> None:
    account = cluster.account
    account.cluster("old", mode="CONFIG_MAP")
    assert status(account, eks_token(account, "old"), "old") == 200
    guest = account.user(cluster.own_name("guest"))
    assert status(account, eks_token(account, "old", keys=guest), "old") == 401

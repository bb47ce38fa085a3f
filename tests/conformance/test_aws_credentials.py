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


class World:
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

    def named(self, name: str) -> str:
        """This test's own name for something."""
        return f"{name}-{self.turn}"

    def associate(self, role: str, account: str = "app", **more: t.Any) -> dict[str, t.Any]:
        """An association of this test's service account."""
        return self.account.associate(role, self.named(account), **more)

    def role(self, name: str, statements: list[dict[str, t.Any]], *permissions: dict[str, t.Any]) -> str:
        """A role with this trust policy and these permissions."""
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        own = self.named(name)
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
        service_account = self.named(service_account)
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
def ground(sandbox: SandboxProcess) -> World:
    """A cluster with nodes."""
    sandbox.reset()
    sandbox.knobs(**QUICK)
    return World(Account(sandbox))


@pytest.fixture
def world(ground: World) -> World:
    """The cluster, with names that no other test has."""
    ground.turn += 1
    return ground


def test_a_pod_gets_a_session_of_its_role(world: World) -> None:
    association = world.associate(world.pod_role("workload", allow("s3:ListAllMyBuckets")))
    answer = world.exchange(world.token())
    assert answer["subject"] == {"namespace": "default", "serviceAccount": world.named("app")}
    assert answer["audience"] == AUDIENCE
    assert answer["podIdentityAssociation"] == {
        "associationArn": association["associationArn"],
        "associationId": association["associationId"],
    }
    who = world.client("sts", answer).get_caller_identity()
    assert who["Arn"] == answer["assumedRoleUser"]["arn"]
    role, session = who["Arn"].removeprefix("arn:aws:sts::111122223333:assumed-role/").split("/")
    assert (role, session.startswith("eks-one-pod-of-app"), len(session) <= 64) == (world.named("workload"), True, True)
    assert who["UserId"] == answer["assumedRoleUser"]["assumeRoleId"]
    assert world.client("s3", answer).list_buckets()["Buckets"] == []
    with refused("AccessDenied", status=403):
        world.client("s3", answer).create_bucket(Bucket="must-not-exist")


def test_a_service_account_without_association_has_no_role(world: World) -> None:
    world.associate(world.pod_role("workload"), "other")
    with refused("ResourceNotFoundException", "No associated role found for the specified service account", status=404):
        world.exchange(world.token())


def test_the_node_role_must_be_allowed_to_ask(world: World) -> None:
    world.associate(world.pod_role("workload"))
    token, keys = world.token(), world.node_session(world.role("bare-node", NODE_TRUST))
    with refused("AccessDeniedException", "eks-auth:AssumeRoleForPodIdentity", status=400):
        world.exchange(token, **keys)
    world.account.iam.attach_role_policy(
        RoleName=world.named("bare-node"), PolicyArn=f"{POLICIES}AmazonEKSWorkerNodeMinimalPolicy"
    )
    assert world.exchange(token, **keys)["credentials"]


def test_a_token_must_be_good(world: World) -> None:
    world.associate(world.pod_role("workload"))
    header, payload, signature = world.token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))

    def forged(**changes: t.Any) -> str:
        text = json.dumps({**claims, **changes}).encode()
        return f"{header}.{base64.urlsafe_b64encode(text).decode().rstrip('=')}.{signature}"

    with refused("InvalidTokenException", status=400):
        world.exchange(forged(sub="system:serviceaccount:kube-system:default"))
    with refused("ExpiredTokenException", status=400):
        world.exchange(forged(exp=1))
    with refused("InvalidTokenException", status=400):
        world.exchange(world.token("elsewhere", audience="sts.amazonaws.com"))
    with refused("InvalidParameterException", status=400):
        world.exchange("no-token")


def test_a_token_dies_with_its_pod(world: World) -> None:
    world.associate(world.pod_role("workload"))
    token = world.token()
    assert world.exchange(token)["credentials"]
    world.core.delete_namespaced_pod(f"pod-of-{world.named('app')}", "default", grace_period_seconds=0)

    def is_dead() -> bool:
        try:
            world.exchange(token)
        except botocore.exceptions.ClientError as error:
            return bool(error.response["Error"]["Code"] == "InvalidTokenException")
        return False

    # A kube-apiserver remembers for 10 s that a token was good.
    eventually(is_dead)


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
def test_conditions_of_the_trust_policy_are_evaluated(
    world: World, condition: dict[str, dict[str, str]], good: bool
) -> None:
    world.associate(world.pod_role("workload", **condition))
    token = world.token()
    if good:
        assert world.exchange(token)["credentials"]
    else:
        with refused("AccessDeniedException", UNAUTHORIZED, status=400):
            world.exchange(token)


def test_a_role_that_changed_after_the_association(world: World) -> None:
    world.associate(world.pod_role("workload"))
    token = world.token()
    wrong = {"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}, "Action": "sts:*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [wrong]})
    world.account.iam.update_assume_role_policy(RoleName=world.named("workload"), PolicyDocument=document)
    with refused("AccessDeniedException", UNAUTHORIZED, status=400):
        world.exchange(token)
    world.account.iam.delete_role(RoleName=world.named("workload"))
    with refused("AccessDeniedException", UNAUTHORIZED, status=400):
        world.exchange(token)


def test_session_tags_decide_until_they_are_switched_off(world: World) -> None:
    mine = {"StringEquals": {"aws:PrincipalTag/kubernetes-service-account": world.named("app")}}
    association = world.associate(world.pod_role("workload", allow("s3:ListAllMyBuckets", Condition=mine)))
    token = world.token()
    assert world.client("s3", world.exchange(token)).list_buckets()["Buckets"] == []
    names = {"clusterName": "one", "associationId": association["associationId"]}
    world.account.eks.update_pod_identity_association(**names, disableSessionTags=True)
    with refused("AccessDenied", status=403):
        world.client("s3", world.exchange(token)).list_buckets()


def test_a_session_policy_narrows_what_the_role_may(world: World) -> None:
    role = world.pod_role("workload", allow("s3:*"))
    only_list = json.dumps({"Version": "2012-10-17", "Statement": [allow("s3:ListAllMyBuckets")]})
    world.associate(role, disableSessionTags=True, policy=only_list)
    s3 = world.client("s3", world.exchange(world.token()))
    assert s3.list_buckets()["Buckets"] == []
    with refused("AccessDenied", status=403):
        s3.create_bucket(Bucket="must-not-exist")


def chained(world: World, *, source_may: bool = True, **condition: dict[str, str]) -> str:
    """An association whose role goes on to a target role; returns the pod's token."""
    target = f"arn:aws:iam::111122223333:role/{world.named('target')}"
    actions = ["sts:AssumeRole", "sts:TagSession"]
    permissions = [allow(*actions, resource=target)] if source_may else []
    source = world.pod_role("source", *permissions)
    more = {"Condition": condition} if condition else {}
    trust = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": actions, **more}
    world.role("target", [trust], allow("s3:ListAllMyBuckets"))
    world.associate(source, targetRoleArn=target)
    return world.token()


def test_a_target_role_is_reached_through_the_source_role(world: World) -> None:
    source = f"arn:aws:iam::111122223333:role/{world.named('source')}"
    answer = world.exchange(chained(world, ArnEquals={"aws:PrincipalArn": source}))
    assert f":assumed-role/{world.named('target')}/eks-one-" in answer["assumedRoleUser"]["arn"]
    assert world.client("s3", answer).list_buckets()["Buckets"] == []


def test_the_external_id_reaches_the_target_role(world: World) -> None:
    external = {"sts:ExternalId": f"eu-west-1/111122223333/one/default/{world.named('app')}"}
    assert world.exchange(chained(world, StringEquals=external))["credentials"]


@pytest.mark.parametrize(
    ("source_may", "condition"),
    [
        (False, {}),
        (True, {"StringEquals": {"sts:ExternalId": "another"}}),
        (True, {"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/another"}}),
        (True, {"StringEquals": {"aws:RequestTag/kubernetes-namespace": "prod"}}),
    ],
)
def test_both_sides_of_the_chain_must_agree(
    world: World, source_may: bool, condition: dict[str, dict[str, str]]
) -> None:
    token = chained(world, source_may=source_may, **condition)
    with refused("AccessDeniedException", UNAUTHORIZED, status=400):
        world.exchange(token)


@pytest.mark.parametrize(("key", "reached"), [("kubernetes-*", False), ("*", True)])
def test_the_source_role_may_be_kept_to_some_keys_of_tags(world: World, key: str, reached: bool) -> None:
    """Of the six tags of a pod's session two begin with ``eks-``."""
    target = f"arn:aws:iam::111122223333:role/{world.named('target')}"
    keys = {"ForAllValues:StringLike": {"aws:TagKeys": key}}
    source = world.pod_role(
        "source", allow("sts:AssumeRole", resource=target), allow("sts:TagSession", resource=target, Condition=keys)
    )
    trust = {"Effect": "Allow", "Principal": {"AWS": source}, "Action": ["sts:AssumeRole", "sts:TagSession"]}
    world.role("target", [trust], allow("s3:ListAllMyBuckets"))
    world.associate(source, targetRoleArn=target)
    if reached:
        assert world.exchange(world.token())["credentials"]
    else:
        with refused("AccessDeniedException", UNAUTHORIZED, status=400):
            world.exchange(world.token())


def test_a_session_policy_is_the_target_roles_when_there_is_one(world: World) -> None:
    """The source role's session must still be able to go on to the target."""
    target = f"arn:aws:iam::111122223333:role/{world.named('target')}"
    source = world.pod_role("source", allow("sts:AssumeRole", resource=target))
    trust = {"Effect": "Allow", "Principal": {"AWS": source}, "Action": "sts:AssumeRole"}
    world.role("target", [trust], allow("s3:*"))
    only_list = json.dumps({"Version": "2012-10-17", "Statement": [allow("s3:ListAllMyBuckets")]})
    world.associate(source, targetRoleArn=target, disableSessionTags=True, policy=only_list)
    s3 = world.client("s3", world.exchange(world.token()))
    assert s3.list_buckets()["Buckets"] == []
    with refused("AccessDenied", status=403):
        s3.create_bucket(Bucket="must-not-exist")


def test_a_condition_on_session_tags_never_holds_without_them(world: World) -> None:
    condition = {"StringEquals": {"aws:RequestTag/kubernetes-namespace": "default"}}
    world.associate(world.pod_role("workload", **condition), disableSessionTags=True)
    with refused("AccessDeniedException", UNAUTHORIZED, status=400):
        world.exchange(world.token())


def test_tags_of_the_association_are_not_tags_of_the_session(world: World) -> None:
    mine = {"StringEquals": {"aws:PrincipalTag/team": "a"}}
    world.associate(world.pod_role("workload", allow("s3:ListAllMyBuckets", Condition=mine)), tags={"team": "a"})
    with refused("AccessDenied", status=403):
        world.client("s3", world.exchange(world.token())).list_buckets()


def test_a_deleted_association_gives_nothing_more_and_takes_nothing_back(world: World) -> None:
    association = world.associate(world.pod_role("workload", allow("s3:ListAllMyBuckets")))
    token = world.token()
    s3 = world.client("s3", world.exchange(token))
    names = {"clusterName": "one", "associationId": association["associationId"]}
    world.account.eks.delete_pod_identity_association(**names)
    with refused("ResourceNotFoundException", status=404):
        world.exchange(token)
    assert s3.list_buckets()["Buckets"] == []


def test_a_permissions_boundary_limits_a_pod_too(world: World) -> None:
    world.associate(world.pod_role("workload", allow("s3:*")))
    world.account.iam.put_role_permissions_boundary(
        RoleName=world.named("workload"), PermissionsBoundary=f"{POLICIES}AmazonS3ReadOnlyAccess"
    )
    s3 = world.client("s3", world.exchange(world.token()))
    assert s3.list_buckets()["Buckets"] == []
    with refused("AccessDenied", status=403):
        s3.create_bucket(Bucket="must-not-exist")


def test_what_a_pod_assumes_next_inherits_its_tags(world: World) -> None:
    """The six tags are transitive, so a role that does not let sessions be tagged is closed to pods (facts 4)."""
    world.associate(world.pod_role("workload", allow("sts:*")))
    sts = world.client("sts", world.exchange(world.token()))
    for name, actions in (("closed", "sts:AssumeRole"), ("open", ["sts:AssumeRole", "sts:TagSession"])):
        trust = {"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": actions}
        role = world.role(name, [trust])
        if name == "closed":
            with refused("AccessDenied", "sts:TagSession", status=403):
                sts.assume_role(RoleArn=role, RoleSessionName="next")
        else:
            assert sts.assume_role(RoleArn=role, RoleSessionName="next")["PackedPolicySize"] > 50


def across(world: World, keys: dict[str, str], **condition: dict[str, str]) -> str:
    """An association whose target role is in another account, which trusts the source role; the pod's token."""
    iam = world.account.sandbox.client("iam", **keys)
    actions = ["sts:AssumeRole", "sts:TagSession"]
    target = f"arn:aws:iam::{OTHER}:role/{world.named('target')}"
    source = world.pod_role("source", allow(*actions, resource=target))
    trust = {"Effect": "Allow", "Principal": {"AWS": source}, "Action": actions, "Condition": condition}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.create_role(RoleName=world.named("target"), AssumeRolePolicyDocument=document)
    permissions = json.dumps({"Version": "2012-10-17", "Statement": [allow("s3:ListAllMyBuckets")]})
    iam.put_role_policy(RoleName=world.named("target"), PolicyName="p", PolicyDocument=permissions)
    world.associate(source, targetRoleArn=target)
    return world.token()


def test_a_target_role_of_another_account_sees_that_account(world: World) -> None:
    keys = world.account.sandbox.add_account(OTHER)[OTHER]
    s3 = world.account.sandbox.client("s3", **keys)
    s3.create_bucket(Bucket="theirs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    conditions = {
        "sts:ExternalId": f"eu-west-1/111122223333/one/default/{world.named('app')}",
        "aws:RequestTag/kubernetes-namespace": "default",
    }
    answer = world.exchange(across(world, keys, StringEquals=conditions))
    who = world.client("sts", answer).get_caller_identity()
    assert (who["Account"], who["Arn"].split("/")[1]) == (OTHER, world.named("target"))
    assert [bucket["Name"] for bucket in world.client("s3", answer).list_buckets()["Buckets"]] == ["theirs"]


@pytest.mark.parametrize(
    "condition",
    [
        {"sts:ExternalId": "eu-west-1/111122223333/one/default/somebody-else"},
        {"aws:RequestTag/eks-cluster-name": "two"},
    ],
)
def test_the_other_account_decides_whom_it_trusts(world: World, condition: dict[str, str]) -> None:
    keys = world.account.sandbox.add_account(OTHER)[OTHER]
    token = across(world, keys, StringEquals=condition)
    with refused("AccessDeniedException", UNAUTHORIZED, status=400):
        world.exchange(token)


def run_pod(world: World) -> tuple[str, str]:
    """Let a pod with this test's service account ask who it is; returns its phase and its log."""
    name = world.named("who")
    world.core.create_namespaced_service_account("default", {"metadata": {"name": world.named("app")}})
    image = "public.ecr.aws/lambda/python:3.13"
    container = {"name": "main", "image": image, "command": ["python", "-c", WHO_AM_I]}
    spec = {"serviceAccountName": world.named("app"), "restartPolicy": "Never", "containers": [container]}
    world.core.create_namespaced_pod("default", {"metadata": {"name": name}, "spec": spec})
    deadline = time.monotonic() + 60
    phase = "Pending"
    while phase not in ("Succeeded", "Failed"):
        assert time.monotonic() < deadline, phase
        time.sleep(0.1)
        phase = world.core.read_namespaced_pod(name, "default").status.phase
    return phase, world.core.read_namespaced_pod_log(name, "default")


def test_the_chain_holds_from_inside_a_pod_while_the_add_on_is_there(world: World) -> None:
    names = {"clusterName": "one", "addonName": "eks-pod-identity-agent"}
    world.account.eks.create_addon(**names)
    wait_for(world.account.describe_addon, "ACTIVE", seconds=120)
    world.associate(world.pod_role("workload"))
    phase, log = run_pod(world)
    assert (phase, log.strip().split("/")[1]) == ("Succeeded", world.named("workload"))
    world.account.eks.delete_addon(**names)
    wait_until_gone(world.account.describe_addon)
    world.turn += 1
    world.associate(world.pod_role("workload"))
    phase, log = run_pod(world)
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


def let_in(account: Account, principal: str) -> None:
    """Make a principal an administrator of the cluster."""
    account.eks.create_access_entry(clusterName="one", principalArn=principal)
    account.eks.associate_access_policy(
        clusterName="one",
        principalArn=principal,
        policyArn="arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
        accessScope={"type": "cluster"},
    )


def test_an_eks_token_opens_the_cluster_that_it_was_made_for(world: World) -> None:
    account = world.account
    assert status(account, eks_token(account)) == 200
    assert status(account, eks_token(account, "two")) == 401
    assert status(account, eks_token(account, seconds=1000)) == 401
    assert status(account, eks_token(account, keys={"aws_secret_access_key": "wrong"})) == 401
    root = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    assert status(account, eks_token(account, keys=root)) == 401
    other = base64.urlsafe_b64encode(b"https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity").decode()
    for token in ("k8s-aws-v1.", "k8s-aws-v1.!!!", f"k8s-aws-v1.{other}", "nonsense"):
        assert status(account, token) == 401


def test_only_who_has_an_access_entry_comes_in(world: World) -> None:
    account, name = world.account, world.named("guest")
    keys, principal = account.user(name), f"arn:aws:iam::111122223333:user/{name}"
    assert status(account, eks_token(account, keys=keys)) == 401
    let_in(account, principal)
    assert status(account, eks_token(account, seconds=59, keys=keys)) == 200
    account.eks.delete_access_entry(clusterName="one", principalArn=principal)
    # Another token: the API server remembers the earlier ones for a while, as every kube-apiserver does.
    assert status(account, eks_token(account, seconds=58, keys=keys)) == 401


def test_an_entry_is_for_the_principal_that_it_was_made_for(world: World) -> None:
    """One who is deleted and made again is somebody else (facts 2.4)."""
    account, name = world.account, world.named("guest")
    keys, principal = account.user(name), f"arn:aws:iam::111122223333:user/{name}"
    let_in(account, principal)
    assert status(account, eks_token(account, keys=keys)) == 200
    account.iam.delete_access_key(UserName=name, AccessKeyId=keys["aws_access_key_id"])
    account.iam.delete_user(UserName=name)
    keys = account.user(name)
    assert status(account, eks_token(account, seconds=58, keys=keys)) == 401
    account.eks.delete_access_entry(clusterName="one", principalArn=principal)
    let_in(account, principal)
    assert status(account, eks_token(account, seconds=57, keys=keys)) == 200


def test_a_role_session_comes_in_by_its_role(world: World) -> None:
    account, name = world.account, world.named("people")
    document = json.dumps({"Version": "2012-10-17", "Statement": NODE_TRUST})
    role = account.iam.create_role(RoleName=name, Path="/team/", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    keys = world.node_session(role)
    assert status(account, eks_token(account, keys=keys)) == 401
    let_in(account, role)
    assert status(account, eks_token(account, seconds=59, keys=keys)) == 200


def test_with_the_config_map_alone_the_creator_is_administrator(world: World) -> None:
    account = world.account
    account.cluster("old", mode="CONFIG_MAP")
    assert status(account, eks_token(account, "old"), "old") == 200
    guest = account.user(world.named("guest"))
    assert status(account, eks_token(account, "old", keys=guest), "old") == 401

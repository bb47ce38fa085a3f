# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every cause that a verification can see, broken for real on one cluster: each gives its own name and no other.

What belongs to one workload or one node is broken in a namespace of its own, and proven in one run. What belongs to the
whole cluster needs a run of its own.
"""

from __future__ import annotations

import json
import typing as t

import kubernetes
import pytest
from support import policy_engine
from support.environment import ROOT
from support.existing_cluster import ROLE_PREFIX
from support.existing_cluster import make_account
from support.iam_roles import NODE_POLICIES
from support.iam_roles import make_role
from support.iam_roles import trust_policy
from support.kubernetes_cluster import eventually
from support.playbooks import Playbooks
from support.policy_engine import PolicyEngine
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.deep

Json = dict[str, t.Any]
Proof = dict[str, t.Any]

CLUSTER = "causes"
AGENT = "eks-pod-identity-agent"
PODS = "pods.eks.amazonaws.com"
OTHER_ACCOUNT = "444455556666"
#: Node groups of one node each, and the role of its own that a node has.
NODE_GROUPS = ("plain", "tainted", "fargate", "forbidden", "throttled", "cut-off", "broken", "skewed")
LIST = {"service": "s3", "operation": "list_buckets"}
#: The causes that are not of one workload or node alone.
CLUSTER_CAUSES = {
    *("pod_unschedulable", "deadline_exceeded", "pod_not_created"),
    *("webhook_missing", "agent_missing", "agent_unreachable", "agent_crashing", "agent_not_active"),
}
#: What the verification says can be seen, and cannot be seeded here, with the reason.
NOT_SEEDED = {
    "agent_late": "only a race between a new node's agent and the pod gives it",
    "network_policy": "the sandbox has no network policies",
    "organization_denies": "the sandbox has no organizations",
    "wrong_session": "EKS itself never gives such a session",
    # How a verification itself runs is proven in test_verify.py.
    **dict.fromkeys(("no_running_pod", "exec_refused", "exec_without_python"), "in running pods only"),
    **dict.fromkeys(("exec_without_boto3", "exec_failed"), "in running pods only"),
    **dict.fromkeys(("pods_not_listed", "setup_failed", "verification_failed"), "nothing of the workload"),
}


class World:
    """The cluster, and how a workload is broken in it."""

    def __init__(self, sandbox: SandboxProcess, engine: PolicyEngine) -> None:
        self.sandbox, self.engine = sandbox, engine
        self.eks, self.iam = sandbox.client("eks"), sandbox.client("iam")
        self.api = kubernetes.config.new_client_from_config(str(sandbox.kubeconfig))
        self.core = kubernetes.client.CoreV1Api(self.api)

    def role(self, name: str, *actions: str) -> str:
        """A role for pods, with permission for these actions."""
        arn = make_role(self.iam, name, PODS)
        if actions:
            self.permit(name, *actions)
        return arn

    def permit(self, role: str, *actions: str, effect: str = "Allow", resource: str = "*") -> None:
        """An inline policy of a role."""
        document = policy(*actions, effect=effect, resource=resource)
        self.iam.put_role_policy(RoleName=role, PolicyName=f"{effect}-{len(actions)}", PolicyDocument=document)

    def trust(self, role: str, service: str = PODS, **statement: t.Any) -> None:
        """Another trust policy of a role."""
        self.iam.update_assume_role_policy(RoleName=role, PolicyDocument=trust_policy(service, **statement))

    def associate(self, namespace: str, role: str = "", account: str = "app", **more: t.Any) -> Json:
        """The association of a service account, as EKS describes it."""
        names = {"clusterName": CLUSTER, "namespace": namespace, "serviceAccount": account}
        answer = self.eks.create_pod_identity_association(**names, roleArn=f"{ROLE_PREFIX}{role or namespace}", **more)
        return dict(answer["association"])

    def create_workload(self, namespace: str, *actions: str, **more: t.Any) -> Json:
        """A workload with which all is well so far: role and association."""
        self.role(namespace, *(actions or ("s3:ListAllMyBuckets",)))
        return self.associate(namespace, **more)


def policy(*actions: str, effect: str = "Allow", resource: str = "*") -> str:
    statement = {"Effect": effect, "Action": list(actions), "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class Break(t.NamedTuple):
    """What breaks a workload, which cause it is to have, and what text or advice are to name."""

    cause: str
    mentions: tuple[str, ...]
    seed: t.Callable[[World, str], object]
    prove: t.Mapping[str, t.Any] = {"allow": [LIST]}


#: By namespace.
BREAKS: dict[str, Break] = {}
Seed = t.Callable[[World, str], object]


def breaks(cause: str, *mentions: str, **prove: t.Any) -> t.Callable[[Seed], Seed]:
    """Register a break; its namespace is the function's name."""

    def register(seed: Seed) -> Seed:
        name = seed.__name__.replace("_", "-")
        BREAKS[name] = Break(cause, mentions, seed, prove or {"allow": [LIST]})
        return seed

    return register


# --- association and Job ----------------------------------------------------------------------------------------------


@breaks("association_missing", "forgotten/app")
def forgotten(world: World, name: str) -> None:
    """Nobody made the association."""


@breaks("association_missing", "misspelled/apps")
def misspelled(world: World, name: str) -> None:
    """There is one for a service account of nearly the same name."""
    world.role(name)
    world.associate(name, account="apps")


@breaks("association_missing", "misplaced-2/app")
def misplaced(world: World, name: str) -> None:
    """There is one for a namespace of nearly the same name."""
    world.role(name)
    world.associate(f"{name}-2", role=name)


@breaks("job_refused", 'namespaces "no-namespace" not found')
def no_namespace(world: World, name: str) -> None:
    world.create_workload(name)
    world.core.delete_namespace(name)


# --- the image --------------------------------------------------------------------------------------------------------


@breaks("image_pull_failed", "registry.example.com/nothing")
def no_image(world: World, name: str) -> None:
    world.create_workload(name)
    world.engine.changes[name] = policy_engine.container(image="registry.example.com/nothing")


@breaks("image_unusable", "python3.99")
def no_python(world: World, name: str) -> None:
    world.create_workload(name)
    world.engine.changes[name] = policy_engine.container(image="busybox", command=["python3.99"])


@breaks("image_without_boto3", "No module named 'boto3'")
def no_boto3(world: World, name: str) -> None:
    world.create_workload(name)
    world.engine.changes[name] = policy_engine.container(image="amazonlinux")


@breaks("no_document", "OOMKilled")
def no_memory(world: World, name: str) -> None:
    world.create_workload(name)
    world.engine.changes[name] = policy_engine.container(resources={"limits": {"memory": "8Mi"}})


#: Takes an SDK back to the time before it knew the agent's address.
OLD_SDK = """
import botocore
from botocore.utils import ContainerMetadataFetcher

botocore.__version__ = "1.33.13"
ContainerMetadataFetcher._ALLOWED_HOSTS = ["169.254.170.2", "localhost"]
"""


@breaks("sdk_too_old", "botocore 1.33.13", "1.34.41")
def old_sdk(world: World, name: str) -> None:
    world.create_workload(name)
    config_map = {"metadata": {"name": "old-sdk"}, "data": {"sitecustomize.py": OLD_SDK}}
    world.core.create_namespaced_config_map(name, config_map)

    def change(pod: Json) -> None:
        [container] = pod["spec"]["containers"]
        container["env"].append({"name": "PYTHONPATH", "value": "/opt/old"})
        container["volumeMounts"].append({"name": "old-sdk", "mountPath": "/opt/old"})
        pod["spec"]["volumes"].append({"name": "old-sdk", "configMap": {"name": "old-sdk"}})

    world.engine.changes[name] = change


# --- what the pod is given, and what stands before it -----------------------------------------------------------------


@breaks("injection_skipped", "label eks.amazonaws.com/skip-pod-identity-webhook")
def skip_label(world: World, name: str) -> None:
    world.create_workload(name)
    world.engine.changes[name] = policy_engine.labelled(skip_pod_identity_webhook="true")


@breaks("injection_skipped", "annotation eks.amazonaws.com/skip-containers")
def skip_annotation(world: World, name: str) -> None:
    world.create_workload(name)
    world.engine.changes[name] = policy_engine.annotated(skip_containers="sidecar,prove")


@breaks("injection_skipped", "AWS_CONTAINER_ variable")
def preset(world: World, name: str) -> None:
    world.create_workload(name)
    variables = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:8080/credentials"}
    world.engine.changes[name] = policy_engine.environment(**variables)


@breaks("webhook_changed", "namespaceSelector", "excluded")
def excluded(world: World, name: str) -> None:
    world.create_workload(name)
    expression = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [name]}
    admission = kubernetes.client.AdmissionregistrationV1Api(world.api)
    change = {"op": "add", "path": "/webhooks/1/namespaceSelector", "value": {"matchExpressions": [expression]}}
    admission.patch_mutating_webhook_configuration(policy_engine.WEBHOOK, [change])


@breaks("not_injected", "did not see the association yet")
def too_early(world: World, name: str) -> None:
    world.role(name)
    world.sandbox.knobs(association_delay_seconds=600)
    world.associate(name)
    world.sandbox.knobs(association_delay_seconds=0)


@breaks("credentials_shadowed", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
def static_keys(world: World, name: str) -> None:
    world.create_workload(name)
    keys = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY"}
    world.engine.changes[name] = policy_engine.environment(**keys)


@breaks("credentials_shadowed", "AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN")
def web_identity(world: World, name: str) -> None:
    """What IRSA once needed in the pod's own environment."""
    world.create_workload(name)
    token = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"
    leftover = {"AWS_ROLE_ARN": f"{ROLE_PREFIX}irsa", "AWS_WEB_IDENTITY_TOKEN_FILE": token}
    world.engine.changes[name] = policy_engine.environment(**leftover)


@breaks("credentials_shadowed", "AWS_PROFILE")
def profile(world: World, name: str) -> None:
    world.create_workload(name)
    world.engine.changes[name] = policy_engine.environment(AWS_PROFILE="dev")


# --- the agent of a node, and what it may and can ask -----------------------------------------------------------------


def on_node(cause: str, name: str, *mentions: str) -> None:
    """A workload with which all is well runs on a node of its own group, with which it is not."""

    def seed(world: World, namespace: str) -> None:
        world.create_workload(namespace)
        world.engine.changes[namespace] = policy_engine.on_node(namespace)

    BREAKS[name] = Break(cause, mentions, seed)


on_node("agent_not_on_node", "tainted", "no ready agent runs on the pod's node", "taints")
on_node("node_unsupported", "fargate", "compute type fargate")
on_node("node_role_forbidden", "forbidden", "node role node-forbidden", "AmazonEKSWorkerNodePolicy")
on_node("agent_throttled", "throttled", "Rate exceeded")
on_node("eks_auth_unreachable", "cut-off", "did not reach the service eks-auth", "interface endpoint")
on_node("eks_auth_failed", "broken", "InternalServerException")
on_node("token_refused", "skewed", "ExpiredTokenException", "clocks")
#: What EKS Auth does to the agents of some nodes.
FAULTS: dict[str, Json] = {
    "throttled": {"code": "ThrottlingException", "message": "Rate exceeded"},
    "cut-off": {"outcome": "reset"},
    "broken": {"code": "InternalServerException", "message": "Try again."},
    "skewed": {"code": "ExpiredTokenException", "message": "The token included in the request is expired."},
}


# --- the role and its trust policy ------------------------------------------------------------------------------------


def wrong_trust(name: str, mentions: str, **statement: t.Any) -> None:
    """The role's trust policy was changed after the association was made."""

    def seed(world: World, namespace: str) -> None:
        world.create_workload(namespace)
        world.trust(namespace, **statement)

    BREAKS[name] = Break("trust_refused", (mentions, f"Put the trust policy of role {name} right"), seed)


def equals(key: str, value: str, operator: str = "StringEquals") -> Json:
    return {"Condition": {operator: {key: value}}}


wrong_trust("wrong-principal", "it trusts eks.amazonaws.com", service="eks.amazonaws.com")
wrong_trust("no-tag-session", "no sts:TagSession", actions=["sts:AssumeRole"])
wrong_trust("other-namespace", "asks for team-b", **equals("aws:RequestTag/kubernetes-namespace", "team-b"))
wrong_trust("other-account", "asks for 999999999999", **equals("aws:SourceAccount", "999999999999"))
wrong_trust(
    "source-arn-form",
    "podidentityassociation/*",
    **equals("aws:SourceArn", "arn:aws:eks:*:111122223333:podidentityassociation/*", "ArnLike"),
)


@breaks("trust_refused", "session tags disabled", "untagged")
def untagged(world: World, name: str) -> None:
    world.create_workload(name, disableSessionTags=True)
    world.trust(name, **equals("aws:RequestTag/kubernetes-namespace", name))


@breaks("assume_refused", "looks right", "organization")
def other_organization(world: World, name: str) -> None:
    """A condition that nobody can judge from here."""
    world.create_workload(name)
    world.trust(name, **equals("aws:SourceOrgID", "o-exampleorgid"))


@breaks("role_missing", "there is no such role")
def no_role(world: World, name: str) -> None:
    make_role(world.iam, name, PODS)
    world.associate(name)
    world.iam.delete_role(RoleName=name)


# --- the target role --------------------------------------------------------------------------------------------------


def chain(world: World, name: str, *actions: str, account: str = "", **condition: t.Any) -> Json:
    """An association with a target role; ``actions`` are what the source role may do to it."""
    make_role(world.iam, name, PODS)
    target = f"arn:aws:iam::{account}:role/{name}-target" if account else f"{ROLE_PREFIX}{name}-target"
    if actions:
        world.permit(name, *actions, resource=target)
    if not account:
        make_role(world.iam, f"{name}-target", PODS)
        principal = condition.pop("principal", f"{ROLE_PREFIX}{name}")
        world.trust(f"{name}-target", Principal={"AWS": principal}, **condition)
    return world.associate(name, targetRoleArn=target)


CHAIN_ACTIONS = ("sts:AssumeRole", "sts:TagSession")


@breaks("target_permission_missing", "no-chain-permission-target", "sts:AssumeRole and sts:TagSession")
def no_chain_permission(world: World, name: str) -> None:
    chain(world, name)


@breaks("target_permission_missing", "allows sts:TagSession on target role")
def no_chain_tagging(world: World, name: str) -> None:
    chain(world, name, "sts:AssumeRole")


@breaks("target_trust_refused", "no statement of it allows")
def other_source(world: World, name: str) -> None:
    chain(world, name, *CHAIN_ACTIONS, principal=f"{ROLE_PREFIX}node-plain")


@breaks(
    "target_trust_refused", "its condition on sts:ExternalId asks for another", "where sts:ExternalId is eu-west-1/"
)
def other_external_id(world: World, name: str) -> None:
    chain(world, name, *CHAIN_ACTIONS, **equals("sts:ExternalId", "another"))


@breaks("target_trust_refused", "a role that was deleted")
def source_recreated(world: World, name: str) -> None:
    """In a trust policy a role's ARN stands for just that role, and not for the next of its name."""
    chain(world, name, *CHAIN_ACTIONS)
    world.iam.delete_role_policy(RoleName=name, PolicyName="Allow-2")
    world.iam.delete_role(RoleName=name)
    make_role(world.iam, name, PODS)
    world.permit(name, *CHAIN_ACTIONS, resource=f"{ROLE_PREFIX}{name}-target")


@breaks("target_trust_refused", OTHER_ACCOUNT, "could not be read")
def unreadable_target(world: World, name: str) -> None:
    """The target's account cannot be looked into, but the source role may."""
    chain(world, name, *CHAIN_ACTIONS, account=OTHER_ACCOUNT)


@breaks("target_role_missing", "no-target-target", "there is no such role")
def no_target(world: World, name: str) -> None:
    chain(world, name, *CHAIN_ACTIONS)
    world.iam.delete_role(RoleName=f"{name}-target")


@breaks("target_refused", "the trust policies look right", "permissions boundary")
def chain_boundary(world: World, name: str) -> None:
    chain(world, name, *CHAIN_ACTIONS)
    boundary = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
    world.iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=boundary)


# --- who the pod is, and what it may do -------------------------------------------------------------------------------


@breaks("identity_unknown", "eu_west_1")
def no_region(world: World, name: str) -> None:
    world.create_workload(name)
    world.engine.changes[name] = policy_engine.environment(AWS_REGION="eu_west_1", AWS_DEFAULT_REGION="eu_west_1")


@breaks("wrong_role", "role/other-role", "role/changed")
def changed(world: World, name: str) -> None:
    """Somebody changes the association while the verification is on its way."""
    world.role("other-role")
    identifier = world.create_workload(name)["associationId"]

    def change(_pod: Json) -> None:
        role = {"roleArn": f"{ROLE_PREFIX}other-role"}
        world.eks.update_pod_identity_association(clusterName=CLUSTER, associationId=identifier, **role)

    world.engine.changes[name] = change


@breaks("wrong_account", f":{OTHER_ACCOUNT}:", "role/moved")
def moved(world: World, name: str) -> None:
    """Somebody gives the association a target role in another account while the verification is on its way."""
    identifier = world.create_workload(name)["associationId"]
    target = f"arn:aws:iam::{OTHER_ACCOUNT}:role/moved-target"
    world.permit(name, *CHAIN_ACTIONS, resource=target)
    settings = world.sandbox.add_account(OTHER_ACCOUNT)[OTHER_ACCOUNT]
    keys = {key: settings[key] for key in ("aws_access_key_id", "aws_secret_access_key")}
    document = trust_policy("", Principal={"AWS": f"{ROLE_PREFIX}{name}"})
    world.sandbox.client("iam", **keys).create_role(RoleName="moved-target", AssumeRolePolicyDocument=document)

    def change(_pod: Json) -> None:
        names = {"clusterName": CLUSTER, "associationId": identifier}
        world.eks.update_pod_identity_association(**names, targetRoleArn=target)

    world.engine.changes[name] = change


@breaks("deny_allowed", "s3.list_buckets", "has been done", "Allow-1 (inline)", deny=[LIST])
def too_much(world: World, name: str) -> None:
    world.create_workload(name)


@breaks("permission_missing", "no policy is attached", "policy that allows s3:ListAllMyBuckets")
def no_permission(world: World, name: str) -> None:
    make_role(world.iam, name, PODS)
    world.associate(name)


@breaks("boundary_denies", "no permissions boundary allows", "Widen the permissions boundary")
def boundary(world: World, name: str) -> None:
    world.create_workload(name)
    narrow = "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"
    world.iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=narrow)


@breaks("session_policy_denies", "no session policy allows", "Widen the session policy")
def session_policy(world: World, name: str) -> None:
    world.create_workload(name, disableSessionTags=True, policy=policy("s3:GetObject"))


@breaks("policy_denies", "with an explicit deny in an identity-based policy", "Take the Deny")
def explicit_deny(world: World, name: str) -> None:
    world.create_workload(name)
    world.permit(name, "s3:*", effect="Deny")


LIST_OBJECTS = {"service": "s3", "operation": "list_objects_v2", "parameters": {"Bucket": "closed"}}


@breaks("resource_policy_denies", "with an explicit deny in a resource-based policy", allow=[LIST_OBJECTS])
def bucket_policy(world: World, name: str) -> None:
    world.create_workload(name, "s3:*")
    s3 = world.sandbox.client("s3")
    s3.create_bucket(Bucket="closed", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::closed"}
    s3.put_bucket_policy(Bucket="closed", Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))


def assume_role_call(name: str, **more: t.Any) -> Json:
    parameters = {"RoleArn": f"{ROLE_PREFIX}{name}-next", "RoleSessionName": "next", **more}
    return {"service": "sts", "operation": "assume_role", "parameters": parameters}


@breaks("session_tags_refused", "no-tags-next", "disable_session_tags", allow=[assume_role_call("no-tags")])
def no_tags(world: World, name: str) -> None:
    """The next role takes no session tags, and those of Pod Identity go on to it."""
    world.create_workload(name, *CHAIN_ACTIONS)
    make_role(world.iam, f"{name}-next", "ec2.amazonaws.com")
    world.trust(f"{name}-next", Principal={"AWS": f"{ROLE_PREFIX}{name}"}, actions=["sts:AssumeRole"])


LARGE = policy(*(f"s3:GetObject{'*' * number}" for number in range(1, 50)))


@breaks(
    "session_too_large", "of allotted space", "disable_session_tags", allow=[assume_role_call("large", Policy=LARGE)]
)
def large(world: World, name: str) -> None:
    world.create_workload(name, *CHAIN_ACTIONS)
    make_role(world.iam, f"{name}-next", "ec2.amazonaws.com")
    world.trust(f"{name}-next", Principal={"AWS": f"{ROLE_PREFIX}{name}"})


MISSING_BUCKET = {"service": "s3", "operation": "list_objects_v2", "parameters": {"Bucket": "not-there"}}


@breaks("call_failed", "NoSuchBucket", allow=[MISSING_BUCKET])
def failing(world: World, name: str) -> None:
    world.create_workload(name, "s3:*")


# --- what looks wrong and is not --------------------------------------------------------------------------------------

#: Workloads that are proven all the same, by namespace.
SOUND: dict[str, Seed] = {}


def sound(seed: Seed) -> Seed:
    SOUND[seed.__name__.replace("_", "-")] = seed
    return seed


@sound
def role_recreated(world: World, name: str) -> None:
    """An association holds a role's name, so that the next of the same name will do."""
    make_role(world.iam, name, PODS)
    world.associate(name)
    world.iam.delete_role(RoleName=name)
    world.role(name, "s3:ListAllMyBuckets")


@sound
def irsa_annotation(world: World, name: str) -> None:
    """The webhook prefers the association."""
    world.create_workload(name)
    annotations = {"eks.amazonaws.com/role-arn": f"{ROLE_PREFIX}irsa"}
    world.core.patch_namespaced_service_account("app", name, {"metadata": {"annotations": annotations}})


@sound
def proxied(world: World, name: str) -> None:
    """boto3 never asks a proxy for the agent's address. Other SDKs do."""
    world.create_workload(name)
    proxy = {"HTTP_PROXY": "http://user:secret-of-the-proxy@proxy.example.com:3128", "NO_PROXY": "127.0.0.1,.internal"}
    world.engine.changes[name] = policy_engine.environment(**proxy)


# --- the cluster ------------------------------------------------------------------------------------------------------


def make_cluster(sandbox: SandboxProcess) -> None:
    """The cluster with its node groups, and the agent on the nodes that it tolerates."""
    # A busy machine takes long to start the agents, which is none of the breaks.
    sandbox.knobs(addon_patience_seconds=600)
    subnets, eks, iam, quickly = make_account(sandbox), sandbox.client("eks"), sandbox.client("iam"), {"Delay": 1}
    eks.create_cluster(
        name=CLUSTER,
        roleArn=f"{ROLE_PREFIX}eks-cluster",
        resourcesVpcConfig={"subnetIds": subnets},
        accessConfig={"authenticationMode": "API"},
    )
    eks.get_waiter("cluster_active").wait(name=CLUSTER, WaiterConfig=quickly)
    size = {"minSize": 1, "maxSize": 1, "desiredSize": 1}
    for group in NODE_GROUPS:
        role = make_role(iam, f"node-{group}", "ec2.amazonaws.com", *NODE_POLICIES)
        taints = [] if group == "plain" else [{"key": "dedicated", "value": group, "effect": "NO_SCHEDULE"}]
        names = {"clusterName": CLUSTER, "nodegroupName": group}
        # One that has room for all the pods.
        machine = {"instanceTypes": ["m5.4xlarge"]}
        eks.create_nodegroup(**names, **machine, nodeRole=role, subnets=subnets, scalingConfig=size, taints=taints)
    for group in NODE_GROUPS:
        eks.get_waiter("nodegroup_active").wait(clusterName=CLUSTER, nodegroupName=group, WaiterConfig=quickly)
    tolerations = [{"key": "dedicated", "operator": "Equal", "value": group} for group in NODE_GROUPS]
    tolerations = [one for one in tolerations if one["value"] != "tainted"]
    install(eks, tolerations=tolerations)


def install(eks: t.Any, **configuration: t.Any) -> None:
    """The add-on, and when its agents run."""
    addon = {"clusterName": CLUSTER, "addonName": AGENT}
    eks.create_addon(**addon, configurationValues=json.dumps(configuration))
    eks.get_waiter("addon_active").wait(**addon, WaiterConfig={"Delay": 1})


def break_nodes(world: World) -> None:
    """What is wrong with some nodes."""
    world.iam.detach_role_policy(
        RoleName="node-forbidden", PolicyArn="arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"
    )
    operation = "eks-auth:AssumeRoleForPodIdentity"
    world.sandbox.knobs(
        faults=[
            {"operation": operation, "caller": f"*:assumed-role/node-{group}/*", **fault}
            for group, fault in FAULTS.items()
        ]
    )
    [node] = world.core.list_node(label_selector="eks.amazonaws.com/nodegroup=fargate").items
    labels = {"labels": {"eks.amazonaws.com/compute-type": "fargate"}}
    world.core.patch_node(node.metadata.name, {"metadata": labels})


@pytest.fixture(scope="module")
def world(sandbox: SandboxProcess) -> t.Iterator[World]:
    make_cluster(sandbox)
    with PolicyEngine() as engine:
        world = World(sandbox, engine)
        engine.install(world.api)
        for name, seed in {name: each.seed for name, each in BREAKS.items()}.items() | SOUND.items():
            world.core.create_namespace({"metadata": {"name": name}})
            world.core.create_namespaced_service_account(name, {"metadata": {"name": "app"}})
            seed(world, name)
        break_nodes(world)
        yield world


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("inventory") / "hosts.json"
    connection = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    path.write_text(json.dumps({"eks_clusters": {"hosts": {CLUSTER: connection}}}), encoding="utf-8")
    return str(path)


class Verified(t.NamedTuple):
    """What a run proved, by namespace, and what it printed."""

    proofs: dict[str, Proof]
    output: str


Verify = t.Callable[..., Verified]


@pytest.fixture(scope="module")
def verify(playbook: Playbooks, inventory: str, tmp_path_factory: pytest.TempPathFactory) -> Verify:
    def run(*workloads: Json, **extra: t.Any) -> Verified:
        proof_file = tmp_path_factory.mktemp("proof") / "proof.json"
        settings = {"eks_region": "eu-west-1", "podidentity_proof_file": str(proof_file), "verify_grace": 0, **extra}
        env = settings.pop("env", {})
        done = playbook(
            "playbooks/verify.yml", inventory=inventory, env=env, podidentity_workloads=list(workloads), **settings
        )
        proofs = json.loads(proof_file.read_text(encoding="utf-8"))
        return Verified({proof["namespace"]: proof for proof in proofs}, done.output)

    return run


def workload(namespace: str, prove: t.Mapping[str, t.Any] | None = None) -> Json:
    role = {"arn": f"{ROLE_PREFIX}{namespace}"}
    return {"namespace": namespace, "service_account": "app", "role": role, "prove": prove or {"allow": [LIST]}}


def check(proof: Proof, cause: str, *mentions: str) -> None:
    """The cause, and that its text and advice name what was seen and what to do."""
    assert proof["proven"] is False
    assert proof["cause"]["id"] == cause, proof
    assert cause in CLUSTER_CAUSES | {each.cause for each in BREAKS.values()}
    said = f"{proof['cause']['text']} {proof['advice']}"
    assert [word for word in mentions if word not in said] == [], said


@pytest.fixture(scope="module")
def verified(world: World, verify: Verify) -> Verified:
    """Every workload, proven in one run."""
    declared = [workload(name, each.prove) for name, each in BREAKS.items()]
    settings = {"verify_node_selector": {"eks.amazonaws.com/nodegroup": "plain"}}
    # So many pods at once make a busy machine late, and the SDK waits two seconds only: they may try again.
    return verify(*declared, *map(workload, SOUND), verify_grace=10, **settings)


@pytest.mark.parametrize("name", BREAKS)
def test_broken_workload_reports_its_cause(verified: Verified, name: str) -> None:
    broken = BREAKS[name]
    check(verified.proofs[name], broken.cause, *broken.mentions)


@pytest.mark.parametrize("name", SOUND)
def test_proves_workload_that_only_seems_broken(verified: Verified, name: str) -> None:
    assert verified.proofs[name]["proven"] is True, verified.proofs[name]


def test_output_and_proofs_hold_no_secret(verified: Verified) -> None:
    shown = verified.output + json.dumps(verified.proofs)
    assert [secret for secret in ("secret-of-the-proxy", "wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY") if secret in shown] == []


# --- breaks of the whole cluster, in the order of a bad day -----------------------------------------------------------


@pytest.fixture(scope="module")
def verified_world(world: World, verified: Verified) -> World:
    """The cluster when every workload has been proven, with four more to break it for."""
    for name in ("plain", "elsewhere", "stuck", "nowhere"):
        world.core.create_namespace({"metadata": {"name": name}})
        world.core.create_namespaced_service_account(name, {"metadata": {"name": "app"}})
        world.create_workload(name)
    world.engine.changes["plain"] = policy_engine.on_node("plain")
    world.engine.changes["elsewhere"] = policy_engine.on_node("tainted")
    return world


def test_reports_why_a_verification_pod_does_not_finish(verified_world: World, verify: Verify) -> None:
    verified_world.engine.changes["nowhere"] = policy_engine.on_node("none")
    verified_world.engine.changes["stuck"] = policy_engine.container(command=["sleep"], args=["3600"])
    verified_world.core.delete_namespaced_service_account("app", "elsewhere")
    proofs = verify(*map(workload, ("nowhere", "stuck", "elsewhere")), verify_timeout=10).proofs
    verified_world.core.create_namespaced_service_account("elsewhere", {"metadata": {"name": "app"}})
    check(proofs["nowhere"], "pod_unschedulable", "nodes are available", "verify_node_selector")
    check(proofs["stuck"], "deadline_exceeded", "within 10 s", "verify_timeout")
    check(proofs["elsewhere"], "pod_not_created", "elsewhere/app exists")


def test_reports_missing_webhook(verified_world: World, verify: Verify) -> None:
    admission = kubernetes.client.AdmissionregistrationV1Api(verified_world.api)
    own = admission.read_mutating_webhook_configuration(policy_engine.WEBHOOK).webhooks[1]
    own.namespace_selector = {}
    removed = {"op": "remove", "path": "/webhooks/1"}
    admission.patch_mutating_webhook_configuration(policy_engine.WEBHOOK, [removed])
    proofs = verify(workload("plain")).proofs
    brought_back = {"op": "add", "path": "/webhooks/1", "value": verified_world.api.sanitize_for_serialization(own)}
    admission.patch_mutating_webhook_configuration(policy_engine.WEBHOOK, [brought_back])
    check(proofs["plain"], "webhook_missing", "has no MutatingWebhookConfiguration pod-identity-webhook")


def test_reports_missing_agent(verified_world: World, verify: Verify) -> None:
    verified_world.eks.delete_addon(clusterName=CLUSTER, addonName=AGENT)
    eventually(lambda: not agents(verified_world))
    check(verify(workload("plain")).proofs["plain"], "agent_missing", f"has no add-on {AGENT}")


def test_reports_what_the_user_may_not_read(verified_world: World, verify: Verify) -> None:
    """Still without agents; but this user may only verify, and in this namespace only."""
    verified_world.iam.create_user(UserName="narrow")
    looks = ("eks:DescribeCluster", "eks:ListPodIdentityAssociations", "eks:DescribePodIdentityAssociation")
    verified_world.iam.put_user_policy(UserName="narrow", PolicyName="looks", PolicyDocument=policy(*looks))
    keys = verified_world.iam.create_access_key(UserName="narrow")["AccessKey"]
    names = {"clusterName": CLUSTER, "principalArn": "arn:aws:iam::111122223333:user/narrow"}
    verified_world.eks.create_access_entry(**names)
    edit = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSEditPolicy"
    scope = {"type": "namespace", "namespaces": ["plain"]}
    verified_world.eks.associate_access_policy(**names, policyArn=edit, accessScope=scope)
    env = {"AWS_ACCESS_KEY_ID": keys["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"]}
    proof = verify(workload("plain"), env=env).proofs["plain"]
    check(proof, "agent_unreachable", "Not looked up: ", "eks:DescribeAddon", "pods is forbidden", "nodes is forbidden")


def test_reports_crashing_agents(verified_world: World, verify: Verify) -> None:
    verified_world.sandbox.knobs(addon_patience_seconds=0.1)
    addon = {"clusterName": CLUSTER, "addonName": AGENT}
    configuration = {"agent": {"additionalArgs": {"--no-such-flag": "1"}}, "tolerations": []}
    verified_world.eks.create_addon(**addon, configurationValues=json.dumps(configuration))
    eventually(lambda: verified_world.eks.describe_addon(**addon)["addon"]["status"] == "DEGRADED")
    eventually(lambda: any(status.restart_count for status in statuses(verified_world)))
    proofs = verify(*map(workload, ("plain", "elsewhere"))).proofs
    check(proofs["plain"], "agent_crashing", "does not stay up", "exit code 2")
    check(proofs["elsewhere"], "agent_not_active", "DEGRADED (InsufficientNumberOfReplicas")


def agents(world: World) -> list[t.Any]:
    """The pods of the add-on."""
    found = world.core.list_pod_for_all_namespaces(label_selector=f"app.kubernetes.io/name={AGENT}")
    return list(found.items)


def statuses(world: World) -> list[t.Any]:
    """Those of their containers."""
    return [status for pod in agents(world) for status in pod.status.container_statuses or []]


def test_every_documented_cause_is_seeded_or_excused() -> None:
    readme = ROOT / "roles" / "verify" / "README.md"
    rows = [line.split("|")[1] for line in readme.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in row.split("`")[1::2]}
    seeded = {each.cause for each in BREAKS.values()} | CLUSTER_CAUSES
    assert seeded.isdisjoint(NOT_SEEDED)
    assert seeded | set(NOT_SEEDED) == documented

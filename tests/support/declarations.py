# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Declarations and the accounts that they meet: empty, half-made, drifted and complete."""

from __future__ import annotations

import collections.abc as c
import dataclasses
import json
import time
import typing as t

import kubernetes
from support.account_state import TAG
from support.iam_roles import trust_policy
from support.sandbox_process import SandboxProcess

REGION = "eu-west-1"
ACCOUNT = "111122223333"
ROLES = f"arn:aws:iam::{ACCOUNT}:role/"
S3 = "AmazonS3ReadOnlyAccess"
#: Phases that change something; nothing is proven here.
PHASES = ["iam_role", "service_account", "association", "target_role", "restart", "remove"]
READ_S3 = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::reports/*"}],
}

Json = dict[str, t.Any]


class Place:
    """A cluster of the sandbox, for what others do to it before a run."""

    def __init__(self, sandbox: SandboxProcess, name: str, case: str = "") -> None:
        self.sandbox, self.name, self.case = sandbox, name, case
        self.iam, self.eks, self.ec2 = (sandbox.client(service) for service in ("iam", "eks", "ec2"))
        self.names = {"clusterName": name}

    def role(self, suffix: str, *policies: str, tags: c.Mapping[str, str] | None = None, trust: str = "") -> str:
        """A role whose name begins with the declaration's, which any workload may use."""
        name = f"{self.case}-{suffix}"
        given = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
        document = trust or trust_policy("pods.eks.amazonaws.com")
        self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document, Tags=given)
        for policy in policies:
            self.iam.attach_role_policy(RoleName=name, PolicyArn=f"arn:aws:iam::aws:policy/{policy}")
        return f"{ROLES}{name}"

    def association(self, role_arn: str, *, ours: bool = True, **more: t.Any) -> None:
        tags = {TAG: self.name} if ours else {"team": "other"}
        key = {**self.names, "namespace": "default", "serviceAccount": self.case}
        self.eks.create_pod_identity_association(**{**key, "roleArn": role_arn, "tags": tags, **more})

    def deploy(self) -> None:
        """A Deployment of the declaration's service account, whose pod runs on a node of the cluster."""
        self.node()
        api = kubernetes.config.new_client_from_config(str(self.sandbox.kubeconfig), context=self.name)
        account = {"metadata": {"name": self.case}}
        kubernetes.client.CoreV1Api(api).create_namespaced_service_account("default", account)
        container = {"name": "main", "image": "busybox", "command": ["sleep", "3600"]}
        template = {
            "metadata": {"labels": {"app": self.case}},
            "spec": {
                "serviceAccountName": self.case,
                "terminationGracePeriodSeconds": 0,
                "containers": [container],
            },
        }
        spec = {"replicas": 1, "selector": {"matchLabels": {"app": self.case}}, "template": template}
        apps = kubernetes.client.AppsV1Api(api)
        apps.create_namespaced_deployment("default", {"metadata": {"name": self.case}, "spec": spec})
        deadline = time.monotonic() + 60
        while not apps.read_namespaced_deployment(self.case, "default").status.ready_replicas:
            assert time.monotonic() < deadline, "the Deployment has no ready pod"
            time.sleep(0.2)

    def node(self) -> None:
        """A node group with one node, and the agent."""
        cluster = self.eks.describe_cluster(name=self.name)["cluster"]
        group = {**self.names, "nodegroupName": "nodes"}
        self.eks.create_nodegroup(
            **group,
            nodeRole=f"{ROLES}eks-node",
            subnets=cluster["resourcesVpcConfig"]["subnetIds"],
            scalingConfig={"minSize": 1, "maxSize": 1, "desiredSize": 1},
        )
        addon = {**self.names, "addonName": "eks-pod-identity-agent"}
        self.eks.create_addon(**addon)
        quickly = {"Delay": 1, "MaxAttempts": 60}
        self.eks.get_waiter("nodegroup_active").wait(**group, WaiterConfig=quickly)
        self.eks.get_waiter("addon_active").wait(**addon, WaiterConfig=quickly)

    def active(self) -> None:
        self.eks.get_waiter("cluster_active").wait(name=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})

    def of_ours(self, operation: str, key: str) -> list[Json]:
        """What EC2 describes with our tag."""
        ours = [{"Name": f"tag:{TAG}", "Values": [self.name]}]
        found: list[Json] = getattr(self.ec2, operation)(Filters=ours)[key]
        return found


def nothing(_place: Place) -> None:
    """The account as it is."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One declaration and the account that it meets."""

    name: str
    #: The cluster. Declarations of one cluster are run together, and the names of what is theirs hold their own.
    host: str
    state: str
    what: str
    declared: Json
    before: c.Callable[[Place], None] = nothing
    #: A part of the sentence with which both runs fail; empty where both succeed.
    fails: str = ""


def workload(name: str, *, suffix: str = "app", **more: t.Any) -> Json:
    """A workload of the declaration's name, with a role of its own that reads S3."""
    role = {"name": f"{name}-{suffix}", "managed_policies": [S3], **more.pop("role", {})}
    return {"namespace": "default", "service_account": name, "role": role, **more}


def workloads(*items: Json, **more: t.Any) -> Json:
    return {"podidentity_workloads": list(items), **more}


def merged(cases: c.Iterable[Case]) -> Json:
    """What the declarations of one cluster are together."""
    whole: Json = {}
    for case in cases:
        both = whole.get("podidentity_workloads", []) + case.declared.get("podidentity_workloads", [])
        whole |= case.declared | ({"podidentity_workloads": both} if both else {})
    return whole


def _case(name: str, state: str, what: str, declared: c.Callable[[str], Json], host: str = "", **more: t.Any) -> Case:
    given = declared(name)
    return Case(name=name, host=host or name, state=state, what=what, declared=given, **more)


def _listed(name: str, state: str, what: str, declared: c.Callable[[str], Json], **more: t.Any) -> Case:
    """One of the workloads of the cluster "w", where namespaces are created."""

    def whole(given: str) -> Json:
        return workloads(declared(given), service_account_create_namespaces=True)

    return _case(name, state, what, whole, host="w", **more)


# --- workloads on a cluster that others have made -------------------------------------------------------------------


PURGE = {"podidentity_purge": "cluster"}


def _target(name: str) -> Json:
    return {"name": f"{name}-target", "managed_policies": [S3]}


def _arn(name: str) -> Json:
    return {"arn": f"{ROLES}{name}-given"}


def _complete(place: Place, **more: t.Any) -> None:
    """A role, service account and association that are as a run would leave them, but for what is given."""
    place.association(place.role("app", S3, tags={TAG: place.name}), **more)


def _narrowed(place: Place) -> None:
    """A role of a workload without session tags, as it was before they came back."""
    condition = {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnEquals": {"aws:SourceArn": f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{place.name}"},
    }
    trust = trust_policy("pods.eks.amazonaws.com", Condition=condition)
    arn = place.role("app", S3, tags={TAG: place.name}, trust=trust)
    place.association(arn, disableSessionTags=True)


def _undeclared(place: Place) -> None:
    place.association(place.role("old", S3, tags={TAG: place.name}), serviceAccount=f"{place.case}-old")


def _of_others(place: Place) -> None:
    place.association(place.role("theirs", S3), ours=False)


def _by_hand(place: Place) -> None:
    place.association(place.role("hand", S3))


def _given(place: Place) -> None:
    place.role("given", S3)


def _unattached(place: Place) -> None:
    place.role("app", tags={TAG: place.name})


def _waiting(place: Place) -> None:
    """A Deployment that runs without an identity."""
    place.deploy()


INLINE = {"inline_policy": READ_S3}
SQS = {"managed_policies": ["AmazonSQSReadOnlyAccess"]}
ON_CLUSTERS = [
    _listed("w-new", "empty", "a workload", workload),
    _listed("w-inline", "empty", "a role with an inline policy", lambda n: workload(n, role=INLINE)),
    _listed("w-open", "empty", "open trust", lambda n: workload(n, role={"trust": "open"})),
    _listed("w-space", "empty", "a namespace that does not exist", lambda n: workload(n, namespace=n)),
    _listed("w-tags", "empty", "tags", lambda n: workload(n, tags={"team": "a"})),
    _listed("w-share-1", "empty", "a role that two share", lambda n: workload(n, role={"name": "w-share-app"})),
    _listed("w-share-2", "empty", "the second of them", lambda n: workload(n, role={"name": "w-share-app"})),
    _listed("w-notags", "empty", "session tags off", lambda n: workload(n, disable_session_tags=True)),
    _listed("w-chart", "empty", "an account of a chart", lambda n: workload(n, service_account_managed=False)),
    _listed("w-target", "empty", "a target role", lambda n: workload(n, target_role=_target(n))),
    _listed("w-given", "half-made", "a given role", lambda n: workload(n) | {"role": _arn(n)}, before=_given),
    _listed("w-role", "half-made", "the role without its policy", workload, before=_unattached),
    _listed("w-account", "half-made", "all but the service account", workload, before=_complete),
    _listed("w-point", "drifted", "the association has another role", workload, before=_by_hand),
    _listed("w-back", "drifted", "session tags come back", workload, before=_narrowed),
    _listed("w-policy", "drifted", "another policy is declared", lambda n: workload(n, role=SQS), before=_complete),
    _listed("w-foreign", "drifted", "the association is of others", workload, before=_of_others),
    _listed("w-undecl", "drifted", "another workload is undeclared", workload, before=_undeclared),
    _listed("w-absent", "complete", "a workload that goes", lambda n: workload(n, state="absent"), before=_complete),
    _case(
        "p-purge",
        "drifted",
        "undeclared ones are purged",
        lambda n: workloads(workload(n), **PURGE),
        before=_undeclared,
    ),
    _case(
        "r-start", "half-made", "a Deployment without its identity", lambda n: workloads(workload(n)), before=_waiting
    ),
]


def _absent(declared: Json) -> Json:
    given = declared["podidentity_workloads"]
    return declared | {"podidentity_workloads": [one | {"state": "absent"} for one in given]}


def _tagged(declared: Json) -> Json:
    given = declared["podidentity_workloads"]
    return declared | {"podidentity_workloads": [one | {"tags": {"team": "b"}} for one in given]}


def _nothing(_declared: Json) -> Json:
    return {"podidentity_workloads": [], **PURGE}


#: What is declared otherwise once everything is there; the rest stays as it is.
AFTERWARDS = {
    "w-new": ("a workload that goes, with its role", _absent),
    "w-space": ("a workload that goes, in its own namespace", _absent),
    "w-share-2": ("one of two that share a role goes", _absent),
    "w-target": ("a target role goes", _absent),
    "w-tags": ("other tags", _tagged),
    "p-purge": ("nothing is declared, and what is undeclared is purged", _nothing),
}


def afterwards(case: Case) -> Case:
    """The declaration on the account that the run before has completed."""
    what, change = AFTERWARDS.get(case.name, ("nothing differs", dict))
    return dataclasses.replace(case, state="complete", what=what, declared=change(case.declared), before=nothing)


# --- what cannot be ---------------------------------------------------------------------------------------------------


def _bad(name: str, what: str, fails: str, declared: c.Callable[[str], Json], **more: t.Any) -> Case:
    return _case(name, more.pop("state", "empty"), what, declared, fails=fails, **more)


REFUSED = [
    _bad(
        "f-policy",
        "a managed policy that does not exist",
        "NoSuchPolicy",
        lambda n: workloads(workload(n, role={"managed_policies": ["NoSuchPolicy"]})),
    ),
    _bad(
        "f-boundary",
        "a boundary that does not exist",
        "boundary",
        lambda n: workloads(workload(n, role={"boundary": f"arn:aws:iam::{ACCOUNT}:policy/none"})),
    ),
    _bad(
        "f-length",
        "a role's name that is too long",
        "64",
        lambda n: workloads(workload(n, role={"name": "r" * 65})),
    ),
    _bad("f-space", "a namespace that does not exist", "not found", lambda n: workloads(workload(n, namespace=n))),
    _bad("f-key", "a misspelt key", "did you mean", lambda n: workloads(workload(n) | {"rolle": {}})),
    _bad("f-twice", "a workload that is declared twice", "declared", lambda n: workloads(workload(n), workload(n))),
    _bad(
        "f-call",
        "a wrong call to prove",
        "lst_buckets",
        lambda n: workloads(workload(n, prove={"allow": [{"service": "s3", "operation": "lst_buckets"}]})),
    ),
    _bad(
        "f-variable", "a misspelt variable", "podidentity_workloads", lambda n: {"podidentity_workload": [workload(n)]}
    ),
    _bad(
        "f-account", "another account", "444455556666", lambda n: workloads(workload(n), eks_account_id="444455556666")
    ),
    _bad(
        "f-region",
        "a region that does not exist",
        "eu-west-9",
        lambda n: workloads(workload(n), eks_region="eu-west-9"),
    ),
    _bad(
        "f-missing",
        "a cluster that nobody creates",
        "There is no EKS cluster",
        lambda n: workloads(workload(n), eks_cluster_name=n),
    ),
    _bad("f-agent", "a wrong agent version", "agent_version", lambda n: workloads(workload(n), agent_version="newest")),
]
#: The cluster of all that are refused but one.
THEIRS = "theirs"


# --- whole clusters ---------------------------------------------------------------------------------------------------


ZONES = [f"{REGION}a", f"{REGION}b"]
NODES: Json = {"name": "nodes", "instance_types": ["m5.large"], "scaling": {"min_size": 1, "max_size": 2}}
BUSY: Json = {
    "name": "busy",
    "zones": [f"{REGION}b"],
    "scaling": {"min_size": 0, "desired_size": 0, "max_size": 3},
    "disk_size": 50,
    "disk_type": "gp3",
    "labels": {"pool": "busy"},
    "taints": [{"key": "dedicated", "value": "batch", "effect": "NO_SCHEDULE"}],
    "additional_security_groups": [
        {"name": "metrics", "rules": [{"proto": "tcp", "ports": [9100], "cidr_ip": "10.42.0.0/16"}]}
    ],
}
PEOPLE = {"principal_arn": f"{ROLES}people", "kubernetes_groups": ["people"]}
OPERATORS = {
    "principal_arn": f"{ROLES}path/operators",
    "user_name": "operators",
    "policies": [{"policy": "AmazonEKSViewPolicy"}, {"policy": "AmazonEKSEditPolicy", "namespaces": ["shop"]}],
}
ANNA = {"principal_arn": f"arn:aws:iam::{ACCOUNT}:user/anna"}


def cluster(**more: t.Any) -> Json:
    """A cluster in a network of its own, with one node group, and the agent, which nodes wait for."""
    nodes = {"cluster_nodegroups": [NODES]}
    return {"cluster_zones": ZONES, "cluster_nat": "none", "cluster_version": "1.34", **nodes, **more}


CREATED = [
    _case(
        "c-small",
        "empty",
        "public subnets",
        lambda n: cluster(**workloads(workload(n))),
    ),
    _case(
        "c-full",
        "empty",
        "NAT per zone, node groups, access entries, add-ons, logs",
        lambda n: cluster(
            cluster_nat="per_zone",
            cluster_version="",
            cluster_logging=["api"],
            cluster_tags={"team": "platform"},
            cluster_nodegroups=[NODES, BUSY],
            cluster_access_entries=[PEOPLE, OPERATORS, ANNA],
            addons_list=[{"name": "metrics-server"}, {"name": "snapshot-controller", "version": "latest"}],
            **workloads(workload(n, suffix="app")),
        ),
    ),
    _case(
        "c-single",
        "empty",
        "one NAT gateway, an add-on with a role",
        lambda n: cluster(
            cluster_nat="single",
            addons_list=[
                {
                    "name": "aws-ebs-csi-driver",
                    "service_accounts": [{"name": "ebs-csi-controller-sa", "role": {"name": f"{n}-ebs"}}],
                }
            ],
        ),
    ),
]
UNBORN = [
    _bad("x-version", "a version that EKS does not offer", "1.99", lambda _n: cluster(cluster_version="1.99")),
    _bad(
        "x-addon",
        "an add-on that EKS does not offer",
        "no-such-addon",
        lambda _n: cluster(agent_managed=False, cluster_nodegroups=[], addons_list=[{"name": "no-such-addon"}]),
    ),
    _bad(
        "x-entry",
        "an access entry of a principal that does not exist",
        "nobody",
        lambda _n: cluster(cluster_access_entries=[{"principal_arn": f"{ROLES}nobody"}]),
    ),
    _bad(
        "x-policy",
        "an access policy that EKS does not have",
        "AmazonEKSNoPolicy",
        lambda _n: cluster(cluster_access_entries=[PEOPLE | {"policies": [{"policy": "AmazonEKSNoPolicy"}]}]),
    ),
    _bad(
        "x-agent",
        "a version of the agent that does not exist",
        "v9.9.9",
        lambda _n: cluster(agent_version="v9.9.9-eksbuild.1"),
    ),
    _bad(
        "x-network",
        "a network without room",
        "must have a size of /12 to /24",
        lambda _n: cluster(cluster_network="10.42.0.0/30"),
    ),
    _bad(
        "x-noderole",
        "a node role that does not exist",
        "nobody",
        lambda _n: cluster(cluster_nodegroups=[NODES], cluster_node_role_arn=f"{ROLES}nobody"),
    ),
    _bad(
        "x-role",
        "a cluster role that does not exist",
        "nobody",
        lambda _n: cluster(cluster_role_arn=f"{ROLES}nobody"),
    ),
]


# --- and what became of them ------------------------------------------------------------------------------------------


def _half(place: Place) -> None:
    """Node group, access entry, a NAT gateway and a role's policy are gone."""
    place.eks.delete_nodegroup(**place.names, nodegroupName="busy")
    place.eks.delete_access_entry(**place.names, principalArn=PEOPLE["principal_arn"])
    policy = "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"
    place.iam.detach_role_policy(RoleName=f"{place.name}-nodes", PolicyArn=policy)
    place.eks.get_waiter("nodegroup_deleted").wait(
        **place.names, nodegroupName="busy", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )


def _drift(place: Place) -> None:
    """Somebody has changed subnets, a route and a trust policy by hand."""
    subnet = place.of_ours("describe_subnets", "Subnets")[0]["SubnetId"]
    place.ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": False})
    table = next(one for one in place.of_ours("describe_route_tables", "RouteTables"))
    place.ec2.delete_route(RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0")
    place.iam.update_assume_role_policy(
        RoleName=f"{place.name}-cluster", PolicyDocument=json.dumps(json.loads(trust_policy("ec2.amazonaws.com")))
    )


CHANGED = [
    dataclasses.replace(CREATED[0], state="drifted", what="subnet, route and trust differ", before=_drift),
    dataclasses.replace(
        CREATED[1],
        state="half-made",
        what="node group, access entry and policy are gone; version, logs, labels and add-ons differ",
        before=_half,
        declared=CREATED[1].declared
        | {
            "cluster_version": "1.35",
            "cluster_logging": ["api", "audit"],
            "cluster_nodegroups": [NODES | {"labels": {"pool": "nodes"}}, BUSY],
            "cluster_access_entries": [PEOPLE, OPERATORS | {"policies": []}, ANNA | {"kubernetes_groups": ["team"]}],
            "addons_list": [
                {"name": "metrics-server", "configuration": {"replicas": 2}},
                {"name": "snapshot-controller", "state": "absent"},
            ],
        },
    ),
    dataclasses.replace(CREATED[2], state="complete", what="nothing differs"),
]

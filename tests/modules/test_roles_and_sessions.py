# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pods may do with the roles that eks_pod_identity_roles makes: real sessions, as the agent gets them."""

from __future__ import annotations

import base64
import dataclasses
import json
import time
import typing as t

import botocore.exceptions
import pytest
from support.associations import OURS
from support.iam_roles import make_role
from support.module_runs import Account
from support.module_runs import Result
from support.module_runs import RunModule

ACCOUNT, OTHER = "111122223333", "444455556666"
CLUSTER = f"arn:aws:eks:eu-west-1:{ACCOUNT}:cluster/example"
ROLES, TARGETS = f"arn:aws:iam::{ACCOUNT}:role/", f"arn:aws:iam::{OTHER}:role/"
REVOKED = "podidentity.eks-revoked"


@dataclasses.dataclass(frozen=True)
class World:
    """The cluster "example", its workloads and the sessions of their pods."""

    account: Account
    run_module: RunModule
    iam: t.Any

    def roles(self, *workloads: dict[str, t.Any], check: bool = False, **options: t.Any) -> Result:
        options = {"cluster_arn": CLUSTER, "workloads": list(workloads), **options}
        return self.run_module("eks_pod_identity_roles", check_mode=check, diff=True, **options)

    def associate(self, name: str, role: str, **fields: t.Any) -> dict[str, t.Any]:
        """An association for ``namespace/service_account``."""
        namespace, service_account = name.split("/")
        names = {"clusterName": "example", "namespace": namespace, "serviceAccount": service_account}
        eks = self.account.eks
        fields = {"roleArn": f"{ROLES}{role}", "tags": {OURS: "example"}, **fields}
        association: dict[str, t.Any] = eks.create_pod_identity_association(**names, **fields)["association"]
        return association

    def associations(self) -> list[dict[str, t.Any]]:
        """As a task registers them."""
        found = self.run_module("eks_pod_identity_association_info", cluster_name="example")
        return t.cast("list[dict[str, t.Any]]", found["associations"])

    def session(self, name: str) -> Session:
        """What a pod of ``namespace/service_account`` has."""
        namespace, service_account = name.split("/")
        pod = {"name": f"{service_account}-0", "uid": "u"}
        claims = {"namespace": namespace, "serviceaccount": {"name": service_account}, "pod": pod}
        body = json.dumps({"exp": time.time() + 60, "kubernetes.io": claims}).encode()
        token = f"h.{base64.urlsafe_b64encode(body).decode().rstrip('=')}.s"
        eks_auth = self.account.sandbox.client("eks-auth")
        given = eks_auth.assume_role_for_pod_identity(clusterName="example", token=token)["credentials"]
        keys = {
            "aws_access_key_id": given["accessKeyId"],
            "aws_secret_access_key": given["secretAccessKey"],
            "aws_session_token": given["sessionToken"],
        }
        return Session(self.account.sandbox.client("s3", **keys), self.account.sandbox.client("sts", **keys))


@dataclasses.dataclass(frozen=True)
class Session:
    """The credentials of a pod."""

    s3: t.Any
    sts: t.Any

    def may(self, operation: str = "list_buckets", **parameters: t.Any) -> bool:
        """Whether AWS lets it make a call of S3."""
        try:
            getattr(self.s3, operation)(**parameters)
        except botocore.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDenied"
            return False
        return True

    @property
    def role(self) -> str:
        """Account and name of the role that it is of."""
        parts = str(self.sts.get_caller_identity()["Arn"]).split(":")
        return f"{parts[4]}/{parts[5].split('/')[1]}"


@pytest.fixture
def world(account: Account, run_module: RunModule, clients: dict[str, t.Any]) -> World:
    account.create_cluster()
    return World(account, run_module, clients["iam"])


def workload(name: str, **more: t.Any) -> dict[str, t.Any]:
    namespace, service_account = name.split("/")
    role = {"name": "shared", "managed_policies": ["AmazonS3ReadOnlyAccess"]}
    return {"namespace": namespace, "service_account": service_account, "role": role, **more}


def gone(name: str, **more: t.Any) -> dict[str, t.Any]:
    return workload(name, state="absent", **more)


def refused(world: World, name: str) -> bool:
    """Whether EKS may not give a pod of this workload its role."""
    try:
        world.session(name)
    except botocore.exceptions.ClientError as error:
        return bool(error.response["Error"]["Code"] == "AccessDeniedException")
    return False


# --- sessions that are revoked ----------------------------------------------------------------------------------------


def test_the_sessions_of_the_revoked_workload_end_and_those_of_its_neighbour_go_on(world: World) -> None:
    world.roles(workload("team-a/web"), workload("team-a/jobs"))
    for name in ("team-a/web", "team-a/jobs"):
        world.associate(name, "shared")
    web, jobs = world.session("team-a/web"), world.session("team-a/jobs")
    assert web.may() and jobs.may()
    declared = (gone("team-a/web"), workload("team-a/jobs"))
    predicted = world.roles(*declared, check=True, revoke_sessions=True)
    assert web.may()
    done = world.roles(*declared, revoke_sessions=True)
    assert done["roles"][0]["changes"] == predicted["roles"][0]["changes"]
    assert f"revoke sessions by inline policy {REVOKED}" in done["roles"][0]["changes"]
    assert not web.may() and jobs.may()
    assert refused(world, "team-a/web") and world.session("team-a/jobs").may()
    again = world.roles(*declared, revoke_sessions=True)
    assert not again["changed"]

    back = world.roles(workload("team-a/web"), workload("team-a/jobs"))
    assert f"remove inline policy {REVOKED}" in back["roles"][0]["changes"]
    assert web.may() and world.session("team-a/web").may()


def test_without_the_option_sessions_go_on(world: World) -> None:
    world.roles(workload("team-a/web"), workload("team-a/jobs"))
    world.associate("team-a/web", "shared")
    web = world.session("team-a/web")
    world.roles(gone("team-a/web"), workload("team-a/jobs"))
    assert web.may() and refused(world, "team-a/web")


def test_a_run_that_ends_between_the_two_writes_is_finished_by_the_next(world: World) -> None:
    world.roles(workload("team-a/web"), workload("team-a/jobs"))
    world.associate("team-a/web", "shared")
    fault = {"operation": "UpdateAssumeRolePolicy", "code": "AccessDenied", "status": 403}
    world.account.sandbox.knobs(faults=[fault])
    declared = (gone("team-a/web"), workload("team-a/jobs"))
    failed = world.roles(*declared, revoke_sessions=True)
    assert failed["failed"] and failed["changed"]
    # EKS still gives the role: what begins now has to be revoked as well.
    time.sleep(1.1)
    late = world.session("team-a/web")
    assert late.may()
    world.account.sandbox.knobs(faults=[])
    done = world.roles(*declared, revoke_sessions=True)
    assert done["updated"] == ["shared"] and not late.may()
    assert not world.roles(*declared, revoke_sessions=True)["changed"]


def test_a_role_that_is_deleted_takes_its_sessions_with_it(world: World) -> None:
    world.roles(workload("team-a/web"))
    world.associate("team-a/web", "shared")
    web = world.session("team-a/web")
    done = world.roles(gone("team-a/web"), revoke_sessions=True)
    assert done["deleted"] == ["shared"] and "PutRolePolicy" not in done["api_calls"]
    with pytest.raises(botocore.exceptions.ClientError):
        web.s3.list_buckets()


def test_the_last_workload_of_somebody_elses_role_is_revoked_once(world: World) -> None:
    world.roles(workload("team-a/web"))
    world.iam.untag_role(RoleName="shared", TagKeys=["podidentity.eks/managed"])
    world.associate("team-a/web", "shared")
    web = world.session("team-a/web")
    done = world.roles(gone("team-a/web"), revoke_sessions=True)
    assert done["updated"] == ["shared"] and "was not made here, so it stays" in done["roles"][0]["findings"][0]
    assert not web.may()
    assert not world.roles(gone("team-a/web"), revoke_sessions=True)["changed"]


def test_sessions_without_tags_are_revoked_only_where_nobody_else_has_the_role(world: World) -> None:
    plain = {"disable_session_tags": True}
    world.roles(workload("team-a/web", **plain), workload("team-a/jobs"))
    for name, fields in (("team-a/web", {"disableSessionTags": True}), ("team-a/jobs", {})):
        world.associate(name, "shared", **fields)
    web, jobs = world.session("team-a/web"), world.session("team-a/jobs")
    done = world.roles(gone("team-a/web"), workload("team-a/jobs"), revoke_sessions=True)
    [finding] = done["roles"][0]["findings"]
    assert finding.startswith("The sessions that team-a/web has from role shared were not revoked")
    assert web.may() and jobs.may()
    assert world.iam.list_role_policies(RoleName="shared")["PolicyNames"] == []


def test_a_given_role_is_changed_in_the_one_policy_that_revokes(world: World) -> None:
    make_role(world.iam, "theirs", "pods.eks.amazonaws.com", "AmazonS3ReadOnlyAccess")
    given = {"role": {"arn": f"{ROLES}theirs"}}
    for name in ("team-a/web", "team-a/jobs"):
        world.associate(name, "theirs")
    web, jobs = world.session("team-a/web"), world.session("team-a/jobs")
    assert not world.roles(gone("team-a/web", **given))["changed"]
    done = world.roles(gone("team-a/web", **given), revoke_sessions=True)
    assert done["updated"] == ["theirs"]
    assert {name for name in done["api_calls"] if name.startswith(("Put", "Update", "Attach"))} == {"PutRolePolicy"}
    assert not web.may() and jobs.may()
    assert not world.roles(gone("team-a/web", **given), revoke_sessions=True)["changed"]
    back = world.roles(workload("team-a/web", **given), revoke_sessions=True)
    assert back["updated"] == ["theirs"] and web.may()


# --- permissions by the tags of a session -----------------------------------------------------------------------------


def test_a_permission_by_namespace_lets_each_pod_read_what_is_its_namespaces(world: World) -> None:
    """The policy of the README and of the module's examples."""
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::example-bucket/${aws:PrincipalTag/kubernetes-namespace}/*",
            }
        ],
    }
    role = {"name": "namespace-reader", "inline_policy": document}
    world.roles(*(workload(f"{namespace}/reader", role=role) for namespace in ("team-a", "team-b")))
    s3 = world.account.sandbox.client("s3")
    s3.create_bucket(Bucket="example-bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    for namespace in ("team-a", "team-b"):
        s3.put_object(Bucket="example-bucket", Key=f"{namespace}/report", Body=b"x")
        world.associate(f"{namespace}/reader", "namespace-reader")
    for namespace, others in (("team-a", "team-b"), ("team-b", "team-a")):
        session = world.session(f"{namespace}/reader")
        assert session.may("get_object", Bucket="example-bucket", Key=f"{namespace}/report")
        assert not session.may("get_object", Bucket="example-bucket", Key=f"{others}/report")


# --- what is still in use ---------------------------------------------------------------------------------------------


def test_purge_leaves_workloads_whose_association_is_somebody_elses(world: World) -> None:
    names = ("kube-system/ebs-csi", "team-a/ours", "team-a/none")
    world.roles(*(workload(name, role={"name": name.replace("/", "-")}) for name in names))
    world.associate("kube-system/ebs-csi", "kube-system-ebs-csi", tags={"owner": "somebody"})
    world.associate("team-a/ours", "team-a-ours")
    for check in (True, False):
        result = world.roles(check=check, purge="cluster")
        assert sorted(result["deleted"]) == ["team-a-none", "team-a-ours"]
        [finding] = result["findings"]
        assert finding["name"] == "kube-system-ebs-csi"
        assert "still trusts kube-system/ebs-csi, not declared here" in finding["findings"][0]
    assert not world.roles(purge="cluster")["changed"]


# --- target roles -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Targets:
    """A second account, and the task that manages its target roles."""

    world: World
    keys: dict[str, str]
    iam: t.Any

    def run(self, *workloads: dict[str, t.Any], check: bool = False, **options: t.Any) -> Result:
        keys = {"access_key": self.keys["aws_access_key_id"], "secret_key": self.keys["aws_secret_access_key"]}
        associations = self.world.associations()
        options = {"kind": "target", "associations": associations, **keys, **options}
        return self.world.roles(*workloads, check=check, **options)

    def statements(self, name: str = "reports") -> list[dict[str, t.Any]]:
        found: list[dict[str, t.Any]] = self.iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"][
            "Statement"
        ]
        return found


@pytest.fixture
def targets(world: World) -> Targets:
    keys = world.account.sandbox.add_account(OTHER)[OTHER]
    return Targets(world, keys, world.account.sandbox.client("iam", **keys))


def chained(name: str, **more: t.Any) -> dict[str, t.Any]:
    target = {"account": OTHER, "name": "reports", "managed_policies": ["AmazonS3ReadOnlyAccess"]}
    return workload(name, role={"name": "source"}, target_role=target, **more)


def associate(targets: Targets, name: str, **fields: t.Any) -> None:
    targets.world.associate(name, "source", targetRoleArn=f"{TARGETS}reports", **fields)


def test_pods_come_to_a_target_role_in_another_account(targets: Targets) -> None:
    declared = chained("team-a/web")
    predicted = targets.run(declared, check=True)
    assert predicted["created"] == ["reports"]
    targets.world.roles(declared)
    early = targets.run(declared)
    assert early["failed"] and "make the association first" in early["msg"]
    associate(targets, "team-a/web")
    associate(targets, "team-a/other")
    made = targets.run(declared)
    assert made["created"] == ["reports"] and made["roles"][0]["arn"] == f"{TARGETS}reports"
    assert made["diff"] == predicted["diff"], "the external ID is predicted right"
    session = targets.world.session("team-a/web")
    assert session.role == f"{OTHER}/reports" and session.may()
    assert refused(targets.world, "team-a/other"), "the same source role, but another external ID"
    again = targets.run(declared)
    assert not again["changed"]
    calls = {"ListAttachedRolePolicies": 1, "ListRolePolicies": 1, "GetRole": 1, "GetCallerIdentity": 1}
    assert again["api_calls"] == calls
    chain, tags = targets.statements()
    assert chain["Principal"] == tags["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert chain["Condition"]["StringEquals"] == {"sts:ExternalId": "eu-west-1/111122223333/example/team-a/web"}
    assert (chain["Action"], tags["Action"]) == ("sts:AssumeRole", "sts:TagSession")


def test_the_chain_survives_a_source_role_that_is_made_anew(targets: Targets) -> None:
    declared = chained("team-a/web")
    targets.world.roles(declared)
    associate(targets, "team-a/web")
    targets.run(declared)
    targets.world.roles(declared, state="absent")
    targets.world.roles(declared)
    assert targets.world.session("team-a/web").role == f"{OTHER}/reports"


def test_without_session_tags_no_tags_need_be_passed(targets: Targets) -> None:
    declared = chained("team-a/web", disable_session_tags=True)
    targets.world.roles(declared)
    associate(targets, "team-a/web", disableSessionTags=True)
    targets.run(declared)
    assert [one["Action"] for one in targets.statements()] == ["sts:AssumeRole"]
    assert targets.world.session("team-a/web").may()


def test_a_workload_leaves_a_target_role_and_its_sessions_end(targets: Targets) -> None:
    both = [chained("team-a/web"), chained("team-a/jobs")]
    targets.world.roles(*both)
    for name in ("team-a/web", "team-a/jobs"):
        associate(targets, name)
    targets.run(*both)
    web, jobs = targets.world.session("team-a/web"), targets.world.session("team-a/jobs")
    assert web.may() and jobs.may()
    declared = [chained("team-a/web", state="absent"), chained("team-a/jobs")]
    done = targets.run(*declared, state="cleaned", revoke_sessions=True)
    assert done["updated"] == ["reports"]
    assert not web.may() and jobs.may()
    assert [one["Action"] for one in targets.statements()] == ["sts:AssumeRole", "sts:TagSession"]
    assert not targets.run(*declared, state="cleaned", revoke_sessions=True)["changed"]
    last = targets.run(chained("team-a/jobs"), state="absent")
    assert last["deleted"] == ["reports"]
    assert not targets.run(chained("team-a/jobs"), state="absent")["changed"]


def test_what_nobody_declares_is_purged_from_target_roles(targets: Targets) -> None:
    names = ("team-a/web", "team-b/ours", "team-b/theirs")
    every = [chained(name) for name in names]
    targets.world.roles(*every)
    for name in names:
        associate(targets, name, tags={"owner": "somebody"} if name == "team-b/theirs" else {OURS: "example"})
    targets.run(*every)
    assert len(targets.statements()) == 4
    narrow = targets.run(every[0], purge="namespace", state="cleaned")
    assert not narrow["changed"], "the other namespace is not declared"
    wide = targets.run(every[0], purge="cluster", state="cleaned")
    assert wide["updated"] == ["reports"] and "team-b/theirs, not declared here" in wide["findings"][0]["findings"][0]
    assert len(targets.statements()) == 3
    assert targets.world.session("team-a/web").may() and refused(targets.world, "team-b/ours")
    assert not targets.run(every[0], purge="cluster")["changed"]


def test_target_roles_of_other_accounts_are_left_to_other_credentials(targets: Targets) -> None:
    here = workload("team-a/web", role={"name": "source"}, target_role={"name": "near"})
    result = targets.run(here)
    assert result["roles"] == [] and not result["changed"] and not result["failed"]


def test_a_role_of_the_other_account_is_assumed_within_the_task(targets: Targets) -> None:
    principal = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    condition = {"StringEquals": {"sts:ExternalId": "hello"}}
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", "Condition": condition}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    targets.iam.create_role(RoleName="manager", AssumeRolePolicyDocument=document)
    targets.iam.attach_role_policy(RoleName="manager", PolicyArn="arn:aws:iam::aws:policy/IAMFullAccess")
    declared = chained("team-a/web")
    targets.world.roles(declared)
    associate(targets, "team-a/web")
    options: dict[str, t.Any] = {
        "kind": "target",
        "associations": targets.world.associations(),
        "assume_role_arn": f"{TARGETS}manager",
    }
    denied = targets.world.roles(declared, **options)
    assert denied["failed"] and "Failed to assume the role of assume_role_arn" in denied["msg"]
    made = targets.world.roles(declared, **options, assume_role_external_id="hello")
    assert made["created"] == ["reports"]
    assert "SessionToken" not in json.dumps(made) and "ASIA" not in json.dumps(made)
    assert targets.world.session("team-a/web").role == f"{OTHER}/reports"
    assert not targets.world.roles(declared, **options, assume_role_external_id="hello")["changed"]

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
from support.associations import MANAGED_TAG
from support.iam_roles import make_role
from support.module_runs import Account
from support.module_runs import Result
from support.module_runs import RunModule

ACCOUNT, OTHER_ACCOUNT = "111122223333", "444455556666"
CLUSTER = f"arn:aws:eks:eu-west-1:{ACCOUNT}:cluster/example"
ROLES, TARGETS = f"arn:aws:iam::{ACCOUNT}:role/", f"arn:aws:iam::{OTHER_ACCOUNT}:role/"
REVOCATION_POLICY = "podidentity.eks-revoked"


@dataclasses.dataclass(frozen=True)
class Scenario:
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
        fields = {"roleArn": f"{ROLES}{role}", "tags": {MANAGED_TAG: "example"}, **fields}
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

    def is_allowed(self, operation: str = "list_buckets", **parameters: t.Any) -> bool:
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
def scenario(account: Account, run_module: RunModule, clients: dict[str, t.Any]) -> Scenario:
    account.create_cluster()
    return Scenario(account, run_module, clients["iam"])


def workload(name: str, **more: t.Any) -> dict[str, t.Any]:
    namespace, service_account = name.split("/")
    role = {"name": "shared", "managed_policies": ["AmazonS3ReadOnlyAccess"]}
    return {"namespace": namespace, "service_account": service_account, "role": role, **more}


def absent_workload(name: str, **more: t.Any) -> dict[str, t.Any]:
    return workload(name, state="absent", **more)


def refused(scenario: Scenario, name: str) -> bool:
    """Whether EKS may not give a pod of this workload its role."""
    try:
        scenario.session(name)
    except botocore.exceptions.ClientError as error:
        return bool(error.response["Error"]["Code"] == "AccessDeniedException")
    return False


# --- sessions that are revoked ----------------------------------------------------------------------------------------


def test_revoke_sessions_ends_only_removed_workload_sessions(scenario: Scenario) -> None:
    scenario.roles(workload("team-a/web"), workload("team-a/jobs"))
    for name in ("team-a/web", "team-a/jobs"):
        scenario.associate(name, "shared")
    web, jobs = scenario.session("team-a/web"), scenario.session("team-a/jobs")
    assert web.is_allowed() and jobs.is_allowed()
    declared = (absent_workload("team-a/web"), workload("team-a/jobs"))
    predicted = scenario.roles(*declared, check=True, revoke_sessions=True)
    assert web.is_allowed()
    done = scenario.roles(*declared, revoke_sessions=True)
    assert done["roles"][0]["changes"] == predicted["roles"][0]["changes"]
    assert f"revoke sessions by inline policy {REVOCATION_POLICY}" in done["roles"][0]["changes"]
    assert not web.is_allowed() and jobs.is_allowed()
    assert refused(scenario, "team-a/web") and scenario.session("team-a/jobs").is_allowed()
    again = scenario.roles(*declared, revoke_sessions=True)
    assert not again["changed"]

    back = scenario.roles(workload("team-a/web"), workload("team-a/jobs"))
    assert f"remove inline policy {REVOCATION_POLICY}" in back["roles"][0]["changes"]
    assert web.is_allowed() and scenario.session("team-a/web").is_allowed()


def test_sessions_continue_without_revoke_sessions(scenario: Scenario) -> None:
    scenario.roles(workload("team-a/web"), workload("team-a/jobs"))
    scenario.associate("team-a/web", "shared")
    web = scenario.session("team-a/web")
    scenario.roles(absent_workload("team-a/web"), workload("team-a/jobs"))
    assert web.is_allowed() and refused(scenario, "team-a/web")


def test_next_run_finishes_interrupted_revocation(scenario: Scenario) -> None:
    scenario.roles(workload("team-a/web"), workload("team-a/jobs"))
    scenario.associate("team-a/web", "shared")
    fault = {"operation": "UpdateAssumeRolePolicy", "code": "AccessDenied", "status": 403}
    scenario.account.sandbox.knobs(faults=[fault])
    declared = (absent_workload("team-a/web"), workload("team-a/jobs"))
    failed = scenario.roles(*declared, revoke_sessions=True)
    assert failed["failed"] and failed["changed"]
    # EKS still gives the role: what begins now has to be revoked as well.
    time.sleep(1.1)
    late = scenario.session("team-a/web")
    assert late.is_allowed()
    scenario.account.sandbox.knobs(faults=[])
    done = scenario.roles(*declared, revoke_sessions=True)
    assert done["updated"] == ["shared"] and not late.is_allowed()
    assert not scenario.roles(*declared, revoke_sessions=True)["changed"]


def test_deleting_role_ends_its_sessions(scenario: Scenario) -> None:
    scenario.roles(workload("team-a/web"))
    scenario.associate("team-a/web", "shared")
    web = scenario.session("team-a/web")
    done = scenario.roles(absent_workload("team-a/web"), revoke_sessions=True)
    assert done["deleted"] == ["shared"] and "PutRolePolicy" not in done["api_calls"]
    with pytest.raises(botocore.exceptions.ClientError):
        web.s3.list_buckets()


def test_last_workload_of_unmanaged_role_is_revoked_once(scenario: Scenario) -> None:
    scenario.roles(workload("team-a/web"))
    scenario.iam.untag_role(RoleName="shared", TagKeys=["podidentity.eks/managed"])
    scenario.associate("team-a/web", "shared")
    web = scenario.session("team-a/web")
    done = scenario.roles(absent_workload("team-a/web"), revoke_sessions=True)
    assert done["updated"] == ["shared"] and "was not made here, so it stays" in done["roles"][0]["findings"][0]
    assert not web.is_allowed()
    assert not scenario.roles(absent_workload("team-a/web"), revoke_sessions=True)["changed"]


def test_untagged_sessions_of_shared_role_are_not_revoked(scenario: Scenario) -> None:
    plain = {"disable_session_tags": True}
    scenario.roles(workload("team-a/web", **plain), workload("team-a/jobs"))
    for name, fields in (("team-a/web", {"disableSessionTags": True}), ("team-a/jobs", {})):
        scenario.associate(name, "shared", **fields)
    web, jobs = scenario.session("team-a/web"), scenario.session("team-a/jobs")
    done = scenario.roles(absent_workload("team-a/web"), workload("team-a/jobs"), revoke_sessions=True)
    [finding] = done["roles"][0]["findings"]
    assert finding.startswith("The sessions that team-a/web has from role shared were not revoked")
    assert web.is_allowed() and jobs.is_allowed()
    assert scenario.iam.list_role_policies(RoleName="shared")["PolicyNames"] == []


def test_role_given_by_arn_gets_only_revocation_policy(scenario: Scenario) -> None:
    make_role(scenario.iam, "theirs", "pods.eks.amazonaws.com", "AmazonS3ReadOnlyAccess")
    given = {"role": {"arn": f"{ROLES}theirs"}}
    for name in ("team-a/web", "team-a/jobs"):
        scenario.associate(name, "theirs")
    web, jobs = scenario.session("team-a/web"), scenario.session("team-a/jobs")
    assert not scenario.roles(absent_workload("team-a/web", **given))["changed"]
    done = scenario.roles(absent_workload("team-a/web", **given), revoke_sessions=True)
    assert done["updated"] == ["theirs"]
    assert {name for name in done["api_calls"] if name.startswith(("Put", "Update", "Attach"))} == {"PutRolePolicy"}
    assert not web.is_allowed() and jobs.is_allowed()
    assert not scenario.roles(absent_workload("team-a/web", **given), revoke_sessions=True)["changed"]
    back = scenario.roles(workload("team-a/web", **given), revoke_sessions=True)
    assert back["updated"] == ["theirs"] and web.is_allowed()


# --- permissions by the tags of a session -----------------------------------------------------------------------------


def test_namespace_session_tag_limits_pod_to_its_objects(scenario: Scenario) -> None:
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
    scenario.roles(*(workload(f"{namespace}/reader", role=role) for namespace in ("team-a", "team-b")))
    s3 = scenario.account.sandbox.client("s3")
    s3.create_bucket(Bucket="example-bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    for namespace in ("team-a", "team-b"):
        s3.put_object(Bucket="example-bucket", Key=f"{namespace}/report", Body=b"x")
        scenario.associate(f"{namespace}/reader", "namespace-reader")
    for namespace, others in (("team-a", "team-b"), ("team-b", "team-a")):
        session = scenario.session(f"{namespace}/reader")
        assert session.is_allowed("get_object", Bucket="example-bucket", Key=f"{namespace}/report")
        assert not session.is_allowed("get_object", Bucket="example-bucket", Key=f"{others}/report")


# --- what is still in use ---------------------------------------------------------------------------------------------


def test_purge_keeps_workloads_with_unmanaged_association(scenario: Scenario) -> None:
    names = ("kube-system/ebs-csi", "team-a/ours", "team-a/none")
    scenario.roles(*(workload(name, role={"name": name.replace("/", "-")}) for name in names))
    scenario.associate("kube-system/ebs-csi", "kube-system-ebs-csi", tags={"owner": "somebody"})
    scenario.associate("team-a/ours", "team-a-ours")
    for check in (True, False):
        result = scenario.roles(check=check, purge="cluster")
        assert sorted(result["deleted"]) == ["team-a-none", "team-a-ours"]
        [finding] = result["findings"]
        assert finding["name"] == "kube-system-ebs-csi"
        assert "still trusts kube-system/ebs-csi, not declared here" in finding["findings"][0]
    assert not scenario.roles(purge="cluster")["changed"]


# --- target roles -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Targets:
    """A second account, and the task that manages its target roles."""

    scenario: Scenario
    keys: dict[str, str]
    iam: t.Any

    def run(self, *workloads: dict[str, t.Any], check: bool = False, **options: t.Any) -> Result:
        keys = {"access_key": self.keys["aws_access_key_id"], "secret_key": self.keys["aws_secret_access_key"]}
        associations = self.scenario.associations()
        options = {"kind": "target", "associations": associations, **keys, **options}
        return self.scenario.roles(*workloads, check=check, **options)

    def statements(self, name: str = "reports") -> list[dict[str, t.Any]]:
        found: list[dict[str, t.Any]] = self.iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"][
            "Statement"
        ]
        return found


@pytest.fixture
def targets(scenario: Scenario) -> Targets:
    keys = scenario.account.sandbox.add_account(OTHER_ACCOUNT)[OTHER_ACCOUNT]
    return Targets(scenario, keys, scenario.account.sandbox.client("iam", **keys))


def chained(name: str, **more: t.Any) -> dict[str, t.Any]:
    target = {"account": OTHER_ACCOUNT, "name": "reports", "managed_policies": ["AmazonS3ReadOnlyAccess"]}
    return workload(name, role={"name": "source"}, target_role=target, **more)


def associate(targets: Targets, name: str, **fields: t.Any) -> None:
    targets.scenario.associate(name, "source", targetRoleArn=f"{TARGETS}reports", **fields)


def test_pods_get_target_role_in_other_account(targets: Targets) -> None:
    declared = chained("team-a/web")
    predicted = targets.run(declared, check=True)
    assert predicted["created"] == ["reports"]
    targets.scenario.roles(declared)
    early = targets.run(declared)
    assert early["failed"] and "make the association first" in early["msg"]
    associate(targets, "team-a/web")
    associate(targets, "team-a/other")
    made = targets.run(declared)
    assert made["created"] == ["reports"] and made["roles"][0]["arn"] == f"{TARGETS}reports"
    assert made["diff"] == predicted["diff"], "the external ID is predicted right"
    session = targets.scenario.session("team-a/web")
    assert session.role == f"{OTHER_ACCOUNT}/reports" and session.is_allowed()
    assert refused(targets.scenario, "team-a/other"), "the same source role, but another external ID"
    again = targets.run(declared)
    assert not again["changed"]
    calls = {"ListAttachedRolePolicies": 1, "ListRolePolicies": 1, "GetRole": 1, "GetCallerIdentity": 1}
    assert again["api_calls"] == calls
    chain, tags = targets.statements()
    assert chain["Principal"] == tags["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert chain["Condition"]["StringEquals"] == {"sts:ExternalId": "eu-west-1/111122223333/example/team-a/web"}
    assert (chain["Action"], tags["Action"]) == ("sts:AssumeRole", "sts:TagSession")


def test_role_chain_survives_recreated_source_role(targets: Targets) -> None:
    declared = chained("team-a/web")
    targets.scenario.roles(declared)
    associate(targets, "team-a/web")
    targets.run(declared)
    targets.scenario.roles(declared, state="absent")
    targets.scenario.roles(declared)
    assert targets.scenario.session("team-a/web").role == f"{OTHER_ACCOUNT}/reports"


def test_disabled_session_tags_need_no_tag_session(targets: Targets) -> None:
    declared = chained("team-a/web", disable_session_tags=True)
    targets.scenario.roles(declared)
    associate(targets, "team-a/web", disableSessionTags=True)
    targets.run(declared)
    assert [one["Action"] for one in targets.statements()] == ["sts:AssumeRole"]
    assert targets.scenario.session("team-a/web").is_allowed()


def test_removal_from_target_role_ends_sessions(targets: Targets) -> None:
    both = [chained("team-a/web"), chained("team-a/jobs")]
    targets.scenario.roles(*both)
    for name in ("team-a/web", "team-a/jobs"):
        associate(targets, name)
    targets.run(*both)
    web, jobs = targets.scenario.session("team-a/web"), targets.scenario.session("team-a/jobs")
    assert web.is_allowed() and jobs.is_allowed()
    declared = [chained("team-a/web", state="absent"), chained("team-a/jobs")]
    done = targets.run(*declared, operations=["remove"], revoke_sessions=True)
    assert done["updated"] == ["reports"]
    assert not web.is_allowed() and jobs.is_allowed()
    assert [one["Action"] for one in targets.statements()] == ["sts:AssumeRole", "sts:TagSession"]
    assert not targets.run(*declared, operations=["remove"], revoke_sessions=True)["changed"]
    last = targets.run(chained("team-a/jobs"), state="absent")
    assert last["deleted"] == ["reports"]
    assert not targets.run(chained("team-a/jobs"), state="absent")["changed"]


def test_purge_removes_undeclared_from_target_roles(targets: Targets) -> None:
    names = ("team-a/web", "team-b/ours", "team-b/theirs")
    every = [chained(name) for name in names]
    targets.scenario.roles(*every)
    for name in names:
        associate(targets, name, tags={"owner": "somebody"} if name == "team-b/theirs" else {MANAGED_TAG: "example"})
    targets.run(*every)
    assert len(targets.statements()) == 4
    narrow = targets.run(every[0], purge="namespace", operations=["remove"])
    assert not narrow["changed"], "the other namespace is not declared"
    wide = targets.run(every[0], purge="cluster", operations=["remove"])
    assert wide["updated"] == ["reports"] and "team-b/theirs, not declared here" in wide["findings"][0]["findings"][0]
    assert len(targets.statements()) == 3
    assert targets.scenario.session("team-a/web").is_allowed() and refused(targets.scenario, "team-b/ours")
    assert not targets.run(every[0], purge="cluster")["changed"]


def test_target_roles_of_other_accounts_are_skipped(targets: Targets) -> None:
    here = workload("team-a/web", role={"name": "source"}, target_role={"name": "near"})
    result = targets.run(here)
    assert result["roles"] == [] and not result["changed"] and not result["failed"]


def test_assume_role_arn_manages_target_role(targets: Targets) -> None:
    principal = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    condition = {"StringEquals": {"sts:ExternalId": "hello"}}
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", "Condition": condition}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    targets.iam.create_role(RoleName="manager", AssumeRolePolicyDocument=document)
    targets.iam.attach_role_policy(RoleName="manager", PolicyArn="arn:aws:iam::aws:policy/IAMFullAccess")
    declared = chained("team-a/web")
    targets.scenario.roles(declared)
    associate(targets, "team-a/web")
    options: dict[str, t.Any] = {
        "kind": "target",
        "associations": targets.scenario.associations(),
        "assume_role_arn": f"{TARGETS}manager",
    }
    denied = targets.scenario.roles(declared, **options)
    assert denied["failed"] and "Failed to assume the role of assume_role_arn" in denied["msg"]
    made = targets.scenario.roles(declared, **options, assume_role_external_id="hello")
    assert made["created"] == ["reports"]
    assert "SessionToken" not in json.dumps(made) and "ASIA" not in json.dumps(made)
    assert targets.scenario.session("team-a/web").role == f"{OTHER_ACCOUNT}/reports"
    assert not targets.scenario.roles(declared, **options, assume_role_external_id="hello")["changed"]

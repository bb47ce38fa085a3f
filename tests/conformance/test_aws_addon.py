# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Add-ons as EKS has them (facts 2.3)."""

from __future__ import annotations

import json
import time
import typing as t

import botocore.exceptions
import pytest
from support.boto3_account import Account
from support.boto3_account import allow
from support.boto3_account import refused
from support.boto3_account import wait_for
from support.boto3_account import wait_until_gone

pytestmark = pytest.mark.client("boto3")

AGENT = "eks-pod-identity-agent"
NAMES = {"clusterName": "one", "addonName": AGENT}
CNI = {"clusterName": "one", "addonName": "vpc-cni"}


@pytest.fixture
def cluster_account(account: Account) -> Account:
    """An account with a cluster without nodes."""
    account.cluster("one")
    return account


def versions(account: Account, name: str = AGENT, **filters: t.Any) -> list[dict[str, t.Any]]:
    """The versions of an add-on in the catalogue."""
    [info] = account.eks.describe_addon_versions(addonName=name, **filters)["addons"]
    found: list[dict[str, t.Any]] = info["addonVersions"]
    return found


def default_version(account: Account, name: str = AGENT, kubernetes: str = "1.34") -> str:
    """The default version of an add-on."""
    [version] = [
        version["addonVersion"]
        for version in versions(account, name, kubernetesVersion=kubernetes)
        for fit in version["compatibilities"]
        if fit["clusterVersion"] == kubernetes and fit["defaultVersion"]
    ]
    return str(version)


def version_key(version: dict[str, t.Any]) -> tuple[int, ...]:
    """Something to sort versions by."""
    numbers, _, build = version["addonVersion"].removeprefix("v").partition("-eksbuild.")
    return (*(int(part) for part in numbers.split(".")), int(build))


@pytest.mark.parametrize(
    "name",
    [
        AGENT,
        "vpc-cni",
        "coredns",
        "kube-proxy",
        "aws-ebs-csi-driver",
        "aws-efs-csi-driver",
        "snapshot-controller",
        "metrics-server",
        "amazon-cloudwatch-observability",
    ],
)
def test_catalogue_is_sorted_with_one_default_per_kubernetes(account: Account, name: str) -> None:
    found = versions(account, name)
    assert found == sorted(found, key=version_key, reverse=True)
    for kubernetes in ("1.31", "1.32", "1.33", "1.34", "1.35"):
        assert default_version(account, name, kubernetes)


def test_agent_catalogue_holds_first_and_latest_versions(account: Account) -> None:
    found = [version["addonVersion"] for version in versions(account)]
    assert found[-1] == "v1.0.0-eksbuild.1"
    assert found[0].startswith("v1.3.")
    assert default_version(account) not in (found[0], found[-1])


def test_operations_refuse_unknown_addon(cluster_account: Account) -> None:
    with refused("ResourceNotFoundException", status=404):
        cluster_account.eks.describe_addon_versions(addonName="none")
    with refused("InvalidParameterException", "Addon specified is not supported", status=400):
        cluster_account.eks.create_addon(clusterName="one", addonName="none")
    with refused("ResourceNotFoundException", f"No addon: {AGENT} found in cluster: one", status=404):
        cluster_account.describe_addon()


def schema(account: Account, version: str, name: str = AGENT) -> dict[str, t.Any]:
    """The definitions in the schema of an add-on's configuration."""
    answer = account.eks.describe_addon_configuration(addonName=name, addonVersion=version)
    document = json.loads(answer["configurationSchema"])
    assert document["$schema"] == "http://json-schema.org/draft-06/schema#"
    definitions: dict[str, t.Any] = document["definitions"]
    assert document["$ref"].rpartition("/")[2] in definitions
    return definitions


def test_agent_schema_allows_no_other_properties(account: Account) -> None:
    definition = schema(account, default_version(account))["EksPodIdentityAgent"]
    assert definition["additionalProperties"] is False
    assert {"agent", "affinity", "tolerations", "resources", "daemonsets"} <= set(definition["properties"])
    answer = account.eks.describe_addon_configuration(addonName=AGENT, addonVersion=default_version(account))
    assert answer["podIdentityConfiguration"] == []
    with refused("ResourceNotFoundException", status=404):
        account.eks.describe_addon_configuration(addonName=AGENT, addonVersion="v9.9.9-eksbuild.1")


@pytest.mark.parametrize(
    ("version", "labels", "daemonsets"),
    [
        ("v1.3.2-eksbuild.2", False, set()),
        ("v1.3.4-eksbuild.1", False, {"hybrid"}),
        ("v1.3.9-eksbuild.3", False, {"hybrid", "hybrid-bottlerocket"}),
        ("v1.3.10-eksbuild.3", True, {"hybrid", "hybrid-bottlerocket"}),
    ],
)
def test_agent_schema_grows_with_its_versions(
    account: Account, version: str, labels: bool, daemonsets: set[str]
) -> None:
    definitions = schema(account, version)
    assert ("podLabels" in definitions["EksPodIdentityAgent"]["properties"]) is labels
    assert set(definitions["Daemonsets"]["properties"]) == daemonsets


def test_addon_is_degraded_until_the_cluster_has_nodes(cluster_account: Account) -> None:
    created = cluster_account.eks.create_addon(**NAMES, tags={"team": "a"})["addon"]
    assert (created["status"], created["addonVersion"]) == ("CREATING", default_version(cluster_account))
    degraded = wait_for(cluster_account.describe_addon, "DEGRADED")
    [issue] = degraded["health"]["issues"]
    assert issue["code"] == "InsufficientNumberOfReplicas"
    cluster_account.nodegroup()
    active = wait_for(cluster_account.describe_addon, "ACTIVE", seconds=30)
    assert active["health"] == {"issues": []}
    assert active["tags"] == {"team": "a"}
    assert cluster_account.eks.list_addons(clusterName="one")["addons"] == [AGENT]


def test_create_addon_accepts_only_exact_versions(cluster_account: Account) -> None:
    with refused("InvalidParameterException", "Addon version specified is not supported", status=400):
        cluster_account.eks.create_addon(**NAMES, addonVersion="v1.0.0")
    cluster_account.eks.create_addon(**NAMES, addonVersion="v1.0.0-eksbuild.1")
    assert cluster_account.describe_addon()["addonVersion"] == "v1.0.0-eksbuild.1"
    with refused("ResourceInUseException", "Addon already exists.", status=409):
        cluster_account.eks.create_addon(**NAMES)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ('{"nonsense": 1}', "$.nonsense: is not defined in the schema"),
        ("agent: {nonsense: 1}", "$.agent.nonsense: is not defined in the schema"),
        ('{"tolerations": {}}', "$.tolerations: object found, [array, null] expected"),
        ("[", "neither JSON nor YAML"),
        ("text", "string found, object expected"),
    ],
)
def test_create_addon_checks_configuration_against_schema(cluster_account: Account, values: str, words: str) -> None:
    with refused("InvalidParameterException", "ConfigurationValue provided in request is not", words, status=400):
        cluster_account.eks.create_addon(**NAMES, configurationValues=values)
    assert cluster_account.eks.list_addons(clusterName="one")["addons"] == []


POLICIES = {
    "vpc-cni": ("kube-system", "aws-node", ["AmazonEKS_CNI_Policy"]),
    "aws-ebs-csi-driver": ("kube-system", "ebs-csi-controller-sa", ["service-role/AmazonEBSCSIDriverPolicy"]),
    "aws-efs-csi-driver": ("kube-system", "efs-csi-controller-sa", ["service-role/AmazonEFSCSIDriverPolicy"]),
    "amazon-cloudwatch-observability": (
        "amazon-cloudwatch",
        "cloudwatch-agent",
        ["CloudWatchAgentServerPolicy", "AWSXrayWriteOnlyAccess"],
    ),
}


@pytest.mark.parametrize("name", POLICIES)
def test_addon_recommends_policies_and_uses_its_namespace(cluster_account: Account, name: str) -> None:
    namespace, service_account, policies = POLICIES[name]
    arns = [f"arn:aws:iam::aws:policy/{policy}" for policy in policies]
    answer = cluster_account.eks.describe_addon_configuration(
        addonName=name, addonVersion=default_version(cluster_account, name)
    )
    assert answer["podIdentityConfiguration"] == [
        {"serviceAccount": service_account, "recommendedManagedPolicies": arns}
    ]
    [info] = cluster_account.eks.describe_addon_versions(addonName=name)["addons"]
    assert info["defaultNamespace"] == namespace
    assert all(version["requiresIamPermissions"] for version in info["addonVersions"])
    role = cluster_account.pod_role()
    for arn in arns:
        cluster_account.iam.attach_role_policy(RoleName=role.rsplit("/", 1)[-1], PolicyArn=arn)
    cluster_account.eks.create_addon(clusterName="one", addonName=name, **pod_identity(role, service_account))
    [made] = cluster_account.eks.list_pod_identity_associations(clusterName="one")["associations"]
    assert (made["namespace"], made["serviceAccount"]) == (namespace, service_account)


def test_ebs_csi_schema_has_newer_dialect_and_minimums(cluster_account: Account) -> None:
    answer = cluster_account.eks.describe_addon_configuration(
        addonName="aws-ebs-csi-driver", addonVersion=default_version(cluster_account, "aws-ebs-csi-driver")
    )
    assert json.loads(answer["configurationSchema"])["$schema"] == "https://json-schema.org/draft/2019-09/schema"
    words = "$.controller.replicaCount: must have a minimum value of 1"
    with refused("InvalidParameterException", words, status=400):
        cluster_account.eks.create_addon(
            clusterName="one", addonName="aws-ebs-csi-driver", configurationValues='{"controller": {"replicaCount": 0}}'
        )


def test_update_without_service_account_role_removes_it(cluster_account: Account) -> None:
    role = cluster_account.role("irsa", "eks.amazonaws.com")
    cluster_account.eks.create_addon(**CNI, serviceAccountRoleArn=role)
    assert wait_for(lambda: cluster_account.describe_addon("vpc-cni"), "ACTIVE")["serviceAccountRoleArn"] == role
    cluster_account.eks.update_addon(**CNI, serviceAccountRoleArn=role)
    assert wait_for(lambda: cluster_account.describe_addon("vpc-cni"), "ACTIVE")["serviceAccountRoleArn"] == role
    cluster_account.eks.update_addon(**CNI)
    assert "serviceAccountRoleArn" not in wait_for(lambda: cluster_account.describe_addon("vpc-cni"), "ACTIVE")


def test_update_addon_keeps_settings_that_it_omits(cluster_account: Account) -> None:
    values = '{"podAnnotations": {"team": "a"}}'
    cluster_account.eks.create_addon(**NAMES, addonVersion="v1.0.0-eksbuild.1", configurationValues=values)
    with refused("ResourceInUseException", "currently in CREATING state", status=409):
        cluster_account.eks.update_addon(**NAMES, addonVersion="v1.2.0-eksbuild.1")
    wait_for(cluster_account.describe_addon, "DEGRADED", "ACTIVE")
    update = cluster_account.eks.update_addon(**NAMES, addonVersion="v1.2.0-eksbuild.1", resolveConflicts="OVERWRITE")[
        "update"
    ]
    assert (update["type"], update["status"]) == ("AddonUpdate", "InProgress")
    follow = {"name": "one", "addonName": AGENT, "updateId": update["id"]}
    wait_for(lambda: cluster_account.eks.describe_update(**follow)["update"], "Successful")
    after = cluster_account.describe_addon()
    assert (after["addonVersion"], after["configurationValues"]) == ("v1.2.0-eksbuild.1", values)
    with refused("ResourceNotFoundException", status=404):
        cluster_account.eks.describe_update(name="one", updateId=update["id"])
    assert cluster_account.eks.list_updates(name="one", addonName=AGENT)["updateIds"] == [update["id"]]


def test_addon_can_end_in_create_failed(cluster_account: Account) -> None:
    cluster_account.sandbox.knobs(
        addon_outcomes={AGENT: "CREATE_FAILED"}, addon_issues={AGENT: "AdmissionRequestDenied"}
    )
    cluster_account.eks.create_addon(**NAMES)
    failed = wait_for(cluster_account.describe_addon, "CREATE_FAILED")
    assert [issue["code"] for issue in failed["health"]["issues"]] == ["AdmissionRequestDenied"]


def test_addon_update_can_fail_with_errors(cluster_account: Account) -> None:
    cluster_account.eks.create_addon(**CNI)
    wait_for(lambda: cluster_account.describe_addon("vpc-cni"), "ACTIVE")
    cluster_account.sandbox.knobs(
        addon_outcomes={"vpc-cni": "UPDATE_FAILED"}, addon_issues={"vpc-cni": "ConfigurationConflict"}
    )
    update = cluster_account.eks.update_addon(**CNI, resolveConflicts="NONE")["update"]
    failed = wait_for(lambda: cluster_account.describe_addon("vpc-cni"), "UPDATE_FAILED")
    assert [issue["code"] for issue in failed["health"]["issues"]] == ["ConfigurationConflict"]
    told = cluster_account.eks.describe_update(name="one", addonName="vpc-cni", updateId=update["id"])["update"]
    assert (told["status"], told["errors"][0]["errorCode"]) == ("Failed", "ConfigurationConflict")


def test_delete_addon_removes_it(cluster_account: Account) -> None:
    cluster_account.eks.create_addon(**NAMES)
    wait_for(cluster_account.describe_addon, "DEGRADED", "ACTIVE")
    assert cluster_account.eks.delete_addon(**NAMES)["addon"]["status"] == "DELETING"
    wait_until_gone(cluster_account.describe_addon)
    with refused("ResourceNotFoundException", status=404):
        cluster_account.eks.delete_addon(**NAMES)


def pod_identity(role: str, account: str = "aws-node") -> dict[str, t.Any]:
    """The pod identity part of an add-on's parameters."""
    return {"podIdentityAssociations": [{"serviceAccount": account, "roleArn": role}]}


def test_addon_owns_its_associations(cluster_account: Account) -> None:
    role = cluster_account.pod_role()
    addon = cluster_account.eks.create_addon(**CNI, **pod_identity(role))["addon"]
    [arn] = addon["podIdentityAssociations"]
    [summary] = cluster_account.eks.list_pod_identity_associations(clusterName="one")["associations"]
    assert (summary["associationArn"], summary["ownerArn"]) == (arn, addon["addonArn"])
    assert (summary["namespace"], summary["serviceAccount"]) == ("kube-system", "aws-node")
    wait_for(lambda: cluster_account.describe_addon("vpc-cni"), "ACTIVE")
    cluster_account.eks.delete_addon(**CNI)
    wait_until_gone(lambda: cluster_account.describe_addon("vpc-cni"))
    assert cluster_account.eks.list_pod_identity_associations(clusterName="one")["associations"] == []


def test_update_addon_keeps_changes_or_removes_associations(cluster_account: Account) -> None:
    first, second = cluster_account.pod_role("first"), cluster_account.pod_role("second")
    [arn] = cluster_account.eks.create_addon(**CNI, **pod_identity(first))["addon"]["podIdentityAssociations"]
    listed = cluster_account.eks.list_pod_identity_associations

    def update(**changes: t.Any) -> list[str]:
        wait_for(lambda: cluster_account.describe_addon("vpc-cni"), "ACTIVE")
        cluster_account.eks.update_addon(**CNI, **changes)
        after = wait_for(lambda: cluster_account.describe_addon("vpc-cni"), "ACTIVE")
        return list(after.get("podIdentityAssociations", []))

    assert update() == [arn]
    assert update(**pod_identity(second)) == [arn]
    association = {"clusterName": "one", "associationId": arn.rsplit("/", 1)[-1]}
    assert cluster_account.eks.describe_pod_identity_association(**association)["association"]["roleArn"] == second
    assert update(podIdentityAssociations=[]) == []
    assert listed(clusterName="one")["associations"] == []


def test_delete_addon_with_preserve_keeps_associations(cluster_account: Account) -> None:
    cluster_account.eks.create_addon(**CNI, **pod_identity(cluster_account.pod_role()))
    wait_for(lambda: cluster_account.describe_addon("vpc-cni"), "ACTIVE")
    cluster_account.eks.delete_addon(**CNI, preserve=True)
    wait_until_gone(lambda: cluster_account.describe_addon("vpc-cni"))
    [left] = cluster_account.eks.list_pod_identity_associations(clusterName="one")["associations"]
    assert left["serviceAccount"] == "aws-node"


def test_create_addon_never_adopts_existing_association(cluster_account: Account) -> None:
    role = cluster_account.pod_role()
    mine = cluster_account.associate(role, "aws-node", namespace="kube-system")
    with refused("ResourceInUseException", mine["associationId"], status=409):
        cluster_account.eks.create_addon(**CNI, **pod_identity(role))
    assert cluster_account.eks.list_addons(clusterName="one")["addons"] == []


def test_create_addon_refuses_invalid_associations(cluster_account: Account) -> None:
    role = cluster_account.pod_role()
    words = f"Pod Identity feature is not supported for addon version: {default_version(cluster_account)}"
    with refused("InvalidParameterException", words, status=400):
        cluster_account.eks.create_addon(**NAMES, **pod_identity(role, "agent"))
    words = "Service account coredns in pod identity configuration is not supported for addon vpc-cni"
    with refused("InvalidParameterException", words, status=400):
        cluster_account.eks.create_addon(**CNI, **pod_identity(role, "coredns"))
    with refused("InvalidParameterException", "Role provided in the request does not exist.", status=400):
        cluster_account.eks.create_addon(**CNI, **pod_identity(f"{role}-none"))
    with refused("InvalidParameterException", "Trust policy", status=400):
        cluster_account.eks.create_addon(**CNI, **pod_identity(cluster_account.role("wrong", "ec2.amazonaws.com")))
    eks = cluster_account.sandbox.client("eks", **cluster_account.user("maker", allow("eks:*")))
    with refused("AccessDeniedException", "iam:PassRole", status=403):
        eks.create_addon(**CNI, **pod_identity(role))
    assert cluster_account.eks.list_addons(clusterName="one")["addons"] == []


def test_waiters_know_addon_states(cluster_account: Account) -> None:
    patience = {"WaiterConfig": {"Delay": 1, "MaxAttempts": 15}}
    cluster_account.eks.create_addon(**CNI)
    cluster_account.eks.get_waiter("addon_active").wait(**CNI, **patience)
    cluster_account.eks.create_addon(**NAMES)
    with pytest.raises(botocore.exceptions.WaiterError, match="DEGRADED"):
        cluster_account.eks.get_waiter("addon_active").wait(**NAMES, **patience)
    cluster_account.eks.delete_addon(**CNI)
    cluster_account.eks.get_waiter("addon_deleted").wait(**CNI, **patience)


def test_delete_failed_addon_stays_until_deleted_again(cluster_account: Account) -> None:
    cluster_account.nodegroup()
    cluster_account.eks.create_addon(**NAMES)
    wait_for(cluster_account.describe_addon, "ACTIVE")
    cluster_account.sandbox.knobs(addon_outcomes={AGENT: "DELETE_FAILED"}, addon_issues={AGENT: "ClusterUnreachable"})
    cluster_account.eks.delete_addon(**NAMES)
    failed = wait_for(cluster_account.describe_addon, "DELETE_FAILED")
    assert [issue["code"] for issue in failed["health"]["issues"]] == ["ClusterUnreachable"]
    # Longer than the interval at which the sandbox looks at an add-on's pods.
    time.sleep(1.5)
    assert cluster_account.describe_addon()["status"] == "DELETE_FAILED"
    cluster_account.sandbox.knobs(addon_outcomes={})
    cluster_account.eks.delete_addon(**NAMES)
    wait_until_gone(cluster_account.describe_addon)


def test_create_addon_refuses_to_preserve_conflicts(cluster_account: Account) -> None:
    words = "Resolve conflicts option preserve is not supported for operation CreateAddon"
    with refused("InvalidParameterException", words, status=400):
        cluster_account.eks.create_addon(**NAMES, resolveConflicts="PRESERVE")


def test_addon_can_have_its_own_namespace(cluster_account: Account) -> None:
    with refused("InvalidParameterException", "Not_Valid", status=400):
        cluster_account.eks.create_addon(**CNI, namespaceConfig={"namespace": "Not_Valid"})
    addon = cluster_account.eks.create_addon(
        **CNI, **pod_identity(cluster_account.pod_role()), namespaceConfig={"namespace": "network"}
    )["addon"]
    assert addon["namespaceConfig"] == {"namespace": "network"}
    [summary] = cluster_account.eks.list_pod_identity_associations(clusterName="one")["associations"]
    assert summary["namespace"] == "network"


def test_catalogue_filters_addons_and_lists_their_needs(account: Account) -> None:
    describe = account.eks.describe_addon_versions
    assert {info["addonName"] for info in describe(types=["networking"])["addons"]} == {
        "vpc-cni",
        "coredns",
        "kube-proxy",
    }
    assert {info["addonName"] for info in describe(types=["security"], owners=["aws"])["addons"]} == {AGENT}
    assert describe(publishers=["somebody"])["addons"] == []
    [info] = describe(addonName="kube-proxy", kubernetesVersion="1.33")["addons"]
    assert info["defaultNamespace"] == "kube-system"
    assert all(version["addonVersion"].startswith("v1.33.") for version in info["addonVersions"])
    needs = {info["addonName"]: info["addonVersions"][0]["requiresIamPermissions"] for info in describe()["addons"]}
    assert {name for name, needed in needs.items() if needed} == set(POLICIES)
    assert {info["addonName"] for info in describe(owners=["community"])["addons"]} == {"metrics-server"}
    configuration = account.eks.describe_addon_configuration(
        addonName="vpc-cni", addonVersion=default_version(account, "vpc-cni")
    )
    [identity] = configuration["podIdentityConfiguration"]
    assert identity["serviceAccount"] == "aws-node"
    assert identity["recommendedManagedPolicies"] == ["arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"]
    pages = account.eks.get_paginator("describe_addon_versions").paginate(PaginationConfig={"PageSize": 3})
    assert [len(page["addons"]) for page in pages] == [3, 3, 3]


def test_update_addon_never_adopts_existing_association(cluster_account: Account) -> None:
    role = cluster_account.pod_role()
    cluster_account.eks.create_addon(**CNI)
    wait_for(lambda: cluster_account.describe_addon("vpc-cni"), "ACTIVE")
    mine = cluster_account.associate(role, "aws-node", namespace="kube-system")
    with refused("ResourceInUseException", mine["associationId"], status=409):
        cluster_account.eks.update_addon(**CNI, **pod_identity(role))
    assert cluster_account.describe_addon("vpc-cni")["status"] == "ACTIVE"
    names = {"clusterName": "one", "associationId": mine["associationId"]}
    cluster_account.eks.delete_pod_identity_association(**names)
    cluster_account.eks.update_addon(**CNI, **pod_identity(role))
    after = wait_for(lambda: cluster_account.describe_addon("vpc-cni"), "ACTIVE")
    assert len(after["podIdentityAssociations"]) == 1


def test_association_of_addon_can_be_updated_and_deleted(cluster_account: Account) -> None:
    [arn] = cluster_account.eks.create_addon(**CNI, **pod_identity(cluster_account.pod_role()))["addon"][
        "podIdentityAssociations"
    ]
    names = {"clusterName": "one", "associationId": arn.rpartition("/")[2]}
    other = cluster_account.pod_role("other")
    updated = cluster_account.eks.update_pod_identity_association(**names, roleArn=other)["association"]
    assert (updated["roleArn"], updated["ownerArn"]) == (other, cluster_account.describe_addon("vpc-cni")["addonArn"])
    assert cluster_account.eks.delete_pod_identity_association(**names)["association"]["associationArn"] == arn


def test_failed_addon_update_keeps_the_version(cluster_account: Account) -> None:
    cluster_account.eks.create_addon(**CNI, addonVersion="v1.19.6-eksbuild.7")
    wait_for(lambda: cluster_account.describe_addon("vpc-cni"), "ACTIVE")
    cluster_account.sandbox.knobs(
        update_outcomes={"AddonUpdate": "Failed"}, update_errors={"AddonUpdate": "AdmissionRequestDenied"}
    )
    update = cluster_account.eks.update_addon(**CNI, addonVersion="v1.20.4-eksbuild.1")["update"]
    assert {one["type"] for one in update["params"]} == {"AddonVersion"}
    failed = wait_for(lambda: cluster_account.describe_addon("vpc-cni"), "UPDATE_FAILED")
    assert failed["addonVersion"] == "v1.19.6-eksbuild.7"
    told = cluster_account.eks.describe_update(name="one", addonName="vpc-cni", updateId=update["id"])["update"]
    assert (told["status"], told["errors"][0]["errorCode"]) == ("Failed", "AdmissionRequestDenied")

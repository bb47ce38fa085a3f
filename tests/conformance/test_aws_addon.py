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
def ground(account: Account) -> Account:
    """An account with a cluster without nodes."""
    account.cluster("one")
    return account


def versions(account: Account, name: str = AGENT, **filters: t.Any) -> list[dict[str, t.Any]]:
    """The versions of an add-on in the catalogue."""
    [info] = account.eks.describe_addon_versions(addonName=name, **filters)["addons"]
    found: list[dict[str, t.Any]] = info["addonVersions"]
    return found


def default(account: Account, name: str = AGENT, kubernetes: str = "1.34") -> str:
    """The default version of an add-on."""
    [version] = [
        version["addonVersion"]
        for version in versions(account, name, kubernetesVersion=kubernetes)
        for fit in version["compatibilities"]
        if fit["clusterVersion"] == kubernetes and fit["defaultVersion"]
    ]
    return str(version)


def number(version: dict[str, t.Any]) -> tuple[int, ...]:
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
def test_the_catalogue_is_sorted_and_has_one_default_for_each_kubernetes(account: Account, name: str) -> None:
    found = versions(account, name)
    assert found == sorted(found, key=number, reverse=True)
    for kubernetes in ("1.31", "1.32", "1.33", "1.34", "1.35"):
        assert default(account, name, kubernetes)


def test_the_catalogue_of_the_agent_spans_its_history(account: Account) -> None:
    found = [version["addonVersion"] for version in versions(account)]
    assert found[-1] == "v1.0.0-eksbuild.1"
    assert found[0].startswith("v1.3.")
    assert default(account) not in (found[0], found[-1])


def test_an_add_on_that_does_not_exist(ground: Account) -> None:
    with refused("ResourceNotFoundException", status=404):
        ground.eks.describe_addon_versions(addonName="none")
    with refused("InvalidParameterException", "Addon specified is not supported", status=400):
        ground.eks.create_addon(clusterName="one", addonName="none")
    with refused("ResourceNotFoundException", f"No addon: {AGENT} found in cluster: one", status=404):
        ground.describe_addon()


def schema(account: Account, version: str, name: str = AGENT) -> dict[str, t.Any]:
    """The definitions in the schema of an add-on's configuration."""
    answer = account.eks.describe_addon_configuration(addonName=name, addonVersion=version)
    document = json.loads(answer["configurationSchema"])
    assert document["$schema"] == "http://json-schema.org/draft-06/schema#"
    definitions: dict[str, t.Any] = document["definitions"]
    assert document["$ref"].rpartition("/")[2] in definitions
    return definitions


def test_the_schema_of_the_agent_allows_nothing_else(account: Account) -> None:
    definition = schema(account, default(account))["EksPodIdentityAgent"]
    assert definition["additionalProperties"] is False
    assert {"agent", "affinity", "tolerations", "resources", "daemonsets"} <= set(definition["properties"])
    answer = account.eks.describe_addon_configuration(addonName=AGENT, addonVersion=default(account))
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
def test_the_schema_of_the_agent_grows_with_its_versions(
    account: Account, version: str, labels: bool, daemonsets: set[str]
) -> None:
    definitions = schema(account, version)
    assert ("podLabels" in definitions["EksPodIdentityAgent"]["properties"]) is labels
    assert set(definitions["Daemonsets"]["properties"]) == daemonsets


def test_an_add_on_without_nodes_is_degraded_and_recovers_with_them(ground: Account) -> None:
    created = ground.eks.create_addon(**NAMES, tags={"team": "a"})["addon"]
    assert (created["status"], created["addonVersion"]) == ("CREATING", default(ground))
    degraded = wait_for(ground.describe_addon, "DEGRADED")
    [issue] = degraded["health"]["issues"]
    assert issue["code"] == "InsufficientNumberOfReplicas"
    ground.nodegroup()
    active = wait_for(ground.describe_addon, "ACTIVE", seconds=30)
    assert active["health"] == {"issues": []}
    assert active["tags"] == {"team": "a"}
    assert ground.eks.list_addons(clusterName="one")["addons"] == [AGENT]


def test_an_exact_version_is_kept_and_a_wrong_one_refused(ground: Account) -> None:
    with refused("InvalidParameterException", "Addon version specified is not supported", status=400):
        ground.eks.create_addon(**NAMES, addonVersion="v1.0.0")
    ground.eks.create_addon(**NAMES, addonVersion="v1.0.0-eksbuild.1")
    assert ground.describe_addon()["addonVersion"] == "v1.0.0-eksbuild.1"
    with refused("ResourceInUseException", "Addon already exists.", status=409):
        ground.eks.create_addon(**NAMES)


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
def test_a_configuration_is_checked_against_the_schema(ground: Account, values: str, words: str) -> None:
    with refused("InvalidParameterException", "ConfigurationValue provided in request is not", words, status=400):
        ground.eks.create_addon(**NAMES, configurationValues=values)
    assert ground.eks.list_addons(clusterName="one")["addons"] == []


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
def test_recommended_policies_exist_and_associations_are_in_the_namespace_of_the_add_on(
    ground: Account, name: str
) -> None:
    namespace, service_account, policies = POLICIES[name]
    arns = [f"arn:aws:iam::aws:policy/{policy}" for policy in policies]
    answer = ground.eks.describe_addon_configuration(addonName=name, addonVersion=default(ground, name))
    assert answer["podIdentityConfiguration"] == [
        {"serviceAccount": service_account, "recommendedManagedPolicies": arns}
    ]
    [info] = ground.eks.describe_addon_versions(addonName=name)["addons"]
    assert info["defaultNamespace"] == namespace
    assert all(version["requiresIamPermissions"] for version in info["addonVersions"])
    role = ground.pod_role()
    for arn in arns:
        ground.iam.attach_role_policy(RoleName=role.rsplit("/", 1)[-1], PolicyArn=arn)
    ground.eks.create_addon(clusterName="one", addonName=name, **own(role, service_account))
    [made] = ground.eks.list_pod_identity_associations(clusterName="one")["associations"]
    assert (made["namespace"], made["serviceAccount"]) == (namespace, service_account)


def test_schemas_are_of_different_dialects_and_numbers_have_a_minimum(ground: Account) -> None:
    answer = ground.eks.describe_addon_configuration(
        addonName="aws-ebs-csi-driver", addonVersion=default(ground, "aws-ebs-csi-driver")
    )
    assert json.loads(answer["configurationSchema"])["$schema"] == "https://json-schema.org/draft/2019-09/schema"
    words = "$.controller.replicaCount: must have a minimum value of 1"
    with refused("InvalidParameterException", words, status=400):
        ground.eks.create_addon(
            clusterName="one", addonName="aws-ebs-csi-driver", configurationValues='{"controller": {"replicaCount": 0}}'
        )


def test_an_update_without_a_service_account_role_takes_it_away(ground: Account) -> None:
    role = ground.role("irsa", "eks.amazonaws.com")
    ground.eks.create_addon(**CNI, serviceAccountRoleArn=role)
    assert wait_for(lambda: ground.describe_addon("vpc-cni"), "ACTIVE")["serviceAccountRoleArn"] == role
    ground.eks.update_addon(**CNI, serviceAccountRoleArn=role)
    assert wait_for(lambda: ground.describe_addon("vpc-cni"), "ACTIVE")["serviceAccountRoleArn"] == role
    ground.eks.update_addon(**CNI)
    assert "serviceAccountRoleArn" not in wait_for(lambda: ground.describe_addon("vpc-cni"), "ACTIVE")


def test_an_update_is_followed_by_its_id_and_keeps_what_it_does_not_name(ground: Account) -> None:
    values = '{"podAnnotations": {"team": "a"}}'
    ground.eks.create_addon(**NAMES, addonVersion="v1.0.0-eksbuild.1", configurationValues=values)
    with refused("ResourceInUseException", "currently in CREATING state", status=409):
        ground.eks.update_addon(**NAMES, addonVersion="v1.2.0-eksbuild.1")
    wait_for(ground.describe_addon, "DEGRADED", "ACTIVE")
    update = ground.eks.update_addon(**NAMES, addonVersion="v1.2.0-eksbuild.1", resolveConflicts="OVERWRITE")["update"]
    assert (update["type"], update["status"]) == ("AddonUpdate", "InProgress")
    follow = {"name": "one", "addonName": AGENT, "updateId": update["id"]}
    wait_for(lambda: ground.eks.describe_update(**follow)["update"], "Successful")
    after = ground.describe_addon()
    assert (after["addonVersion"], after["configurationValues"]) == ("v1.2.0-eksbuild.1", values)
    with refused("ResourceNotFoundException", status=404):
        ground.eks.describe_update(name="one", updateId=update["id"])
    assert ground.eks.list_updates(name="one", addonName=AGENT)["updateIds"] == [update["id"]]


def test_an_add_on_can_end_in_create_failed(ground: Account) -> None:
    ground.sandbox.knobs(addon_outcomes={AGENT: "CREATE_FAILED"}, addon_issues={AGENT: "AdmissionRequestDenied"})
    ground.eks.create_addon(**NAMES)
    failed = wait_for(ground.describe_addon, "CREATE_FAILED")
    assert [issue["code"] for issue in failed["health"]["issues"]] == ["AdmissionRequestDenied"]


def test_an_update_can_fail_with_errors(ground: Account) -> None:
    ground.eks.create_addon(**CNI)
    wait_for(lambda: ground.describe_addon("vpc-cni"), "ACTIVE")
    ground.sandbox.knobs(addon_outcomes={"vpc-cni": "UPDATE_FAILED"}, addon_issues={"vpc-cni": "ConfigurationConflict"})
    update = ground.eks.update_addon(**CNI, resolveConflicts="NONE")["update"]
    failed = wait_for(lambda: ground.describe_addon("vpc-cni"), "UPDATE_FAILED")
    assert [issue["code"] for issue in failed["health"]["issues"]] == ["ConfigurationConflict"]
    told = ground.eks.describe_update(name="one", addonName="vpc-cni", updateId=update["id"])["update"]
    assert (told["status"], told["errors"][0]["errorCode"]) == ("Failed", "ConfigurationConflict")


def test_deleting_takes_the_add_on_away(ground: Account) -> None:
    ground.eks.create_addon(**NAMES)
    wait_for(ground.describe_addon, "DEGRADED", "ACTIVE")
    assert ground.eks.delete_addon(**NAMES)["addon"]["status"] == "DELETING"
    wait_until_gone(ground.describe_addon)
    with refused("ResourceNotFoundException", status=404):
        ground.eks.delete_addon(**NAMES)


def own(role: str, account: str = "aws-node") -> dict[str, t.Any]:
    """The pod identity part of an add-on's parameters."""
    return {"podIdentityAssociations": [{"serviceAccount": account, "roleArn": role}]}


def test_an_add_on_owns_its_associations(ground: Account) -> None:
    role = ground.pod_role()
    addon = ground.eks.create_addon(**CNI, **own(role))["addon"]
    [arn] = addon["podIdentityAssociations"]
    [summary] = ground.eks.list_pod_identity_associations(clusterName="one")["associations"]
    assert (summary["associationArn"], summary["ownerArn"]) == (arn, addon["addonArn"])
    assert (summary["namespace"], summary["serviceAccount"]) == ("kube-system", "aws-node")
    wait_for(lambda: ground.describe_addon("vpc-cni"), "ACTIVE")
    ground.eks.delete_addon(**CNI)
    wait_until_gone(lambda: ground.describe_addon("vpc-cni"))
    assert ground.eks.list_pod_identity_associations(clusterName="one")["associations"] == []


def test_associations_of_an_update_are_absent_empty_or_new(ground: Account) -> None:
    first, second = ground.pod_role("first"), ground.pod_role("second")
    [arn] = ground.eks.create_addon(**CNI, **own(first))["addon"]["podIdentityAssociations"]
    listed = ground.eks.list_pod_identity_associations

    def update(**changes: t.Any) -> list[str]:
        wait_for(lambda: ground.describe_addon("vpc-cni"), "ACTIVE")
        ground.eks.update_addon(**CNI, **changes)
        after = wait_for(lambda: ground.describe_addon("vpc-cni"), "ACTIVE")
        return list(after.get("podIdentityAssociations", []))

    assert update() == [arn]
    assert update(**own(second)) == [arn]
    association = {"clusterName": "one", "associationId": arn.rsplit("/", 1)[-1]}
    assert ground.eks.describe_pod_identity_association(**association)["association"]["roleArn"] == second
    assert update(podIdentityAssociations=[]) == []
    assert listed(clusterName="one")["associations"] == []


def test_a_preserving_delete_leaves_the_associations(ground: Account) -> None:
    ground.eks.create_addon(**CNI, **own(ground.pod_role()))
    wait_for(lambda: ground.describe_addon("vpc-cni"), "ACTIVE")
    ground.eks.delete_addon(**CNI, preserve=True)
    wait_until_gone(lambda: ground.describe_addon("vpc-cni"))
    [left] = ground.eks.list_pod_identity_associations(clusterName="one")["associations"]
    assert left["serviceAccount"] == "aws-node"


def test_an_add_on_never_takes_over_an_association(ground: Account) -> None:
    role = ground.pod_role()
    mine = ground.associate(role, "aws-node", namespace="kube-system")
    with refused("ResourceInUseException", mine["associationId"], status=409):
        ground.eks.create_addon(**CNI, **own(role))
    assert ground.eks.list_addons(clusterName="one")["addons"] == []


def test_only_service_accounts_of_the_add_on_can_have_associations(ground: Account) -> None:
    role = ground.pod_role()
    words = f"Pod Identity feature is not supported for addon version: {default(ground)}"
    with refused("InvalidParameterException", words, status=400):
        ground.eks.create_addon(**NAMES, **own(role, "agent"))
    words = "Service account coredns in pod identity configuration is not supported for addon vpc-cni"
    with refused("InvalidParameterException", words, status=400):
        ground.eks.create_addon(**CNI, **own(role, "coredns"))
    with refused("InvalidParameterException", "Role provided in the request does not exist.", status=400):
        ground.eks.create_addon(**CNI, **own(f"{role}-none"))
    with refused("InvalidParameterException", "Trust policy", status=400):
        ground.eks.create_addon(**CNI, **own(ground.role("wrong", "ec2.amazonaws.com")))
    eks = ground.sandbox.client("eks", **ground.user("maker", allow("eks:*")))
    with refused("AccessDeniedException", "iam:PassRole", status=403):
        eks.create_addon(**CNI, **own(role))
    assert ground.eks.list_addons(clusterName="one")["addons"] == []


def test_waiters_know_the_states_of_an_add_on(ground: Account) -> None:
    patience = {"WaiterConfig": {"Delay": 1, "MaxAttempts": 15}}
    ground.eks.create_addon(**CNI)
    ground.eks.get_waiter("addon_active").wait(**CNI, **patience)
    ground.eks.create_addon(**NAMES)
    with pytest.raises(botocore.exceptions.WaiterError, match="DEGRADED"):
        ground.eks.get_waiter("addon_active").wait(**NAMES, **patience)
    ground.eks.delete_addon(**CNI)
    ground.eks.get_waiter("addon_deleted").wait(**CNI, **patience)


def test_an_add_on_that_could_not_be_deleted_stays_so_until_it_is(ground: Account) -> None:
    ground.nodegroup()
    ground.eks.create_addon(**NAMES)
    wait_for(ground.describe_addon, "ACTIVE")
    ground.sandbox.knobs(addon_outcomes={AGENT: "DELETE_FAILED"}, addon_issues={AGENT: "ClusterUnreachable"})
    ground.eks.delete_addon(**NAMES)
    failed = wait_for(ground.describe_addon, "DELETE_FAILED")
    assert [issue["code"] for issue in failed["health"]["issues"]] == ["ClusterUnreachable"]
    # Longer than the interval at which the sandbox looks at an add-on's pods.
    time.sleep(1.5)
    assert ground.describe_addon()["status"] == "DELETE_FAILED"
    ground.sandbox.knobs(addon_outcomes={})
    ground.eks.delete_addon(**NAMES)
    wait_until_gone(ground.describe_addon)


def test_conflicts_are_not_preserved_at_the_creation(ground: Account) -> None:
    words = "Resolve conflicts option preserve is not supported for operation CreateAddon"
    with refused("InvalidParameterException", words, status=400):
        ground.eks.create_addon(**NAMES, resolveConflicts="PRESERVE")


def test_an_add_on_can_have_a_namespace_of_its_own(ground: Account) -> None:
    with refused("InvalidParameterException", "Not_Valid", status=400):
        ground.eks.create_addon(**CNI, namespaceConfig={"namespace": "Not_Valid"})
    addon = ground.eks.create_addon(**CNI, **own(ground.pod_role()), namespaceConfig={"namespace": "network"})["addon"]
    assert addon["namespaceConfig"] == {"namespace": "network"}
    [summary] = ground.eks.list_pod_identity_associations(clusterName="one")["associations"]
    assert summary["namespace"] == "network"


def test_the_catalogue_can_be_filtered_and_says_what_an_add_on_needs(account: Account) -> None:
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
        addonName="vpc-cni", addonVersion=default(account, "vpc-cni")
    )
    [identity] = configuration["podIdentityConfiguration"]
    assert identity["serviceAccount"] == "aws-node"
    assert identity["recommendedManagedPolicies"] == ["arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"]
    pages = account.eks.get_paginator("describe_addon_versions").paginate(PaginationConfig={"PageSize": 3})
    assert [len(page["addons"]) for page in pages] == [3, 3, 3]


def test_an_update_takes_over_no_association_either(ground: Account) -> None:
    role = ground.pod_role()
    ground.eks.create_addon(**CNI)
    wait_for(lambda: ground.describe_addon("vpc-cni"), "ACTIVE")
    mine = ground.associate(role, "aws-node", namespace="kube-system")
    with refused("ResourceInUseException", mine["associationId"], status=409):
        ground.eks.update_addon(**CNI, **own(role))
    assert ground.describe_addon("vpc-cni")["status"] == "ACTIVE"
    names = {"clusterName": "one", "associationId": mine["associationId"]}
    ground.eks.delete_pod_identity_association(**names)
    ground.eks.update_addon(**CNI, **own(role))
    after = wait_for(lambda: ground.describe_addon("vpc-cni"), "ACTIVE")
    assert len(after["podIdentityAssociations"]) == 1


def test_an_association_of_an_add_on_can_be_changed_and_deleted_all_the_same(ground: Account) -> None:
    [arn] = ground.eks.create_addon(**CNI, **own(ground.pod_role()))["addon"]["podIdentityAssociations"]
    names = {"clusterName": "one", "associationId": arn.rpartition("/")[2]}
    other = ground.pod_role("other")
    updated = ground.eks.update_pod_identity_association(**names, roleArn=other)["association"]
    assert (updated["roleArn"], updated["ownerArn"]) == (other, ground.describe_addon("vpc-cni")["addonArn"])
    assert ground.eks.delete_pod_identity_association(**names)["association"]["associationArn"] == arn


def test_a_failed_update_leaves_the_version_as_it_was(ground: Account) -> None:
    ground.eks.create_addon(**CNI, addonVersion="v1.19.6-eksbuild.7")
    wait_for(lambda: ground.describe_addon("vpc-cni"), "ACTIVE")
    ground.sandbox.knobs(
        update_outcomes={"AddonUpdate": "Failed"}, update_errors={"AddonUpdate": "AdmissionRequestDenied"}
    )
    update = ground.eks.update_addon(**CNI, addonVersion="v1.20.4-eksbuild.1")["update"]
    assert {one["type"] for one in update["params"]} == {"AddonVersion"}
    failed = wait_for(lambda: ground.describe_addon("vpc-cni"), "UPDATE_FAILED")
    assert failed["addonVersion"] == "v1.19.6-eksbuild.7"
    told = ground.eks.describe_update(name="one", addonName="vpc-cni", updateId=update["id"])["update"]
    assert (told["status"], told["errors"][0]["errorCode"]) == ("Failed", "AdmissionRequestDenied")

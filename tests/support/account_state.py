# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All that a run of site.yml may change for a cluster, read by ordinary clients, and what differs between two readings.

An item is known by kind and name, as a plan of podidentity_plan_file names it.
"""

from __future__ import annotations

import collections
import json
import typing as t

import kubernetes
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import to_ansible
from support.sandbox_process import SandboxProcess

TAG = "podidentity.eks/cluster"
KIND_TAG = "podidentity.eks/subnet"
INTERNET = "0.0.0.0/0"

Fields = dict[str, t.Any]
#: Kind and name.
Key = tuple[str, str]
State = dict[Key, Fields]


class AccountReader:
    """Reads an account of the sandbox and its clusters; the clients are made once."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self._sandbox = sandbox
        self._iam, self._eks, self._ec2 = (sandbox.client(service) for service in ("iam", "eks", "ec2"))

    def read(self, names: t.Collection[str]) -> dict[str, State]:
        """The state by cluster; an IAM role is that of the cluster whose name it begins with."""
        found: dict[str, State] = {name: {} for name in names}
        pages = self._iam.get_paginator("list_roles").paginate()
        for role in (one["RoleName"] for page in pages for one in page["Roles"]):
            owner = next((name for name in names if role.startswith(f"{name}-")), None)
            if owner:
                found[owner]["role", role] = self._role(role)
        for name, state in self._network().items():
            if name in found:
                found[name] |= state
        existing = set(self._eks.list_clusters(maxResults=100)["clusters"])
        for name in existing & set(names):
            found[name] |= self._cluster(name) | self._inside(name)
        return found

    def _role(self, name: str) -> Fields:
        role = self._iam.get_role(RoleName=name)["Role"]
        attached = self._iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        inline = self._iam.list_role_policies(RoleName=name)["PolicyNames"]
        statements = role["AssumeRolePolicyDocument"]["Statement"]
        return {
            "trust_policy": role["AssumeRolePolicyDocument"],
            "statements": {one.get("Sid") or str(one): one for one in statements},
            "managed_policies": sorted(one["PolicyArn"] for one in attached),
            "inline": {
                one: self._iam.get_role_policy(RoleName=name, PolicyName=one)["PolicyDocument"] for one in inline
            },
            "permissions_boundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
            "tags": {tag["Key"]: tag["Value"] for tag in role.get("Tags", [])},
        }

    def _network(self) -> dict[str, State]:
        """What carries our tag, by cluster."""
        found: dict[str, State] = collections.defaultdict(dict)
        places: dict[str, str] = {}
        for subnet in self._ec2.describe_subnets()["Subnets"]:
            tags = _tags(subnet)
            place = f"{tags.get(KIND_TAG, 'public')} in {subnet['AvailabilityZone']}"
            places[subnet["SubnetId"]] = place
            fields = {"cidr_block": subnet["CidrBlock"], "public_addresses": subnet["MapPublicIpOnLaunch"]}
            found[tags.get(TAG, "")]["subnet", place] = {**fields, "tags": tags}
        for vpc in self._ec2.describe_vpcs()["Vpcs"]:
            tags = _tags(vpc)
            found[tags.get(TAG, "")]["VPC", tags.get("Name", "")] = {"cidr_block": vpc["CidrBlock"]}
        for gateway in self._ec2.describe_internet_gateways()["InternetGateways"]:
            tags = _tags(gateway)
            found[tags.get(TAG, "")]["internet gateway", tags.get("Name", "")] = {}
        for name, key, fields in [*self._ways_out(places), *self._route_tables(places), *self._of_nodes()]:
            found[name][key] = fields
        return found

    def _ways_out(self, places: t.Mapping[str, str]) -> t.Iterator[tuple[str, Key, Fields]]:
        for address in self._ec2.describe_addresses()["Addresses"]:
            cluster = _tags(address).get(TAG, "")
            yield cluster, ("Elastic IP address", _tags(address).get("Name", "").removeprefix(f"{cluster}-")), {}
        for gateway in self._ec2.describe_nat_gateways()["NatGateways"]:
            if gateway["State"] == "available":
                zone = places[gateway["SubnetId"]].rpartition(" ")[2]
                yield _tags(gateway).get(TAG, ""), ("NAT gateway", zone), {}

    def _route_tables(self, places: t.Mapping[str, str]) -> t.Iterator[tuple[str, Key, Fields]]:
        for table in self._ec2.describe_route_tables()["RouteTables"]:
            tags = _tags(table)
            cluster = tags.get(TAG, "")
            name = "public" if tags.get("Name") == cluster else tags.get("Name", "").removeprefix(f"{cluster}-")
            routes = [
                one.get("NatGatewayId") or one.get("GatewayId")
                for one in table["Routes"]
                if one.get("DestinationCidrBlock") == INTERNET and one.get("State") == "active"
            ]
            ids = [one["SubnetId"] for one in table["Associations"] if one.get("SubnetId")]
            subnets = sorted(places[one] for one in ids)
            yield cluster, ("route table", name), {"subnets": subnets, "route": next(iter(routes), None)}

    def _of_nodes(self) -> t.Iterator[tuple[str, Key, Fields]]:
        for group in self._ec2.describe_security_groups()["SecurityGroups"]:
            if TAG in _tags(group):
                rules = sorted(str(sorted(rule.items())) for rule in group["IpPermissions"])
                yield _tags(group)[TAG], ("security group", group["GroupName"]), {"rules": rules}
        for template in self._ec2.describe_launch_templates()["LaunchTemplates"]:
            if TAG in _tags(template):
                fields = {"version": template["LatestVersionNumber"]}
                yield _tags(template)[TAG], ("launch template", template["LaunchTemplateName"]), fields

    def _cluster(self, name: str) -> State:
        names = {"clusterName": name}
        found: State = {("cluster", name): to_ansible(self._eks.describe_cluster(name=name)["cluster"])}
        has_entries = found["cluster", name]["access_config"]["authentication_mode"] != "CONFIG_MAP"
        for principal in self._eks.list_access_entries(**names)["accessEntries"] if has_entries else []:
            key = {**names, "principalArn": principal}
            entry = to_ansible(self._eks.describe_access_entry(**key)["accessEntry"])
            policies = self._eks.list_associated_access_policies(**key)["associatedAccessPolicies"]
            shown = sorted((one["policyArn"].rpartition("/")[2], one["accessScope"]["namespaces"]) for one in policies)
            # EKS itself lets in who has created the cluster, and the nodes.
            if TAG in entry["tags"] or (shown != [("AmazonEKSClusterAdminPolicy", [])] and entry["type"] == "STANDARD"):
                found["access entry", principal] = {**entry, "policies": shown}
        for group in self._eks.list_nodegroups(**names)["nodegroups"]:
            described = self._eks.describe_nodegroup(**names, nodegroupName=group)["nodegroup"]
            found["node group", group] = to_ansible(described)
        for addon in self._eks.list_addons(**names)["addons"]:
            found["add-on", addon] = self._addon(self._eks.describe_addon(**names, addonName=addon)["addon"])
        for one in self._eks.list_pod_identity_associations(**names)["associations"]:
            if not one.get("ownerArn"):
                key = {**names, "associationId": one["associationId"]}
                described = to_ansible(self._eks.describe_pod_identity_association(**key)["association"])
                found["association", f"{one['namespace']}/{one['serviceAccount']}"] = described
        return found

    def _addon(self, described: t.Mapping[str, t.Any]) -> Fields:
        """As the module returns it, so far as it is compared."""
        names = {"clusterName": described["clusterName"]}
        ids = [one.rpartition("/")[2] for one in described.get("podIdentityAssociations") or []]
        owned = [self._eks.describe_pod_identity_association(**names, associationId=one)["association"] for one in ids]
        return {
            "name": described["addonName"],
            "cluster_name": described["clusterName"],
            "version": described["addonVersion"],
            "configuration": json.loads(described.get("configurationValues") or "{}"),
            "service_account_role_arn": described.get("serviceAccountRoleArn"),
            "pod_identity_associations": [
                {"service_account": one["serviceAccount"], "role_arn": one["roleArn"]} for one in owned
            ],
            "tags": described.get("tags") or {},
        }

    def _inside(self, name: str) -> State:
        api = kubernetes.config.new_client_from_config(str(self._sandbox.kubeconfig), context=name)
        core, found = kubernetes.client.CoreV1Api(api), State()
        for one in core.list_namespace().items:
            found["Namespace", one.metadata.name] = {"labels": one.metadata.labels}
        for one in core.list_service_account_for_all_namespaces().items:
            fields = {"labels": one.metadata.labels, "annotations": one.metadata.annotations}
            found["ServiceAccount", f"{one.metadata.namespace}/{one.metadata.name}"] = fields
        for one in kubernetes.client.AppsV1Api(api).list_deployment_for_all_namespaces().items:
            place = f"{one.metadata.namespace}/{one.metadata.name}"
            found["Deployment", place] = {"generation": one.metadata.generation}
        for one in kubernetes.client.BatchV1Api(api).list_job_for_all_namespaces().items:
            found["Job", f"{one.metadata.namespace}/{one.metadata.name}"] = {}
        return found


def _tags(resource: t.Mapping[str, t.Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in resource.get("Tags", [])}


#: Those of a new cluster.
FIRST_NAMESPACES = {"default", "kube-node-lease", "kube-public", "kube-system"}
#: What AWS and Kubernetes change by themselves, or along with something else.
BY_ITSELF = {
    *("modified_at", "created_at", "status", "health", "update", "platform_version", "resources", "release_version"),
    *("addon_version", "marketplace_information", "owner", "publisher"),
}


def differences(before: State, after: State) -> dict[Key, tuple[str, Fields, Fields]]:
    """Action, and the fields on both sides, of each item that differs but what Kubernetes makes itself."""
    found: dict[Key, tuple[str, Fields, Fields]] = {}
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        if key[1] in FIRST_NAMESPACES or (key[0] == "ServiceAccount" and key[1].endswith("/default")):
            continue
        if old is None or new is None:
            found[key] = ("create" if old is None else "delete", old or {}, new or {})
            continue
        fields = [name for name in {*old, *new} - BY_ITSELF if old.get(name) != new.get(name)]
        if fields:
            old, new = ({name: one.get(name) for name in fields} for one in (old, new))
            found[key] = ("update", old, new)
    return found

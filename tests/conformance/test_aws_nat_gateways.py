# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""NAT gateways and elastic IPs, by boto3 and its own waiters: states, and what holds what."""

from __future__ import annotations

import dataclasses
import typing as t

import botocore.exceptions
import pytest
from support.boto3_account import Account
from support.boto3_account import refused

pytestmark = pytest.mark.client("boto3")

QUICK_WAITER = {"Delay": 1, "MaxAttempts": 5}
TAGS = [{"Key": "team", "Value": "one"}]


@dataclasses.dataclass(frozen=True)
class Network:
    """A VPC with a subnet, and its internet gateway."""

    ec2: t.Any
    vpc_id: str
    subnet_id: str
    gateway_id: str

    def address(self) -> str:
        """A new elastic IP."""
        spec = [{"ResourceType": "elastic-ip", "Tags": TAGS}]
        return str(self.ec2.allocate_address(Domain="vpc", TagSpecifications=spec)["AllocationId"])

    def nat(self, allocation_id: str, wait: str = "nat_gateway_available") -> str:
        """A new NAT gateway, waited for."""
        spec = [{"ResourceType": "natgateway", "Tags": TAGS}]
        made = self.ec2.create_nat_gateway(SubnetId=self.subnet_id, AllocationId=allocation_id, TagSpecifications=spec)[
            "NatGateway"
        ]
        assert made["State"] == "pending"
        if wait:
            self.ec2.get_waiter(wait).wait(NatGatewayIds=[made["NatGatewayId"]], WaiterConfig=QUICK_WAITER)
        return str(made["NatGatewayId"])

    def described(self, nat_id: str) -> dict[str, t.Any]:
        """What EC2 tells of it."""
        [found] = self.ec2.describe_nat_gateways(NatGatewayIds=[nat_id])["NatGateways"]
        return t.cast("dict[str, t.Any]", found)


@pytest.fixture
def network(account: Account) -> Network:
    account.sandbox.knobs(nat_gateway_seconds=0.3)
    ec2 = account.ec2
    vpc_id = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    gateway_id = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc_id)
    return Network(ec2, vpc_id, subnet_id, gateway_id)


def test_nat_gateway_uses_and_releases_its_address(network: Network) -> None:
    ec2, allocation_id = network.ec2, network.address()
    nat_id = network.nat(allocation_id)
    found = network.described(nat_id)
    assert (found["State"], found["VpcId"], found["Tags"]) == ("available", network.vpc_id, TAGS)
    assert found["NatGatewayAddresses"][0]["AllocationId"] == allocation_id
    assert "AssociationId" in ec2.describe_addresses(AllocationIds=[allocation_id])["Addresses"][0]
    ec2.delete_nat_gateway(NatGatewayId=nat_id)
    assert network.described(nat_id)["State"] == "deleting"
    ec2.get_waiter("nat_gateway_deleted").wait(NatGatewayIds=[nat_id], WaiterConfig=QUICK_WAITER)
    ec2.release_address(AllocationId=allocation_id)
    assert ec2.describe_addresses()["Addresses"] == []


def test_nat_gateway_blocks_deletion_of_what_it_uses(network: Network) -> None:
    ec2, allocation_id = network.ec2, network.address()
    nat_id = network.nat(allocation_id)
    ec2.delete_nat_gateway(NatGatewayId=nat_id)
    with refused("AuthFailure", "You do not have permission"):
        ec2.release_address(AllocationId=allocation_id)
    with refused("DependencyViolation", "has dependencies and cannot be deleted"):
        ec2.delete_subnet(SubnetId=network.subnet_id)
    with refused("DependencyViolation", "mapped public address"):
        ec2.detach_internet_gateway(InternetGatewayId=network.gateway_id, VpcId=network.vpc_id)


def test_route_needs_an_existing_nat_gateway(network: Network) -> None:
    ec2 = network.ec2
    table = ec2.create_route_table(VpcId=network.vpc_id)["RouteTable"]["RouteTableId"]
    with refused("InvalidNatGatewayID.NotFound", "does not exist"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId="nat-0123456789abcdef0")
    nat_id = network.nat(network.address())
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat_id)
    ec2.delete_nat_gateway(NatGatewayId=nat_id)
    routes = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
    assert [route["State"] for route in routes if route.get("NatGatewayId") == nat_id] == ["blackhole"]


def test_nat_gateway_fails_without_gateway_or_free_address(network: Network) -> None:
    allocation_id = network.address()
    network.nat(allocation_id)
    lonely = network.ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    subnet = network.ec2.create_subnet(VpcId=lonely, CidrBlock="10.8.1.0/24")["Subnet"]["SubnetId"]
    unattached = dataclasses.replace(network, subnet_id=subnet).nat(network.address(), wait="")
    taken = network.nat(allocation_id, wait="")
    for nat_id, code in ((taken, "Resource.AlreadyAssociated"), (unattached, "Gateway.NotAttached")):
        with pytest.raises(botocore.exceptions.WaiterError):
            network.ec2.get_waiter("nat_gateway_available").wait(NatGatewayIds=[nat_id], WaiterConfig=QUICK_WAITER)
        found = network.described(nat_id)
        assert (found["State"], found["FailureCode"]) == ("failed", code)


def test_ec2_refuses_unknown_ids(network: Network) -> None:
    ec2 = network.ec2
    with refused("InvalidSubnet", "does not exist"):
        ec2.create_nat_gateway(SubnetId="subnet-0123456789abcdef0", AllocationId=network.address())
    with refused("InvalidAllocationID.NotFound", "does not exist"):
        ec2.create_nat_gateway(SubnetId=network.subnet_id, AllocationId="eipalloc-0123456789abcdef0")
    with refused("NatGatewayNotFound", "was not found"):
        ec2.delete_nat_gateway(NatGatewayId="nat-0123456789abcdef0")


def test_filters_select_by_tag_state_and_subnet(network: Network) -> None:
    ec2, allocation_id = network.ec2, network.address()
    nat_id = network.nat(allocation_id)
    ec2.allocate_address(Domain="vpc")
    ours = [{"Name": "tag:team", "Values": ["one"]}]
    assert [one["AllocationId"] for one in ec2.describe_addresses(Filters=ours)["Addresses"]] == [allocation_id]
    for filters, expected in (
        (ours, [nat_id]),
        ([{"Name": "state", "Values": ["deleted"]}], []),
        ([{"Name": "subnet-id", "Values": [network.subnet_id]}], [nat_id]),
    ):
        found = ec2.describe_nat_gateways(Filters=filters)["NatGateways"]
        assert [one["NatGatewayId"] for one in found] == expected

# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""NAT gateways and elastic IPs as EC2 has them, in place of ministack's: states, addresses, and what holds what.

https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-troubleshooting.html
"""

from __future__ import annotations

import secrets
import time
import typing as t
from xml.sax.saxutils import escape

from eks_sandbox.aws.knobs import Knobs

#: Status, headers, body.
Answer = tuple[int, dict[str, str], t.Any]
Parameters = dict[str, list[str]]
Record = dict[str, t.Any]

_ADDRESS_FILTERS = {"domain": "Domain", "allocation-id": "AllocationId", "public-ip": "PublicIp"}


class NatGateways:
    """Replaces ministack's handlers of the operations on NAT gateways and their addresses."""

    def __init__(self, ec2: t.Any, knobs: Knobs) -> None:
        self._ec2 = ec2
        self._knobs = knobs
        self._theirs: dict[str, t.Callable[[Parameters], Answer]] = {}

    def install(self) -> None:
        """Put them into ministack's table of operations."""
        ours = {
            "CreateNatGateway": self._create,
            "DescribeNatGateways": self._describe,
            "DeleteNatGateway": self._delete,
            "DescribeAddresses": self._describe_addresses,
            "ReleaseAddress": self._release_address,
            "CreateRoute": self._create_route,
            "DeleteSubnet": self._delete_subnet,
            "DetachInternetGateway": self._detach_internet_gateway,
        }
        self._theirs = {operation: self._ec2._ACTION_MAP[operation] for operation in ours}
        self._ec2._ACTION_MAP.update(ours)

    # --- NAT gateways -------------------------------------------------------------------------------------------------

    def _create(self, parameters: Parameters) -> Answer:
        subnet_id, allocation_id = (self._ec2._p(parameters, name) for name in ("SubnetId", "AllocationId"))
        subnet, address = self._ec2._subnets.get(subnet_id), self._ec2._addresses.get(allocation_id)
        if subnet is None:
            return self._error("InvalidSubnet", f"The subnet ID '{subnet_id}' does not exist")
        if not allocation_id:
            return self._error("MissingParameter", "The request must include the AllocationId parameter.")
        if address is None:
            return self._error("InvalidAllocationID.NotFound", f"The allocation ID '{allocation_id}' does not exist")
        record = {
            "NatGatewayId": _new_id("nat"),
            "SubnetId": subnet_id,
            "VpcId": subnet["VpcId"],
            "Created": time.time(),
            "Failure": self._failure(subnet["VpcId"], address),
            "Address": {
                **address,
                "NetworkInterfaceId": _new_id("eni"),
                "PrivateIpAddress": subnet["CidrBlock"].rsplit(".", 1)[0] + ".7",
            },
        }
        if record["Failure"] is None:
            address["AssociationId"] = record["Address"]["AssociationId"] = _new_id("eipassoc")
        self._ec2._nat_gateways[record["NatGatewayId"]] = record
        self._ec2._parse_tag_specs(parameters, "natgateway", record["NatGatewayId"])
        return self._xml("CreateNatGateway", f"<natGateway>{self._shown(record)}</natGateway>")

    def _failure(self, vpc_id: str, address: Record) -> tuple[str, str] | None:
        """Why a NAT gateway will not start: EC2 reports it later, in its state."""
        attached = [one["VpcId"] for each in self._ec2._internet_gateways.values() for one in each["Attachments"]]
        if vpc_id not in attached:
            return "Gateway.NotAttached", f"Network {vpc_id} has no Internet gateway attached"
        if address["AssociationId"]:
            text = f"Elastic IP address [{address['AllocationId']}] is already associated"
            return "Resource.AlreadyAssociated", text
        return None

    def _state(self, record: Record) -> str:
        """pending -> available or failed; deleting -> deleted."""
        now, seconds = time.time(), self._knobs.nat_gateway_seconds
        if "Deleted" in record:
            if now < record["Deleted"] + seconds:
                return "deleting"
            self._let_go(record)
            return "deleted"
        if now < record["Created"] + seconds:
            return "pending"
        return "available" if record["Failure"] is None else "failed"

    def _let_go(self, record: Record) -> None:
        """A NAT gateway that is gone holds its address no longer."""
        address = self._ec2._addresses.get(record["Address"]["AllocationId"])
        if address is not None and address["AssociationId"] == record["Address"]["AssociationId"]:
            address["AssociationId"] = None

    def _describe(self, parameters: Parameters) -> Answer:
        wanted = self._ec2._parse_member_list(parameters, "NatGatewayId")
        unknown = [each for each in wanted if each not in self._ec2._nat_gateways]
        if unknown:
            return self._error("NatGatewayNotFound", f"NatGateway {unknown[0]} was not found")
        filters = self._ec2._parse_filters(parameters)
        found = [
            record
            for record in self._ec2._nat_gateways.values()
            if (not wanted or record["NatGatewayId"] in wanted) and self._passes(record, filters)
        ]
        items = "".join(f"<item>{self._shown(record)}</item>" for record in found)
        return self._xml("DescribeNatGateways", f"<natGatewaySet>{items}</natGatewaySet>")

    def _passes(self, record: Record, filters: dict[str, list[str]]) -> bool:
        values = {
            "state": self._state(record),
            "vpc-id": record["VpcId"],
            "subnet-id": record["SubnetId"],
            "nat-gateway-id": record["NatGatewayId"],
        }
        return self._ec2._resource_matches_tag_filters(record["NatGatewayId"], filters) and all(
            values[name] in allowed for name, allowed in filters.items() if name in values
        )

    def _shown(self, record: Record) -> str:
        address, state = record["Address"], self._state(record)
        failure = ""
        if state == "failed":
            code, message = record["Failure"]
            failure = f"<failureCode>{code}</failureCode><failureMessage>{escape(message)}</failureMessage>"
        return f"""
            <natGatewayId>{record["NatGatewayId"]}</natGatewayId>
            <subnetId>{record["SubnetId"]}</subnetId>
            <vpcId>{record["VpcId"]}</vpcId>
            <state>{state}</state>{failure}
            <connectivityType>public</connectivityType>
            <createTime>{time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(record["Created"]))}</createTime>
            <natGatewayAddressSet><item>
                <allocationId>{address["AllocationId"]}</allocationId>
                <networkInterfaceId>{address["NetworkInterfaceId"]}</networkInterfaceId>
                <privateIp>{address["PrivateIpAddress"]}</privateIp>
                <publicIp>{address["PublicIp"]}</publicIp>
                <isPrimary>true</isPrimary>
            </item></natGatewayAddressSet>
            {self._ec2._tag_set_xml(record["NatGatewayId"])}"""

    def _delete(self, parameters: Parameters) -> Answer:
        nat_id = self._ec2._p(parameters, "NatGatewayId")
        record = self._ec2._nat_gateways.get(nat_id)
        if record is None:
            return self._error("NatGatewayNotFound", f"NatGateway {nat_id} was not found")
        record.setdefault("Deleted", time.time())
        for table in self._ec2._route_tables.values():
            for route in table["Routes"]:
                if route.get("NatGatewayId") == nat_id:
                    route["State"] = "blackhole"
        return self._xml("DeleteNatGateway", f"<natGatewayId>{nat_id}</natGatewayId>")

    def _living(self) -> list[Record]:
        """Those whose network interface is still there."""
        return [
            record for record in self._ec2._nat_gateways.values() if self._state(record) not in ("deleted", "failed")
        ]

    # --- what they hold -----------------------------------------------------------------------------------------------

    def _describe_addresses(self, parameters: Parameters) -> Answer:
        self._living()  # those that are gone by now let their addresses go
        ids, public_ips = (self._ec2._parse_member_list(parameters, name) for name in ("AllocationId", "PublicIp"))
        unknown = [one for one in ids if one not in self._ec2._addresses]
        if unknown:
            return self._error("InvalidAllocationID.NotFound", f"The allocation ID '{unknown[0]}' does not exist")
        filters = self._ec2._parse_filters(parameters)
        items = "".join(
            self._shown_address(address)
            for address in self._ec2._addresses.values()
            if (not ids or address["AllocationId"] in ids)
            and (not public_ips or address["PublicIp"] in public_ips)
            and self._ec2._resource_matches_tag_filters(address["AllocationId"], filters)
            and all(
                address.get(_ADDRESS_FILTERS[name]) in allowed
                for name, allowed in filters.items()
                if name in _ADDRESS_FILTERS
            )
        )
        return self._xml("DescribeAddresses", f"<addressesSet>{items}</addressesSet>")

    def _shown_address(self, address: Record) -> str:
        association = f"<associationId>{address['AssociationId']}</associationId>" if address["AssociationId"] else ""
        return f"""<item>
            <allocationId>{address["AllocationId"]}</allocationId>
            <publicIp>{address["PublicIp"]}</publicIp>
            <domain>{address["Domain"]}</domain>{association}
            {self._ec2._tag_set_xml(address["AllocationId"])}
        </item>"""

    def _release_address(self, parameters: Parameters) -> Answer:
        self._living()
        address = self._ec2._addresses.get(self._ec2._p(parameters, "AllocationId"))
        if address is not None and address["AssociationId"]:
            # The error of EC2 for an address that a NAT gateway uses (https://github.com/eformat/sno-for-100/issues/5).
            return self._error("AuthFailure", "You do not have permission to access the specified resource.")
        return self._theirs["ReleaseAddress"](parameters)

    def _create_route(self, parameters: Parameters) -> Answer:
        nat_id = self._ec2._p(parameters, "NatGatewayId")
        if nat_id and nat_id not in [record["NatGatewayId"] for record in self._living()]:
            return self._error("InvalidNatGatewayID.NotFound", f"The natGateway ID '{nat_id}' does not exist")
        return self._theirs["CreateRoute"](parameters)

    def _delete_subnet(self, parameters: Parameters) -> Answer:
        subnet_id = self._ec2._p(parameters, "SubnetId")
        if subnet_id in [record["SubnetId"] for record in self._living()]:
            text = f"The subnet '{subnet_id}' has dependencies and cannot be deleted."
            return self._error("DependencyViolation", text)
        return self._theirs["DeleteSubnet"](parameters)

    def _detach_internet_gateway(self, parameters: Parameters) -> Answer:
        vpc_id = self._ec2._p(parameters, "VpcId")
        if vpc_id in [record["VpcId"] for record in self._living()]:
            # https://github.com/hashicorp/terraform/issues/1303
            text = (
                f"Network {vpc_id} has some mapped public address(es). Please unmap those public address(es) before "
                "detaching the gateway."
            )
            return self._error("DependencyViolation", text)
        return self._theirs["DetachInternetGateway"](parameters)

    # --- answers ------------------------------------------------------------------------------------------------------

    def _xml(self, operation: str, inner: str) -> Answer:
        answer: Answer = self._ec2._xml(200, f"{operation}Response", inner)
        return answer

    def _error(self, code: str, message: str) -> Answer:
        answer: Answer = self._ec2._error(code, escape(message), 400)
        return answer


def _new_id(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(9)[:17]}"
